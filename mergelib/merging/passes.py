"""What can one tensor not know? First passes go over all tensors before any is merged, and note what each one needs."""

from collections import deque
from functools import partial

from ..checkpoints.blocks import matching
from ..checkpoints.lazy import facts
from ..methods import Method, call
from ..progress import progress
from ..workers import ByValue
from .work import look


class Tensors:
    """The tensors of first passes: called it yields (name, theta_0, taus) one by one; `map` has an executor look at them."""

    def __init__(self, works, title, executor, models, hide):
        self.works, self.executor, self.models = works, executor, models
        self.bar = partial(progress, None, title, disable=hide, delay=2, unit="B", unit_scale=True)

    def __call__(self):
        for work in self._shown(self.works):
            yield work.name, *work.read()       # nothing here holds on to them

    def map(self, function, keys="", additive=False):
        """function(taus) of the works whose names match, in their order; `additive`: it may be the sum over pieces of them."""
        chosen = set(matching(keys, {work.name: len(facts(work.base, work.name)[0]) for work in self.works}))
        works = [work for work in self.works if work.name in chosen]
        if self.executor is None:
            yield from (work.look(function, additive) for work in self._shown(works))
            return
        futures = deque(self.executor.submit(look, ByValue(work), ByValue(function), additive) for work in works)
        try:
            for _ in self._shown(works):
                yield futures.popleft().result().value
        finally:
            for future in futures:
                future.cancel()

    def _shown(self, works):
        """Some works with a bar of the bytes read."""
        with self.bar(total=sum(work.size() for work in works) * self.models) as bar:
            for work in works:
                yield work
                bar.update(work.size() * self.models)


def prepare(works, spec: Method, known: dict, keep: bool, executor=None) -> dict:
    """Do the first passes over the tensors to be merged; what they find is noted in the `works`, and the last one's given."""
    tensors = Tensors(works, f"reading for {spec.title}", None if keep else executor, 1 + len(known["tasks"]), keep)
    found = {}
    for first_pass in [*(first_pass for _, first_pass in spec.transforms), spec.first_pass]:
        found = call(first_pass, tensors, **known) if first_pass else {}
        for work in progress(works, f"preparing {spec.title}", delay=2):
            work.learn(found, keep)
    return found
