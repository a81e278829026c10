"""DOGE once more, slowly and plainly: autograd, torch.optim, dense projectors and dense linear algebra, all in fp64.

What the fast version gives is held against these in the tests. `taus` maps names to T x rows x columns.
"""

import numpy as np
import torch
from torch import Tensor

Named = dict[str, Tensor]


def coefficients(tau: Tensor, eta: float) -> Tensor:
    """lam_i = eta / ||tau_i|| (Eq. 8): T numbers."""
    return eta / tau.flatten(1).norm(dim=1)


def in_sum(taus: Named, deltas: Named, eta: float) -> Named:
    """sum_i lam_i delta_i, name -> rows x columns."""
    return {name: torch.einsum("t,trc->rc", coefficients(tau.double(), eta), deltas[name].expand(tau.shape))
            for name, tau in taus.items()}


def dense_projector(tau: Tensor, ratio: float = 1 / 6, rank: int | None = None) -> Tensor:
    """I - U U^T with U from singular value decompositions, as Sec. 4.2 and App. B say: rows x rows."""
    rank = rank or min(tau.shape[1:])
    identity, each, shared = torch.eye(tau.shape[1]).double(), rank // len(tau), int(rank * ratio)
    if not each or not shared:
        return identity
    bases = torch.cat([torch.linalg.svd(one.double()).U[:, :each] for one in tau], dim=1)       # rows x T each
    u = torch.linalg.svd(bases).U[:, :shared]
    return identity - u @ u.T


def published(taus: Named, eta: float, inner_product: str, delta: str, optimiser, steps: int, along: bool = False) -> Named:
    """Eq. 5 to 7 by autograd: delta per tensor, 1 or T x rows x columns; `along`: within the subspace, not outside it."""
    taus = {name: tau.double() for name, tau in taus.items()}
    deltas = {name: torch.zeros(len(tau) if delta == "per_task" else 1, *tau.shape[1:], dtype=torch.float64,
                                requires_grad=True) for name, tau in taus.items()}
    projectors = {name: dense_projector(tau) for name, tau in taus.items()}
    if along:
        projectors = {name: torch.eye(len(out)).double() - out for name, out in projectors.items()}
    optimiser = optimiser(deltas.values())
    for _ in range(steps):
        optimiser.zero_grad()
        _loss(taus, deltas, eta, inner_product).backward()
        for name in taus:
            deltas[name].grad = projectors[name] @ deltas[name].grad
        optimiser.step()
    return {name: tensor.detach() for name, tensor in deltas.items()}


def _loss(taus: Named, deltas: Named, eta: float, inner_product: str) -> Tensor:
    """Eq. 5: the sum of squared inner products <-tau_j, sum_i lam_i (tau_i + delta_i) - tau_j>."""
    products = []
    for name, tau in taus.items():
        merged = torch.einsum("t,trc->rc", coefficients(tau, eta), tau + deltas[name])
        products.append((-tau * (merged - tau)).sum(dim=2))         # T x rows
    if inner_product == "row":
        return sum(product.square().sum() for product in products)
    if inner_product == "tensor":
        return sum(product.sum(dim=1).square().sum() for product in products)
    return sum(product.sum(dim=1) for product in products).square().sum()


def smallest(taus: Named, eta: float, inner_product: str, delta: str, direction: str = "orthogonal", damping: float = 0.0,
             slopes: Named | None = None) -> Named:
    """The smallest delta (all tensors and tasks stacked) with <slope_j, sum_i lam_i delta_i> = gap_j: sum_i lam_i delta_i.

    Damped: of the normal equations K a = gap, K + damping * diag(K) is inverted.
    """
    groups = [list(taus)] if inner_product == "global" else [[name] for name in taus]
    return {name: tensor for group in groups
            for name, tensor in _smallest({name: taus[name].double() for name in group}, eta, inner_product, delta, direction,
                                          damping, slopes or taus).items()}


def _smallest(taus, eta, inner_product, delta, direction, damping, slopes):
    """`smallest` of tensors that one system of equations couples."""
    equations, gaps, outside, weights = {}, [], {}, {}
    for name, tau in taus.items():
        tasks, rows, columns = tau.shape
        slope, lam = slopes[name].double(), coefficients(tau, eta)
        gap = (slope * (tau - torch.einsum("t,trc->rc", lam, tau))).sum(dim=2)      # T x rows
        matrix = torch.einsum("trc,rs->trsc", slope, torch.eye(rows).double())      # picks slope_j[r] from row r
        if inner_product != "row":
            gap, matrix = gap.sum(dim=1, keepdim=True), matrix.sum(dim=1, keepdim=True)
        projector = dense_projector(tau) if direction == "orthogonal" else torch.eye(rows).double()
        outside[name] = torch.kron(projector, torch.eye(columns).double())
        weights[name] = lam if delta == "per_task" else lam.sum()[None]
        gaps.append(gap.flatten())
        matrix = matrix.reshape(gap.numel(), rows * columns) @ outside[name]
        equations[name] = torch.cat([weight * matrix for weight in weights[name]], dim=1)
    solution = _least(torch.cat(list(equations.values()), dim=1).numpy(), sum(gaps).numpy(), damping)
    parts = torch.from_numpy(solution).split([equation.shape[1] for equation in equations.values()])
    return {name: (weights[name] @ (part.reshape(len(weights[name]), -1) @ outside[name])).reshape(tau.shape[1:])
            for (name, tau), part in zip(taus.items(), parts)}


def _least(a, gap, damping):
    """The smallest x with a x = gap, or the damped one."""
    if not damping:
        return np.linalg.lstsq(a, gap)[0]
    normal = a @ a.T
    return a.T @ np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gap)
