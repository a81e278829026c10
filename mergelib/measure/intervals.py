"""How far from the truth may a score be? Intervals for proportions and rank correlations."""

import math


def rho_interval(rho, n):
    """About 95 % (low, high) for Spearman's rho by Fisher's transformation with Fieller's variance 1.06 / (n - 3)."""
    centre, half = math.atanh(max(-0.9999, min(0.9999, rho))), 1.96 * math.sqrt(1.06 / max(1, n - 3))
    return math.tanh(centre - half), math.tanh(centre + half)


def wilson(hits, n):
    """Wilson's 95 % interval for a proportion: (low, high).

    >>> low, high = wilson(8, 10)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.49 to 0.94
    """
    from scipy.stats import binomtest  # takes most of a second to import
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
