"""DOGE: the shared subspace, the problem and its solvers, the merge."""
