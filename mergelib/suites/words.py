"""What is a suite that asks in words? T5s whose answers are read."""

from abc import abstractmethod

from ..checkpoints.lazy import facts
from ..measure.answers import measure_answers
from ..methods import TEST_PICTURES
from ..networks.t5 import answer_entropy, encode
from .suite import Suite


class WordSuite(Suite):
    """A suite whose tasks are questions: base and experts are T5s, the latter LoRA adapters; there are no heads."""

    longest = 2                   # tokens of an answer, its end included
    graded = ()                   # tasks whose answers are numbers

    @property
    @abstractmethod
    def source(self):
        """Where network and tokenizer come from, see `networks.t5`."""

    @abstractmethod
    def examples(self, task, split, count=None):
        """(questions, answers) of one task's split, texts: all, or the first `count`."""

    @property
    def tensors(self):
        return {name: len(facts(self.base, name)[0]) for name in self.base}

    def runs(self, method):
        """What gives one model and needs nothing, or unlabelled test inputs."""
        return not method.towers_only and set(method.data) <= {TEST_PICTURES}

    def metric(self, task):
        return "spearman" if task in self.graded else "accuracy"

    def inputs(self, task, split):
        """Token ids (int64 N x longest) of one task's questions, without their answers."""
        return encode(self.source, self.examples(task, split)[0])

    def measured(self, model, task, split):
        return measure_answers(model, self, task, split)

    def entropy(self, fixed, answer, drawn, weights):
        return answer_entropy(answer, self.longest, self.source, fixed, drawn, weights)
