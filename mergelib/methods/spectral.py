"""What do singular vectors tell a merge? TSV-M, Iso-C, Iso-CTS and KnOTS; tensors that are no matrices are averaged."""

from itertools import starmap

import torch

from .ties import agreeing, combined, ties_first_pass


def svd(matrix):
    """U, s, V of matrix = U diag(s) V^T, computed in fp64, given in the matrix's dtype."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return left.to(matrix.dtype), values.to(matrix.dtype), right.mT.to(matrix.dtype)


def polar(matrix):
    """The orthonormal columns closest to a matrix's: P Q^T of its singular value decomposition (the polar factor)."""
    left, _, right = svd(matrix)
    return left @ right.T


def tsv_m(theta_0, taus, lam=1.0):
    """TSV-M (Gargiulo et al. 2025, Alg. 1): theta_0 + lam U_perp S V_perp^T, the tasks' leading singular vectors decorrelated.

    Each task vector (`taus`: T x rows x columns) keeps its first floor(r / T) singular triples, one at least (r: the smaller
    side), of those that a low-rank task vector has; U and V of all tasks side by side are replaced by their polar factors.
    """
    if taus.dim() != 3:
        return theta_0 + lam * taus.mean(dim=0)
    kept = max(1, min(theta_0.shape) // len(taus))
    lefts, values, rights = zip(*((u[:, :kept], s[:kept], v[:, :kept]) for u, s, v in map(svd, taus)))
    solid = torch.cat([s > torch.finfo(s.dtype).eps * max(theta_0.shape) * s[0] for s in values])      # numpy's rule for a rank
    left, right = (polar(torch.cat(parts, dim=1)[:, solid]) for parts in (lefts, rights))
    return theta_0 + lam * (left * torch.cat(values)[solid]) @ right.T


def iso_c(theta_0, taus, lam=1.0):
    """Iso-C (Marczak et al. 2025, Alg. 1): theta_0 + lam mean(s) U V^T, the spectrum of sum_i tau_i made flat."""
    if taus.dim() != 3:
        return theta_0 + lam * taus.mean(dim=0)
    left, values, right = svd(taus.sum(dim=0))
    return theta_0 + lam * values.mean() * left @ right.T


def iso_cts(theta_0, taus, lam=1.0, common=0.8):
    """Iso-CTS (Marczak et al. 2025, Alg. 2): as Iso-C, but the weakest common directions give way to the tasks' own.

    Of sum_i tau_i = U diag(s) V^T the first `common` of the directions stay, a few more or fewer so that the rest divides
    evenly among the tasks. Each task adds the leading directions of what is left of its vector outside them. U and V are
    orthonormalised (polar factors), and all singular values become their mean.
    """
    if taus.dim() != 3:
        return theta_0 + lam * taus.mean(dim=0)
    left, values, right = svd(taus.sum(dim=0))
    own = round((len(values) - int(len(values) * common)) / len(taus))
    shared = max(0, len(values) - own * len(taus))
    parts = [(left[:, :shared], values[:shared], right[:, :shared])]
    outside = taus - left[:, :shared] @ (left[:, :shared].T @ taus)
    parts += [(u[:, :own], s[:own], v[:, :own]) for u, s, v in map(svd, outside)]
    lefts, values, rights = zip(*parts)
    return theta_0 + lam * torch.cat(values).mean() * polar(torch.cat(lefts, dim=1)) @ polar(torch.cat(rights, dim=1)).T


def align(taus, tolerance=1e-5):
    """KnOTS' common basis: U (rows x k) and aligned vectors (T x k x columns) with tau_i = U aligned_i.

    U holds the left singular vectors of [tau_1 .. tau_T] whose singular values exceed `tolerance` (Stoica et al. 2025, Eq. 3).
    From the Gram matrix of the rows in fp64, whose eigenvalues are the squares.
    """
    wide = taus.double()
    squares, basis = torch.linalg.eigh(torch.einsum("tij,tkj->ik", wide, wide))
    kept = (squares > max(tolerance**2, 1e-12 * squares.max().item())).flip(0)
    basis = basis.flip(1)[:, kept]
    return basis.to(taus.dtype), (basis.T @ wide).to(taus.dtype)


def _aligned(name, theta_0, taus):
    """A tensor with aligned vectors in place of task vectors; what is no matrix as it is."""
    return name, theta_0, align(taus)[1] if taus.dim() == 3 else taus


def knots_first_pass(tensors, density=0.2):
    """First pass of `knots`: TIES' thresholds (T) and majority sign, of the aligned vectors."""
    return ties_first_pass(lambda: starmap(_aligned, tensors()), density)


def knots(theta_0, taus, thresholds, majority, lam=0.6, combine="mean"):
    """KnOTS-TIES (Stoica et al. 2025, Sec. 4): TIES between task vectors expressed in a common basis, theta_0 + lam U merged.

    `taus`: T x shape of theta_0; `combine` as for TIES; what is no matrix is merged by TIES as it is.
    """
    basis, aligned = align(taus) if taus.dim() == 3 else (None, taus)
    merged = combined(torch.zeros_like(aligned[0]), agreeing(aligned, thresholds, majority), lam, combine)
    return theta_0 + (merged if basis is None else basis @ merged)
