"""mergelib: model merging, one small function per method, and a benchmark on which every claim can be checked.

>>> import mergelib as ml
>>> suite = ml.load_suite("sketch-8")
>>> merged = ml.merge("doge-ta", suite.base, suite.experts, preset="exact", eta=0.15, damping=1.0)
>>> list(ml.evaluate(merged, suite, tasks=["digits"]).columns)[:3]
['task', 'accuracy', 'low']
"""

from . import adapt  # noqa: F401  (its methods join the registry)
from .checkpoints.lazy import CheckpointError
from .measure.scoring import evaluate
from .merging.loop import eta_for_mean_lambda, merge
from .methods import METHODS
from .papers.tables import published
from .suites import load_suite

__all__ = ["METHODS", "CheckpointError", "eta_for_mean_lambda", "evaluate", "load_suite", "merge", "published"]
__version__ = "0.1.0"
