"""How far from the truth may a score be? Intervals for proportions and rank correlations."""

import math


def rho_interval(rho, n):
    """About 95 % (low, high) for Spearman's rho by Fisher's transformation with Fieller's variance 1.06 / (n - 3)."""
    centre, half = math.atanh(max(-0.9999, min(0.9999, rho))), 1.96 * math.sqrt(1.06 / max(1, n - 3))
    return math.tanh(centre - half), math.tanh(centre + half)


def wilson(hits, n, z=1.96):
    """Wilson's interval for a proportion: (low, high); z = 1.96 gives 95 %."""
    centre, spread = hits + z * z / 2, z * (hits * (n - hits) / n + z * z / 4) ** 0.5
    return (centre - spread) / (n + z * z), (centre + spread) / (n + z * z)
