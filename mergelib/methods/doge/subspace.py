"""Which directions do the task vectors share? DOGE's shared subspace and the projection out of it."""

import warnings

import torch
from torch import Tensor

EPS = torch.finfo(torch.float32).eps      # of task vectors, whatever decomposes them


def as_matrices(taus: Tensor) -> Tensor:
    """T x shape as T x rows x columns: a vector is one row, a convolution one row per output channel."""
    return taus.reshape(len(taus), 1, -1) if taus.dim() < 3 else taus.reshape(*taus.shape[:2], -1)


def leading_left(matrix: Tensor, count: int) -> Tensor:
    """Orthonormal basis (rows x k) of the first `count` left singular directions of a matrix, of fewer if it has fewer.

    A direction counts if its singular value exceeds eps max(rows, columns) times the largest, eps being fp32's: which vector
    stands for a smaller one is chance, and differs from machine to machine. From the smaller Gram matrix, in fp64.

    >>> leading_left(torch.diag(torch.tensor([3., 2., 0.])), 3).abs()
    tensor([[1., 0.],
            [0., 1.],
            [0., 0.]])
    """
    rows, columns = matrix.shape
    wide = matrix.double()
    squares, vectors = torch.linalg.eigh(wide @ wide.T if rows <= columns else wide.T @ wide)          # ascending
    floor = (EPS * max(rows, columns)) ** 2 * squares[-1:]
    count = min(count, int((squares > floor).sum()))
    first = vectors[:, len(squares) - count:].flip(1)           # side x k
    basis = first if rows <= columns else torch.linalg.qr(wide @ first).Q
    return basis.to(matrix.dtype)


def shared_subspace(taus: Tensor, rank_ratio: float | None = 1 / 6, rank: str = "matrix", name: str = "this tensor") -> Tensor:
    """Basis of S_share (DOGE Sec. 4.2, App. B): rows x k, orthonormal columns.

    Each task vector (`taus`: T x rows x columns) gives its first floor(r / T) left singular vectors, unweighted, or as many as
    it has (see `leading_left`); of their concatenation the first k = floor(r rank_ratio) left singular vectors are the shared
    subspace, or floor(r / T) for a `rank_ratio` of None (DOGE AM as released). r is the smaller side (`rank="matrix"`, as
    released) or the largest numerical rank of the task vectors (`rank="numerical"`).
    With more tasks than r the subspace is empty, and a warning says so.
    """
    count = min(taus.shape[1:]) if rank == "matrix" else int(torch.linalg.matrix_rank(taus.float()).max())
    each = count // len(taus)
    shared = each if rank_ratio is None else int(count * rank_ratio)
    if each == 0 < count and min(taus.shape[1:]) > 1:
        warnings.warn(f"{name}: {len(taus)} tasks but rank {count}, so no direction can be shared by all and DOGE's "
                      f"subspace is empty here. Merge fewer tasks, or leave this tensor out with `keys`.", stacklevel=3)
    if each == 0 or shared == 0:
        return taus.new_zeros(taus.shape[1], 0)
    bases = torch.cat([leading_left(tau, each) for tau in taus], dim=1)         # rows x up to T each
    return leading_left(bases, shared)


def project_out(x: Tensor, basis: Tensor) -> Tensor:
    """x - U U^T x: what is left of x (rows x columns) outside the subspace of `basis` U (DOGE Eq. 6, 7)."""
    return x - basis @ (basis.T @ x) if basis.shape[1] else x
