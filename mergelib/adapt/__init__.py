"""Which methods need data or a running model? One file each; importing this package enters them into the registry."""

# ruff: noqa: I001  (the order is that in which methods are listed)
from . import fisher, regmean, adamerging, tatr, concrete, doge, surgery, twin, wemoe  # noqa: F401
