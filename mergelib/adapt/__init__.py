"""Which quantities need data or a running model? Gradients so far; the methods that adapt to data build on them."""

from .gradients import loss_gradient

__all__ = ["loss_gradient"]
