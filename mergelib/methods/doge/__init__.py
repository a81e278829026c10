"""DOGE: Eq. 8's coefficients and a modification of the task vectors, outside the directions that they share.

`merge` is the method, `subspace` and `solvers` the problem that it solves, `reference` both once more, slowly and plainly.
"""
