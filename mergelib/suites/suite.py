"""What does a merge ask of a suite? The one interface: a base, its experts, and the tasks on which models are measured."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import torch

JOINT = ("mtl", "pcgrad")       # models trained on the eight tasks together: plainly, and with gradient surgery


@dataclass(frozen=True)
class Suite(ABC):
    """Everything a merge and its evaluation need."""

    name: str            # "sketch-8"
    model: str           # the network, "main"
    seed: int            # of fine-tuning
    base: dict = field(repr=False)           # state dict of the network, fp32; empty for one whose weights are not shipped
    experts: dict = field(repr=False)        # task -> state dict
    heads: dict = field(repr=False)          # task -> frozen zero-shot head, embedding x classes; none where answers are words
    digest: str          # eight hex digits of base and experts; results are filed under it
    joint: dict = field(default_factory=dict, repr=False)       # name -> state dict of a model trained on all tasks together;
                                                                # empty for one that is not shipped
    condition: str = "clean"      # of the test pictures, or a corruption as `tasks.corruptions.condition` writes it
    family: str = ""              # of published experts, see `checkpoints.families`; none of those that are trained here

    side_by_side = True           # whether a merge needs so little that several may be measured at the same time
    entropy_batch = 128           # at most so many inputs go through the network together when their entropy has a gradient
    regime = None                 # what was noted of base and experts when they were made, a DataFrame, if anything was

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the suite's order."""
        return tuple(self.experts)

    @property
    def device(self) -> torch.device:
        """Where tensors lie and everything is computed."""
        return next((tensor.device for tensor in self.base.values()), torch.device("cpu"))

    @property
    @abstractmethod
    def tensors(self) -> dict[str, int]:
        """The network's tensors by name, with their numbers of dimensions, there whether weights are or not."""

    @abstractmethod
    def measured(self, model, task: str, split: str) -> tuple[dict, object]:
        """How good a model is on one task: (score, low, high, n, loss, entropy by name; what each sample contributes, N)."""

    @abstractmethod
    def inputs(self, task: str, split: str):
        """All inputs of one task's split, without their labels: an array whose rows are inputs."""

    @abstractmethod
    def entropy(self, fixed: dict, answer: str, drawn: dict, weights: dict) -> torch.Tensor:
        """Mean entropy (nats) of a model's predictions, summed over tasks (`drawn`: task -> rows of `inputs`).

        `weights` replace those of `fixed`, a whole state dict; `answer`: of a suite in words, whose entropy counts.
        """

    def runs(self, method) -> bool:
        """Whether the suite has the data that a `Method` needs, and the network."""
        return True

    def metric(self, task: str) -> str:
        """The name of a task's score."""
        return "accuracy"

    def has_weights(self, method: str = "") -> bool:
        """Whether there are weights to measure a row on: those of a joint model, or base and experts."""
        return bool(self.joint.get(method) if method in JOINT else self.base)

    def has_condition(self, condition: str) -> bool:
        """Whether there are test pictures under a condition."""
        return condition == "clean"

    def named(self, *names: str) -> tuple[str, ...]:
        """The suite's tasks for tasks of ours: a suite of the papers has the data sets that these stand for."""
        return names

    def stands_beside(self, model: str, family: str) -> bool:
        """Whether a published number of some model and family may stand beside this suite's: all, unless it is published."""
        return True

    def under(self, condition: str) -> "Suite":
        """The same suite with its test pictures under another condition."""
        return replace(self, condition=condition)

    def subset(self, tasks) -> "Suite":
        """The same suite with these experts only (order kept)."""
        return replace(self, experts={task: self.experts[task] for task in self.experts if task in set(tasks)}, joint={})
