"""Which directions do the task vectors share? DOGE's shared subspace and the projection out of it."""

import warnings

import torch

from ..tensors import one_of


def as_matrices(taus):
    """T x shape as T x rows x columns: a vector is one row, a convolution one row per output channel."""
    return taus.reshape(len(taus), 1, -1) if taus.dim() < 3 else taus.reshape(*taus.shape[:2], -1)


def leading_left(matrix, count):
    """Orthonormal basis (rows x count) of the first `count` left singular directions of a matrix.

    From the smaller Gram matrix: the same subspace as an SVD gives, in a fraction of its time.
    """
    if count == 0:
        return matrix.new_zeros(len(matrix), 0)
    if matrix.shape[0] <= matrix.shape[1]:
        basis = torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -count:]
    else:
        basis = torch.linalg.qr(matrix @ torch.linalg.eigh(matrix.T @ matrix).eigenvectors[:, -count:]).Q
    return basis.flip(1)


def shared_subspace(taus, rank_ratio=1 / 6, rank="matrix", name="this tensor"):
    """Basis of S_share (DOGE Sec. 4.2, App. B): rows x k, orthonormal columns.

    Each task vector (`taus`: T x rows x columns) gives its first floor(r / T) left singular vectors, unweighted; of their
    concatenation the first k = floor(r rank_ratio) left singular vectors are the shared subspace, or floor(r / T) for a
    `rank_ratio` of None (DOGE AM as released). r is the smaller side (`rank="matrix"`, as released) or the largest numerical
    rank of the task vectors (`rank="numerical"`).
    With more tasks than r the subspace is empty, and a warning says so.
    """
    one_of("rank", rank, ("matrix", "numerical"))
    count = min(taus.shape[1:]) if rank == "matrix" else int(torch.linalg.matrix_rank(taus.float()).max())
    each = count // len(taus)
    shared = each if rank_ratio is None else int(count * rank_ratio)
    if each == 0 < count and min(taus.shape[1:]) > 1:
        warnings.warn(f"{name}: {len(taus)} tasks but rank {count}, so no direction can be shared by all and DOGE's "
                      f"subspace is empty here. Merge fewer tasks, or leave this tensor out with `keys`.", stacklevel=3)
    if each == 0 or shared == 0:
        return taus.new_zeros(taus.shape[1], 0)
    bases = torch.cat([leading_left(tau, each) for tau in taus], dim=1)
    return leading_left(bases, min(shared, bases.shape[1]))


def project_out(x, basis):
    """x - U U^T x: what is left of x (rows x columns) outside the subspace of `basis` U (DOGE Eq. 6, 7)."""
    return x - basis @ (basis.T @ x) if basis.shape[1] else x
