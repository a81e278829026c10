"""How do several LoRA adapters become one? Their merged change of every matrix, in the best approximation of a rank."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints.adapters import PREFIX, WEIGHTS, Adapter
from ..checkpoints.beside import weights_in
from ..checkpoints.lazy import CheckpointError
from ..checkpoints.lora_config import CONFIG
from ..checkpoints.states import write_state
from ..paths import write_atomically
from ..progress import progress
from .arguments import check_out, known_method, open_all
from .loop import merge, say

LINEAR = re.compile(re.escape(PREFIX) + r"((?!.*\.base_layer\.).+)\.lora_A\.weight")


@dataclass(frozen=True)
class MergedAdapter:
    """An adapter that was written, and how far it is from the merge: ||approximation - exact|| / ||exact||, Frobenius."""

    folder: Path
    rank: int
    errors: dict            # name of a tensor -> its own relative error
    error: float            # of all tensors together

    def __str__(self):
        worst = max(self.errors, key=self.errors.get)
        return (f"{self.folder}: an adapter of rank {self.rank} for {len(self.errors)} matrices; relative error "
                f"{self.error:.2g} overall, {self.errors[worst]:.2g} at worst ({worst})")


def merge_to_adapter(method: str, base, experts, rank: int, out: str | Path, preset: str | None = None,
                     **options) -> MergedAdapter:
    """Merge LoRA adapters of one base into one adapter of a given rank, a folder that PEFT loads.

    `method`, `base`, `experts`, `preset`, `options`: as for `merge`; every expert is an adapter of linear layers, and the
    method sees only the tensors that one of them changes. What is written is the best approximation of that rank (by SVD) of
    merged - base, in fp32: but for rounding all of it where the merged change has no higher rank, as that of a weighted sum
    has if `rank` is at least the sum of the experts' ranks.

    Raises ValueError for methods that need data or give more than one model and for a rank below 1, CheckpointError for
    experts that change anything else than linear layers, by name, and for a folder that already holds weights.
    """
    _check(known_method(method), rank, out)
    where, (base, experts, notes) = base, open_all(base, experts)
    say(notes)
    modules, transposed = _targets(experts)
    theta_0 = {name: base[name] for name in modules}
    restricted = {task: Adapter(theta_0, expert.weights, expert.touched) for task, expert in experts.items()}
    merged = merge(method, theta_0, restricted, preset, torch.float32, **options)
    changes = {name: merged[name] - theta_0[name].float() for name in modules}
    changes = {name: change for name, change in changes.items() if change.any()}
    if not changes:
        raise CheckpointError("The merge changes nothing, so there is no adapter to write. Look at the options, such as keys.")
    written, errors, error = _approximations(changes, modules, transposed, rank)
    _write(Path(out), written, {"base_model_name_or_path": str(where) if isinstance(where, (str, Path)) else None,
                                "peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none", "inference_mode": True,
                                "fan_in_fan_out": bool(transposed), "target_modules": [modules[name] for name in changes]})
    return MergedAdapter(Path(out), rank, errors, error)


def _check(spec, rank, out):
    """Raise ValueError or CheckpointError for what could not be merged or written."""
    if spec.data:
        raise ValueError(f"{spec.title} needs {spec.needs}, and so the whole model. Merge without an adapter to write.")
    check_out(spec, out)
    if type(rank) is not int or rank < 1:
        raise ValueError(f"rank is {rank!r}; it must be a whole number of at least 1.")
    if Path(out).exists() and not Path(out).is_dir():
        raise CheckpointError(f"{out} is a file. Give the path of a folder as out.")
    if there := weights_in(out):
        raise CheckpointError(f"{out} already holds {there[0]}. Give another folder as out.")


def _targets(experts):
    """(name of a tensor -> its module as the experts' files call it, names of those that lie transposed)."""
    problems, modules, transposed = [], {}, set()
    for task, expert in experts.items():
        if not isinstance(expert, Adapter):
            problems.append(f"{task} is no LoRA adapter")
            continue
        for name, change in expert.touched.items():
            match = LINEAR.fullmatch(change.factors[0]) if len(change.factors) == 2 else None
            if match is None or len(expert.facts(name)[0]) != 2:
                problems.append(f"{task} changes {name}, which is no weight of a linear layer with an A and a B")
                continue
            modules.setdefault(name, match[1])
            transposed |= {name} if change.transposed else set()
    if problems:
        raise CheckpointError("These cannot be merged into one adapter (merge them into a whole checkpoint instead):\n  "
                              + "\n  ".join(problems))
    return modules, transposed


def _approximations(changes, modules, transposed, rank):
    """(tensors of an adapter's file, each tensor's relative error, that of all)."""
    written, errors, missed, whole = {}, {}, 0.0, 0.0
    for name, change in progress(changes.items(), "decomposing", delay=2):
        change = change.T if name in transposed else change
        b, a = _factors(change, rank)
        miss, size = (torch.linalg.matrix_norm(matrix).item() for matrix in (b @ a - change, change))
        errors[name], missed, whole = miss / size, missed + miss ** 2, whole + size ** 2
        key = f"{PREFIX}{modules[name]}.lora_"
        written |= {f"{key}A.weight": a, f"{key}B.weight": b}
    return written, errors, (missed / whole) ** 0.5


def _factors(matrix, rank):
    """(B, A) of a rank whose product is nearest to a matrix; both carry the roots of its singular values."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    b, a = matrix.new_zeros(len(matrix), rank), matrix.new_zeros(rank, matrix.shape[1])      # zeros beyond its full rank
    kept = min(rank, len(s))
    roots = s[:kept].sqrt()
    b[:, :kept], a[:kept] = u[:, :kept] * roots, roots[:, None] * v[:kept]
    return b, a


def _write(folder, tensors, config):
    """Write a PEFT folder; the configuration, which makes it an adapter, comes last."""
    write_state(folder / WEIGHTS, tensors, metadata={"format": "pt"})
    write_atomically(folder / CONFIG, lambda part: part.write_text(json.dumps(config, indent=2, sort_keys=True)))
