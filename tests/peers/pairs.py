"""What is compared? Small random checkpoints, and pairs of merges of them: mergelib's and a released package's."""

from dataclasses import dataclass

import torch

import mergelib as ml

TASKS = ("digits", "signs", "scenes")
TOLERANCE = 1e-6        # the weights are about 0.1, of which fp32 resolves 1e-8, the task vectors about 0.01

# Named as Hugging Face names CLIP's image tower, for fusion-bench's filters; ranks 16 and 5 are no multiples of three tasks
LAYER = {"layer_norm1.weight": (16,), "self_attn.q_proj.weight": (16, 16), "self_attn.q_proj.bias": (16,),
         "mlp.fc1.weight": (40, 16), "mlp.fc2.weight": (16, 40)}
SHAPES = {"vision_model.embeddings.class_embedding": (16,), "vision_model.embeddings.patch_embedding.weight": (16, 3, 2, 2),
          "vision_model.embeddings.position_embedding.weight": (5, 16), "vision_model.pre_layrnorm.weight": (16,),
          **{f"vision_model.encoder.layers.{i}.{name}": shape for i in range(2) for name, shape in LAYER.items()}}


def random_checkpoints(seed=0):
    """(base, experts): random state dicts, their standard deviation 0.1, that of the task vectors 0.01."""
    draw = torch.Generator().manual_seed(seed)
    base = {name: 0.1 * torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    return base, {task: {name: tensor + 0.01 * torch.randn(tensor.shape, generator=draw) for name, tensor in base.items()}
                  for task in TASKS}


@dataclass
class Pair:
    """Two merges of the same checkpoints, one line of the table. `differs`: why they are not meant to be equal, if so."""

    method: str
    setting: str            # preset and options
    peer: str
    released: str           # the peer's function or class
    difference: float       # the largest |difference| of the merged weights
    step: float             # the largest |merged - base|, mergelib's
    differs: str = ""
    note: str = ""
    tolerance: float = TOLERANCE

    @property
    def fails(self):
        """Whether the two differ and should not, or are equal although there is a reason why they should not."""
        return (self.difference <= self.tolerance) == bool(self.differs)

    @property
    def cells(self):
        """The texts of the line."""
        verdict = f"FAILS at {self.tolerance:.0e}." if self.fails else "On purpose:" if self.differs else "Equal."
        remark = " ".join(filter(None, (verdict, self.differs, self.note)))
        return (self.method, self.setting, self.peer, self.released, f"{self.difference:.1e}", f"{self.step:.1e}", remark)


HEADER = ("method", "preset, options", "peer", "its function", "|diff|", "|step|", "remark")


def pair(method, base, experts, peer, released, theirs, preset=None, differs="", note="", **options):
    """The pair of a method of the registry and of what a peer has merged: a state dict, or one for each task."""
    ours = ml.merge(method, base, experts, preset, **options)
    setting = [preset, *(f"{name}={value if isinstance(value, str) else f'{value:.3g}'}" for name, value in options.items())]
    return Pair(method, " ".join(filter(None, setting)), peer, released, largest(ours, theirs), step(ours, base), differs, note)


def largest(ours, theirs):
    """The largest |difference| of two tensors, mappings of tensors, or mappings of those; NaN if there is one."""
    if not hasattr(ours, "keys"):
        return (ours - theirs).abs().max().item()
    if set(ours) != set(theirs):
        raise ValueError(f"Only one side has {', '.join(sorted(set(ours) ^ set(theirs)))}.")
    return torch.tensor([largest(ours[key], theirs[key]) for key in ours]).max().item()


def step(merged, base):
    """The largest |merged - base|; `merged` may have a state dict for each task."""
    return largest(merged, base if set(merged) == set(base) else dict.fromkeys(merged, base))


def dare_pairs(base, experts, peer, released, theirs, differs=""):
    """Two pairs for DARE of one expert, whose masks cannot agree: the entries that both keep, and the shares they keep.

    `theirs`: the peer's merge of the first expert with drop 0.5 and lam 0.3. `differs`: why the entries are not equal.
    """
    task = next(iter(experts))
    ours = ml.merge("dare", base, {task: experts[task]}, drop=0.5)
    kept = [{name: merged[name] != base[name] for name in base} for merged in (ours, theirs)]
    both = {name: kept[0][name] & kept[1][name] for name in base}
    shares = [torch.cat([mask.flatten() for mask in masks.values()]).double().mean() for masks in kept]
    gap = largest(*({name: torch.where(both[name], merged[name], base[name]) for name in base} for merged in (ours, theirs)))
    size = sum(tensor.numel() for tensor in base.values())
    yield Pair("dare", "drop=0.5, one expert", peer, released, gap, step(ours, base), differs, "Of the entries that both keep.")
    yield Pair("dare", "drop=0.5, share of entries kept", peer, released, abs(shares[0] - shares[1]).item(), shares[0].item(),
               note="Random masks: within five standard deviations.", tolerance=5 * (0.5 / size) ** 0.5)
