"""Which of mergekit's released merges can be compared, and how is each called?"""

import torch
from mergekit.merge_methods.api import merge_state_dicts, merge_tensors
from pairs import Pair, dare_pairs, largest, pair, step

import mergelib as ml

PEER = "mergekit"


def mergekit_pairs(base, experts):
    """Every pair with mergekit."""
    def merged(method, tasks=experts, **parameters):
        return merge_state_dicts({"base": base, **{task: experts[task] for task in tasks}}, method, base="base",
                                 parameters=parameters)

    yield pair("weight-average", base, experts, PEER, "linear",
               merge_state_dicts(experts, "linear", parameters={"weight": 1.0}))
    yield pair("task-arithmetic", base, experts, PEER, "task_arithmetic", merged("task_arithmetic", weight=0.3))
    yield pair("ties", base, experts, PEER, "ties", merged("ties", weight=1.0, density=1.0), "paper", density=1.0)
    yield pair("ties", base, experts, PEER, "ties", merged("ties", weight=1.0, density=0.2), "paper",
               "it trims each tensor on its own and keeps one entry less of it, mergelib trims the whole checkpoint.")
    yield ties_by_tensor(base, experts)
    yield pair("dare-ties", base, experts, PEER, "dare_ties", merged("dare_ties", weight=0.5, density=1.0),
               note="Without its random masks, and untrimmed as there.", drop=0.0, density=1.0)
    torch.manual_seed(0)
    yield from dare_pairs(base, experts, PEER, "dare_linear",
                          merged("dare_linear", [next(iter(experts))], weight=0.3, density=0.5),
                          "it scales what is kept to the tensor's old L1 norm, not by 1 / (1 - drop).")


def ties_by_tensor(base, experts):
    """TIES of each tensor on its own with the same number of entries kept, which shows that nothing else differs."""
    ours, theirs = {}, {}
    for name, tensor in base.items():
        alone = [{name: expert[name]} for expert in experts.values()]
        ours[name] = ml.merge("ties", {name: tensor}, alone, "paper")[name]
        kept = int(0.2 * tensor.numel()) + 1
        theirs[name] = merge_tensors([tensor, *(expert[name] for expert in experts.values())], "ties", base_index=0,
                                     parameters={"weight": 1.0, "density": (kept + 0.5) / tensor.numel()})
    return Pair("ties", "paper, each tensor on its own", PEER, "ties", largest(ours, theirs), step(ours, base),
                note="With one entry more kept there.")
