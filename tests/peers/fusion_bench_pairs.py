"""Which of fusion-bench's released merges can be compared, and how is each called?"""

from dataclasses import replace
from functools import partial
from unittest.mock import patch

import lightning
import torch
from fusion_bench import BaseModelPool
from fusion_bench.method.dare import DareTaskArithmetic, DareTiesMerging
from fusion_bench.method.doge_ta.doge_ta import DOGE_TA_Algorithm
from fusion_bench.method.emr_merging import EMRMerging
from fusion_bench.method.fisher_merging.fisher_merging import merging_with_fisher_weights
from fusion_bench.method.isotropic_merging.iso import ISO_C_Merge, ISO_CTS_Merge
from fusion_bench.method.knots.knots_utils import subspace_alignment
from fusion_bench.method.regmean.regmean import merging_with_regmean_weights
from fusion_bench.method.simple_average import SimpleAverageAlgorithm
from fusion_bench.method.tall_mask import task_arithmetic as tall_mask_class
from fusion_bench.method.tall_mask import utils as tall_mask
from fusion_bench.method.task_arithmetic import TaskArithmeticAlgorithm
from fusion_bench.method.task_singular_vector.TSVM import TaskSingularVectorMerging
from fusion_bench.method.ties_merging import TiesMergingAlgorithm
from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging
from fusion_bench.method.trust_region import TaskArithmeticWithTrustRegionForCLIP
from fusion_bench.method.wudi import WUDIMerging
from fusion_bench.models.parameter_dict import ParameterDictModel
from fusion_bench.models.wrappers.layer_wise_fusion_doge_ta import LayerWiseMergedModel
from fusion_bench.utils import state_dict_to_vector, vector_to_state_dict
from mergelib.adapt.statistics import fisher, regmean
from pairs import Pair, dare_pairs, largest, pair, step

import mergelib as ml
from mergelib.methods.linear import task_arithmetic

PEER, CPU = "fusion-bench", lightning.Fabric(accelerator="cpu", devices=1)


def fusion_bench_pairs(base, experts):
    """Every pair with fusion-bench."""
    yield from whole_methods(base, experts)
    one = dict(list(experts.items())[:1])
    torch.manual_seed(0)
    yield from dare_pairs(base, one, PEER, "DareTaskArithmetic", fused(DareTaskArithmetic(0.3, 0.5, False), base, one))
    yield from norm_coefficients(base, experts)
    yield from masks_and_bases(base, experts)
    yield doge_am_start(base, experts)
    yield from weighed_by_statistics(base, experts)


# --- the checkpoints as fusion-bench asks for them --------------------------------------------------------------------

def as_module(state):
    """A module with these parameters, in fp64, so that all rounding is mergelib's."""
    return ParameterDictModel({name: torch.nn.Parameter(tensor.double()) for name, tensor in state.items()})


def as_pool(base, experts):
    """The base and the experts as a model pool."""
    return BaseModelPool({"_pretrained_": as_module(base), **{task: as_module(state) for task, state in experts.items()}})


def state_of(module):
    """A module's state dict, in tensors of its own."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def fused(algorithm, base, experts):
    """What a released algorithm makes of the checkpoints: a state dict, or one for each task."""
    algorithm.fabric = CPU
    result = algorithm.run(as_pool(base, experts))
    return {task: of_task(result, task) for task in experts} if hasattr(result, "set_task") else state_of(result)


def of_task(model, task):
    """One task's state dict of a model that has one for each."""
    model.set_task(task)
    return state_of(model.backbone)


def flat_task_vectors(base, experts):
    """theta_0 and the task vectors as fusion-bench flattens them: d numbers, and T x d."""
    theta_0 = state_dict_to_vector(base)
    return theta_0, torch.stack([state_dict_to_vector(expert) for expert in experts.values()]) - theta_0


# --- methods that are a class of theirs -------------------------------------------------------------------------------

def whole_methods(base, experts):
    """The methods that fusion-bench runs from checkpoints to checkpoint."""
    def by(algorithm, method, *arguments, **options):
        theirs = fused(algorithm, base, experts)
        return pair(method, base, experts, PEER, type(algorithm).__name__, theirs, *arguments, **options)

    size = sum(tensor.numel() for tensor in base.values())
    doge = partial(DOGE_TA_Algorithm, subspace=6, K=30, lamda=0.07)         # each run needs a new one
    tatr = partial(TaskArithmeticWithTrustRegionForCLIP, scaling_factor=0.3, threshold_quantile=0.99, max_samples=0,
                   batch_size=1, zero_shot=True)
    yield by(SimpleAverageAlgorithm(inplace=False), "weight-average")
    yield by(TaskArithmeticAlgorithm(0.3), "task-arithmetic")
    yield by(TiesMergingAlgorithm(1.0, 20, [], "mean"), "ties", "paper")
    yield by(TiesMergingAlgorithm(0.3, 20, [], "sum"), "ties", "code")
    yield by(DareTiesMerging(0.0, False, True, 0.5, 20, [], "sum"), "dare-ties", drop=0.0, note="Without its random masks.")
    yield by(tatr(), "tatr-zero-shot", ratio=(size - int(0.99 * size) + 0.5) / size, note="As many entries left out as there.")
    yield by(tatr(), "tatr-zero-shot", differs="it rounds 1 % of the entries up, mergelib down, so it leaves out one more.")
    yield by(doge(), "doge-ta", "code", note="In fp32 theirs is 1e-6 to 1e-5 away from what it is in fp64.")
    yield by(doge(), "doge-ta", "paper", "the text has one inner product per tensor and no mask, and merges every tensor.")
    yield by(doge(), "doge-ta", "exact", "the smallest exact solution instead of 400 Adam steps, and no mask.")
    yield by(TaskSingularVectorMerging(alpha=1.0), "tsv-m")
    yield by(ISO_C_Merge(scaling_factor=1.5), "iso-c")
    yield by(ISO_CTS_Merge(scaling_factor=1.5, common_space_fraction=0.8), "iso-cts")
    yield by(WUDIMerging(iter_num=300), "wudi", "paper")
    yield by(WUDIMerging(iter_num=300), "wudi", "exact", "the minimum itself; 300 steps of 1e-5 are still on their way to it.")
    yield by(EMRMerging(), "emr", "code")
    yield by(EMRMerging(), "emr", "paper", "its scales add up the tensors' means, the paper's all entries.")


# --- methods of which they have the parts -----------------------------------------------------------------------------

def norm_coefficients(base, experts):
    """Task arithmetic with the coefficients that DOGE TA's class computes, per tensor and per task."""
    algorithm = DOGE_TA_Algorithm(subspace=6, K=30, lamda=0.07)
    taus = algorithm.compute_task_vectors(as_pool(base, experts), as_module(base))
    layerwise, taskwise = algorithm.compute_layer_lamdas(taus), algorithm.compute_lamdas(taus)
    for scope, lams in {"layer": layerwise, "task": [dict.fromkeys(taus[0], lam) for lam in taskwise]}.items():
        moved = {name: base[name] + sum(lam[name] * tau[name] for lam, tau in zip(lams, taus)) for name in taus[0]}
        yield pair("norm-lambda", base, experts, PEER, f"compute_{'layer_' * (scope == 'layer')}lamdas",
                   {**base, **moved}, "code", scope=scope)


def masks_and_bases(base, experts):
    """TALL masks, Consensus and KnOTS-TIES, put together from fusion-bench's functions."""
    theta_0, taus = flat_task_vectors(base, experts)

    def tall_masks(merged_tau, lam):
        return tall_mask.generate_task_masks(taus, theta_0 + taus, theta_0, merged_tau, lam)

    def as_state(vector):
        return vector_to_state_dict(vector, {name: tensor.clone() for name, tensor in base.items()})    # it writes into these

    total = taus.sum(dim=0)
    masks = tall_masks(total, 0.6)
    yield pair("tall-compression", base, experts, PEER, "tall_mask.utils.generate_task_masks",
               {task: as_state(theta_0 + mask * total) for task, mask in zip(experts, masks)}, mask_lam=0.6)
    masks = [tall_mask_class.generate_task_masks(as_state(total), as_state(tau), base, 0.6) for tau in taus]
    yield pair("tall-compression", base, experts, PEER, "tall_mask.task_arithmetic.generate_task_masks",
               {task: as_state(theta_0 + state_dict_to_vector(mask) * total) for task, mask in zip(experts, masks)},
               differs="it compares |theta_0 - tau_t| where the paper has |tau_t|, which keeps nearly every entry.",
               note="Its class, TallMaskTaskArithmeticAlgorithm, raises a TypeError.", mask_lam=0.6)
    for method, merged_tau in {"consensus-ta": total, "consensus-ties": ties_merging(taus, 20, "sum")}.items():
        masks = {task: as_state(mask.float()) for task, mask in zip(experts, tall_masks(merged_tau, 0.4))}
        with patch.object(tall_mask, "load_tall_mask", return_value=masks):         # it would read them from a disk
            kept = tall_mask.construct_consensus_mask(base, 2, None)
        yield pair(method, base, experts, PEER, "construct_consensus_mask",
                   as_state(theta_0 + 0.3 * merged_tau * kept))
    yield pair("knots", base, experts, PEER, "subspace_alignment, ties_merging", knots(base, experts))


def knots(base, experts):
    """KnOTS-TIES: their TIES between task vectors in their common basis."""
    found = {name: subspace_alignment([expert[name] - base[name] for expert in experts.values()])
             for name, tensor in base.items() if tensor.dim() == 2}
    aligned = [{name: found[name][1][:, None] * found[name][2][i] if name in found else expert[name] - base[name]
                for name in base} for i, expert in enumerate(experts.values())]
    merged = ties_merging(torch.stack([state_dict_to_vector(state) for state in aligned]), 20, "mean")
    merged = vector_to_state_dict(0.6 * merged, aligned[0])
    return {name: base[name] + (found[name][0] @ merged[name] if name in found else merged[name]) for name in base}


def doge_am_start(base, experts):
    """DOGE AM before it learns: its modified task vectors under its first coefficients, 0.3 everywhere."""
    LayerWiseMergedModel._fabric = CPU          # it makes one itself where there is a GPU
    released = LayerWiseMergedModel(torch.full((len(experts), len(base)), 0.3), as_module(base),
                                    [as_module(expert) for expert in experts.values()])
    start = replace(ml.METHODS["doge-am"], first_pass=None, needs="nothing",
                    tensor=lambda theta_0, taus, init: task_arithmetic(theta_0, taus, init))
    with patch.dict(ml.METHODS, {"doge-am": start}):
        return pair("doge-am", base, experts, PEER, "LayerWiseMergedModel (doge_ta)",
                    state_of(released.merge_and_unload()), "code", note="Before it learns.", eta=0.07)


def weighed_by_statistics(base, experts):
    """Fisher merging and RegMean, given the same random statistics in place of what data would say."""
    draw = torch.Generator().manual_seed(1)
    states = {name: [expert[name] for expert in experts.values()] for name in base}
    taus = {name: torch.stack(tensors) - base[name] for name, tensors in states.items()}

    information = [{name: torch.rand(tensor.shape, generator=draw) ** 4 for name, tensor in base.items()} for _ in experts]
    lengths = torch.stack([state_dict_to_vector(values).norm() for values in information])
    ours = {name: fisher(base[name], taus[name], torch.stack([values[name] / length for values, length
                                                              in zip(information, lengths)])) for name in base}
    theirs = merging_with_fisher_weights(states, information, torch.ones(len(experts)), minimal_fisher_weight=0.0)
    yield Pair("fisher", "the arithmetic, no floor", PEER, "merging_with_fisher_weights", largest(ours, theirs),
               step(ours, base), note="Random statistics.")

    inputs = {name: torch.randn(len(experts), 100, tensor.shape[1], generator=draw) for name, tensor in base.items()
              if name.endswith("weight") and tensor.dim() == 2}
    grams = {name: x.mT @ x / 100 for name, x in inputs.items()}
    ours = {name: regmean(base[name], taus[name], grams.get(name), alpha=0.9) for name in base}
    theirs = merging_with_regmean_weights(states, [{name.removesuffix(".weight"): gram[i] for name, gram in grams.items()}
                                                   for i in range(len(experts))], reduce_non_diagonal_ratio=0.9)
    yield Pair("regmean", "the arithmetic, alpha=0.9", PEER, "merging_with_regmean_weights", largest(ours, theirs),
               step(ours, base), note="Random statistics.")
