"""Which tensors of the base does a LoRA adapter change, and how? What does not fit becomes a line for people."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace

import torch

from .lazy import facts
from .on_disk import names_on_disk

VOCABULARIES = ("embed", "lm_head", "wte", "shared.weight")


@dataclass(frozen=True)
class Change:
    """What an adapter does to one tensor of the base: scale B A is added, to it or to a tensor that replaces it."""

    factors: tuple = ()             # keys of A (r x columns) and B (rows x r), or of B's own bias
    scale: float = 1.0
    transposed: bool = False        # whether the tensor lies as (B A).T
    whole: str | None = None        # key of the tensor that replaces the base's
    magnitude: str | None = None    # key of the lengths that DoRA gives to the rows of B A and what it is added to

    @property
    def keys(self):
        """All keys of the adapter's file that it needs."""
        return [key for key in (*self.factors, self.whole, self.magnitude) if key]

    @property
    def needs_base(self):
        """Whether its task vector depends on the base's tensor."""
        return bool(self.whole or self.magnitude)

    def delta(self, weights, theta):
        """Its task vector, fp32; `theta`, the base's tensor, is looked at only if it `needs_base`."""
        added = self._added(weights)
        if not self.needs_base:
            return added
        theta = theta.detach().to(added.device, torch.float32)
        tensor = (weights[self.whole].float() if self.whole else theta) + added
        if self.magnitude:
            others = [axis for axis in range(tensor.dim()) if axis != int(self.transposed)]
            lengths = torch.linalg.vector_norm(tensor, dim=others, keepdim=True)
            tensor *= weights[self.magnitude].float().reshape(lengths.shape) / lengths
        return tensor - theta

    def _added(self, weights):
        """scale B A in the shape of the tensor; a single zero without factors."""
        if not self.factors:
            return torch.zeros(())
        first, *second = (weights[key].float() for key in self.factors)
        if not second:
            return self.scale * first.flatten()
        product = (second[0].flatten(1) @ first.flatten(1)).mul_(self.scale).reshape(-1, *first.shape[1:])
        return product.T if self.transposed else product


def fit(config, weights, base, modules, whole):
    """(name of a base tensor -> its `Change`, lines that say what does not fit).

    `config`: what `read_config` gives; `modules`: module -> its parts (A, B, bias, magnitude) -> their keys in `weights`;
    `whole`: name of a tensor -> key of what replaces it.
    """
    fitting = _Fitting(config, weights, base, [*whole, *map(weight_of, modules)])
    for name, key in whole.items():
        fitting.replaced(name, key)
    for module, parts in modules.items():
        fitting.adapted(module, parts)
    fitting.tie()
    return fitting.touched, fitting.problems


def plain(name):
    """A name without what PEFT puts between a module and its tensors."""
    return re.sub(r"\.(?:base_layer|modules_to_save)(?=\.|$)", "", name)


def weight_of(module):
    """The name of a module's weight, as the base has it."""
    return f"{plain(module)}.weight"


class _Fitting:
    """The changes found so far, and the problems."""

    def __init__(self, config, weights, base, wanted):
        self.config, self.weights, self.base, self.touched, self.problems = config, weights, base, {}, []
        self.renamed = {} if all(name in base for name in wanted) else names_on_disk(base)
        self.lying = None           # see `_containers`, once it is asked for

    def replaced(self, name, key):
        """Note that a tensor of the file replaces one of the base."""
        if found := self._found(name):
            ours, theirs = facts(self.base, found)[0], self.weights.facts(key)[0]
            if ours == theirs:
                self.touched[found] = Change(whole=key)
            else:
                self.problems.append(f"{key} has shape {theirs}, the base has {ours}{_advice(key, ours, theirs)}")

    def adapted(self, module, parts):
        """Note what a module's matrices change."""
        ranked = module.removesuffix(".base_layer.out_proj")        # nn.MultiheadAttention's has the rank of the whole
        times = 1 if ranked == module else 2                        # and PEFT adds it twice, in training too
        if (name := self._found(weight_of(module))) is None:
            return
        problem = self._parts_problem(parts) or self._shape_problem(name, parts) or self._rank_problem(ranked, parts)
        if problem:
            self.problems.append(problem)
            return
        scale, transposed = times * self.config.scale(ranked), self._lies_transposed(name, parts)
        self._note(name, Change((parts["A"], parts["B"]), scale, transposed, magnitude=parts.get("magnitude")))
        if "bias" in parts and (bias := self._found(f"{plain(module)}.bias")):
            self._note(bias, Change((parts["bias"],), scale))

    def _note(self, name, change):
        """Note a change, of what replaces a tensor where something does."""
        if not facts(self.base, name)[1].is_floating_point:
            self.problems.append(f"{name} holds integers in the base (is it quantised?), so nothing can be added to it")
        self.touched[name] = replace(change, whole=self.touched[name].whole) if name in self.touched else change

    def tie(self):
        """Note the same change of a tensor under all its names, where a model in memory has it under several."""
        if hasattr(self.base, "files"):
            return              # on disk it lies once
        places = defaultdict(list)
        for name, tensor in self.base.items():
            places[tensor.data_ptr(), tensor.shape].append(name)
        for name, change in list(self.touched.items()):
            alike = places[self.base[name].data_ptr(), self.base[name].shape] if change.factors else []     # else PEFT unties
            others = [other for other in alike if other != name]
            if others and others[0] in self.touched and name < others[0]:
                self.problems.append(f"{name} and {others[0]} are one tensor of the base, and the adapter changes both: untie "
                                     f"them (transformers: tie_word_embeddings=False) and train on that")
            self.touched |= dict.fromkeys(others, change)

    def _found(self, name):
        """The base's name of a tensor; None, and a problem noted, where it has none."""
        found = self.renamed.get(name, name)
        if found in self.base:
            return found
        stacked = f"{name.removesuffix('weight')}in_proj_weight"        # of nn.MultiheadAttention
        if stacked in self.base:
            return stacked
        self.problems.append(_missing(name, name in self.renamed))
        return None

    def _shape(self, parts, part):
        return self.weights.facts(parts[part])[0]

    def _parts_problem(self, parts):
        """A line if A and B are no matrices or kernels, or there is more or less beside them than configured, else None."""
        a, b = self._shape(parts, "A"), self._shape(parts, "B")
        if len(a) != len(b) or len(a) < 2 or any(size != 1 for size in b[2:]):
            return f"{parts['A']} and its B have shapes {a} and {b}, which are no A and B"
        if (found := parts.keys() - {"A", "B"}) != self.config.has:
            return (f"{parts['A']} stands beside {', '.join(sorted(found)) or 'nothing'}, but use_dora and lora_bias of the "
                    f"configuration ask for {', '.join(sorted(self.config.has)) or 'nothing'}")
        wrong = [f"{parts[part]} has shape {self._shape(parts, part)}, not one entry for each of {b[0]} outputs"
                 for part in sorted(found) if math.prod(self._shape(parts, part)) != b[0]]
        return "; ".join(wrong) or None

    def _rank_problem(self, module, parts):
        """A line if A or B has another rank than the configuration says, else None."""
        said = self.config.rank(module)
        wrong = [f"{parts[part]} has rank {rank}, but r and rank_pattern of the configuration say {said}"
                 for part, rank in (("A", self._shape(parts, "A")[0]), ("B", self._shape(parts, "B")[1])) if rank != said]
        return "; ".join(wrong) or None

    def _shape_problem(self, name, parts):
        """A line if B A has another shape than the base's tensor, else None."""
        ours, theirs = facts(self.base, name)[0], (self._shape(parts, "B")[0], *self._shape(parts, "A")[1:])
        theirs = theirs[::-1] if self._lies_transposed(name, parts) else theirs
        return None if ours == theirs else f"{name}: B A has shape {theirs}, the base has {ours}{_advice(name, ours, theirs)}"

    def _lies_transposed(self, name, parts):
        """Whether a matrix lies as (B A).T: an embedding, or a Conv1D of transformers, as its shape or its neighbours show."""
        if ".lora_embedding_" in parts["A"]:
            return True
        (_, columns, *kernel), rows = self._shape(parts, "A"), self._shape(parts, "B")[0]
        if kernel or rows != columns:
            return not kernel and facts(self.base, name)[0] == (columns, rows)
        self.lying = _containers(self.base) if self.lying is None else self.lying
        shown = next((self.lying[container] for container in _around(name) if container in self.lying), None)
        return self.config.transposed if shown is None else shown and f"{name.removesuffix('weight')}bias" in self.base


def _around(name):
    """The modules around a module's tensor, from the innermost."""
    path = name.split(".")[:-2]
    return [".".join(path[:end]) for end in range(len(path), -1, -1)]


def _containers(base):
    """Module -> whether matrices in it lie as in Conv1D, columns first, as those show that are not square and have a bias."""
    found = defaultdict(set)
    for name in base:
        bias = f"{name.removesuffix('weight')}bias"
        if not name.endswith(".weight") or bias not in base:
            continue
        shape, count = facts(base, name)[0], facts(base, bias)[0]
        if len(shape) == 2 and shape[0] != shape[1] and count in {shape[:1], shape[1:]}:
            for container in _around(name):
                found[container].add(count == shape[1:])
    return {container: kinds.pop() for container, kinds in found.items() if len(kinds) == 1}


def _missing(name, combined):
    """A line about a tensor that the base does not have, and why that may be."""
    if combined:
        return f"{name} is made of several tensors of the base, or by arithmetic, so nothing can be added to it"
    if "lm_head" in name or "embed_out" in name:
        return (f"the base has no tensor {name}: if it is tied to the embedding, untie it "
                f"(transformers: tie_word_embeddings=False), save the base again and train on that")
    return (f"the base has no tensor {name}: if transformers 5 wrote the adapter, give as base the folder that transformers "
            f"reads, with config.json, and have transformers installed")


def _advice(name, ours, theirs):
    """What to do about other shapes, where that is known."""
    if len(ours) == 2 and ours[1:] == theirs[1:]:
        if any(part in name for part in VOCABULARIES):
            return (f": the vocabularies differ. Bring the base to {theirs[0]} tokens (transformers: "
                    f"model.resize_token_embeddings({theirs[0]})) and save it again")
        return ": give a base that has it in this size"
    if len(ours) > 2 and ours[0] == theirs[0] and ours[2:] == theirs[2:]:
        return ": a convolution in groups, to which LoRA cannot be added (nor by PEFT)"
    return ""
