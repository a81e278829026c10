"""What do singular vectors tell a merge? TSV-M, Iso-C, Iso-CTS, CART and KnOTS.

A direction of singular value zero is no direction: which vector stands for it is chance, and differs from machine to machine.
So what is taken are leading directions only, see `leading`.
"""

from itertools import starmap
from typing import Annotated

import torch
from torch import Tensor

from .linear import scaled_average, weight_average
from .options import Combine, Common, Density, Kept, Lam, Says
from .registry import method
from .tensors import Tensors
from .ties import agreeing, combined, ties, ties_first_pass

Prior = Annotated[float, Says("coefficient of the centred task vectors")]
EPS = torch.finfo(torch.float32).eps      # of task vectors, whatever decomposes them
DEPENDENT = 1e-6                          # singular value, relative to the largest, below which unit columns count as dependent
MATRICES = {"fallback": scaled_average, "merges": "matrices; lam times the mean of the rest"}


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, s, V of matrix = U diag(s) V^T, computed in fp64, given in the matrix's dtype."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return left.to(matrix.dtype), values.to(matrix.dtype), right.mT.to(matrix.dtype)


def leading(matrix: Tensor, count: int, largest: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count` singular triples of a matrix: U (rows x k), s (k), V (columns x k), fewer if it has fewer.

    A singular value counts if it exceeds eps max(rows, columns) times the `largest` (of the matrix, unless given), eps being
    fp32's: the rule by which numpy finds a rank.

    >>> leading(torch.diag(torch.tensor([3., 2., 0.])), 3)[1]
    tensor([3., 2.])
    """
    left, values, right = svd(matrix)
    floor = EPS * max(matrix.shape) * (values[:1] if largest is None else largest)
    k = min(count, int((values > floor).sum()))
    return left[:, :k], values[:k], right[:, :k]


def polar(columns: Tensor) -> Tensor:
    """The orthonormal columns closest to some unit columns: P Q^T of P diag(s) Q^T (the polar factor), without what depends."""
    left, values, right = svd(columns)
    independent = values > DEPENDENT * values[:1]
    return left[:, independent] @ right[:, independent].T           # rows x k, k x columns -> rows x columns


@method("tsv-m", title="TSV-M", paper="Gargiulo et al. 2025", equation="Alg. 1", url="https://arxiv.org/abs/2412.00081",
        **MATRICES)
def tsv_m(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0) -> Tensor:
    """TSV-M (Gargiulo et al. 2025, Alg. 1): theta_0 + lam U_perp S V_perp^T, the tasks' leading singular vectors decorrelated.

    Each task vector (`taus`: T x rows x columns) keeps its first floor(r / T) singular triples, one at least (r: the smaller
    side); U and V of all tasks side by side are replaced by their polar factors.

    >>> tsv_m(torch.zeros(2, 2), torch.tensor([[[2., 0.], [0., 0.]], [[0., 0.], [0., 1.]]]))
    tensor([[2., 0.],
            [0., 1.]])
    """
    kept = max(1, min(theta_0.shape) // len(taus))
    lefts, values, rights = zip(*(leading(tau, kept) for tau in taus))
    left, right = (polar(torch.cat(parts, dim=1)) for parts in (lefts, rights))       # rows x T kept, columns x T kept
    return theta_0 + lam * (left * torch.cat(values)) @ right.T


@method("iso-c", title="Iso-C", paper="Marczak et al. 2025", equation="Alg. 1", url="https://arxiv.org/abs/2502.04959",
        defaults={"lam": 1.5}, **MATRICES)      # FusionBench's own table has lam 1.5
def iso_c(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0) -> Tensor:
    """Iso-C (Marczak et al. 2025, Alg. 1): theta_0 + lam mean(s) U V^T, the spectrum of sum_i tau_i made flat.

    >>> iso_c(torch.zeros(2, 2), torch.diag(torch.tensor([3., 1.]))[None]).abs()
    tensor([[2., 0.],
            [0., 2.]])
    """
    left, values, right = leading(taus.sum(dim=0), min(theta_0.shape))
    return theta_0 + lam * _mean(values) * left @ right.T


@method("iso-cts", title="Iso-CTS", paper="Marczak et al. 2025", equation="Alg. 2", url="https://arxiv.org/abs/2502.04959",
        defaults={"lam": 1.5}, **MATRICES)
def iso_cts(theta_0: Tensor, taus: Tensor, lam: Lam = 1.0, common: Common = 0.8) -> Tensor:
    """Iso-CTS (Marczak et al. 2025, Alg. 2): as Iso-C, but the weakest common directions give way to the tasks' own.

    Of sum_i tau_i = U diag(s) V^T the first `common` of the directions stay, a few more or fewer so that the rest divides
    evenly among the tasks. Each task adds the leading directions of what is left of its vector outside them. U and V are
    orthonormalised (polar factors), and all singular values become their mean.
    """
    left, value, right = iso_cts_factors(taus, common)
    return theta_0 + lam * value * left @ right.T


def iso_cts_factors(taus: Tensor, common: float) -> tuple[Tensor, Tensor, Tensor]:
    """U (rows x k), the one singular value and V (columns x k) of Iso-CTS, of `taus` (T x rows x columns)."""
    side = min(taus.shape[1:])
    own = round((side - int(side * common)) / len(taus))
    parts = [leading(taus.sum(dim=0), max(0, side - own * len(taus)))]
    shared = parts[0][0].double()
    for tau in taus.double():
        outside = tau - shared @ (shared.T @ tau)           # in fp64, for it may be next to nothing
        parts.append(leading(outside, own, torch.linalg.matrix_norm(tau, 2)))
    lefts, values, rights = (torch.cat([part.to(taus.dtype) for part in kind], dim=-1) for kind in zip(*parts))
    return polar(lefts), _mean(values), polar(rights)


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing."""
    return values.sum() / max(1, len(values))


@method("cart", title="CART", paper="Choi et al. 2024", equation="theta_avg + prior sum_i SVD_k(theta_i - theta_avg)",
        url="https://arxiv.org/abs/2412.12153", fallback=weight_average, merges="matrices; the mean of the rest")
def cart(theta_0: Tensor, taus: Tensor, prior: Prior = 2.0, kept: Kept = 0.12) -> Tensor:
    """CART (Choi et al. 2024): the experts' mean, plus `prior` times what each expert's leading directions add to it.

    `taus`: T x rows x columns. Of tau_i - mean the first floor(`kept` r) singular triples stay, one at least (r: the smaller
    side). The defaults are the released settings of ViT-B/32 and eight tasks; the paper recommends to keep about 0.08. Of two
    experts the mean is all, for what they add is opposite.

    >>> cart(torch.zeros(2, 2), torch.tensor([[[4., 0.], [0., 0.]], [[0., 0.], [0., 2.]]]), kept=0.5)
    tensor([[2., 0.],
            [0., 1.]])
    """
    mean, count = taus.mean(dim=0), max(1, int(kept * min(theta_0.shape)))
    triples = (leading(tau - mean, count) for tau in taus)
    return theta_0 + mean + prior * sum(left * values @ right.T for left, values, right in triples)


def align(taus: Tensor, tolerance: float = 1e-5) -> tuple[Tensor, Tensor]:
    """KnOTS' common basis: U (rows x k) and aligned vectors (T x k x columns) with tau_i = U aligned_i.

    U holds the left singular vectors of [tau_1 .. tau_T] whose singular values exceed `tolerance` (Stoica et al. 2025, Eq. 3).
    From the Gram matrix of the rows in fp64, whose eigenvalues are the squares.
    """
    wide = taus.double()
    squares, basis = torch.linalg.eigh(torch.einsum("tij,tkj->ik", wide, wide))        # rows, rows x rows, ascending
    kept = (squares > max(tolerance**2, 1e-12 * squares.max().item())).flip(0)
    basis = basis.flip(1)[:, kept]
    return basis.to(taus.dtype), (basis.T @ wide).to(taus.dtype)


def _aligned(name: str, theta_0: Tensor, taus: Tensor) -> tuple[str, Tensor, Tensor]:
    """A tensor with aligned vectors in place of task vectors; what is no matrix as it is."""
    return name, theta_0, align(taus)[1] if taus.dim() == 3 else taus


def knots_first_pass(tensors: Tensors, density: Density = 0.2) -> dict:
    """First pass of `knots`: TIES' thresholds (T) and majority sign, of the aligned vectors."""
    return ties_first_pass(lambda: starmap(_aligned, tensors()), density)


@method("knots", title="KnOTS-TIES", paper="Stoica et al. 2025", equation="Eq. 3, Sec. 4", url="https://arxiv.org/abs/2410.19735",
        first_pass=knots_first_pass, fallback=ties, merges="matrices in a common basis; TIES of the rest")
def knots(theta_0: Tensor, taus: Tensor, thresholds: Tensor, majority: Tensor, lam: Lam = 0.6,
          combine: Combine = "mean") -> Tensor:
    """KnOTS-TIES (Stoica et al. 2025, Sec. 4): TIES between task vectors expressed in a common basis, theta_0 + lam U merged.

    `taus`: T x shape of theta_0; `thresholds`, `majority`: from `knots_first_pass`; `combine` as for TIES.
    """
    basis, aligned = align(taus)                # rows x k, T x k x columns
    merged = combined(torch.zeros_like(aligned[0]), agreeing(aligned, thresholds, majority), lam, combine)
    return theta_0 + basis @ merged
