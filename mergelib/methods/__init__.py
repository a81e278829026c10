"""Which methods are there? The registry, filled by one file for each family of methods."""

# ruff: noqa: I001  (the order is that in which methods are listed)
from .options import call
from .registry import EXEMPLARS, METHODS, TEST_PICTURES, TRAINING_PICTURES, WHICH_TASK, Method, method
from .tensors import ENCODER_MATRICES
from . import linear, ties, sparse, trust, spectral, calibration, interference, learned, unified  # noqa: F401
from .doge import delta  # noqa: F401

__all__ = ["call", "ENCODER_MATRICES", "EXEMPLARS", "METHODS", "Method", "method", "TEST_PICTURES", "TRAINING_PICTURES",
           "WHICH_TASK"]
