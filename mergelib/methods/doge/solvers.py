"""How is DOGE's objective minimised? By Adam or plain gradient descent as published, or exactly by conjugate gradients.

The unknown is the modification delta of Eq. 4 to 7, one for all tasks or one each: 1 or T x rows x columns per tensor.
Inner products are taken per row, per tensor, or over all tensors ("global"); only the last couples the tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .subspace import EPS, project_out


class Unsolved(ArithmeticError):
    """Conjugate gradients in fp32 have not solved a problem within their steps."""


@dataclass
class Block:
    """One tensor of the problem: task vectors `taus` (T x rows x columns), `lam` (T), basis of S_share (rows x k)."""

    taus: Tensor
    lam: Tensor
    basis: Tensor
    per_task: bool = False               # one delta for each task, or one for all
    direction: str = "orthogonal"        # to the subspace; "along" it, or "free"
    slopes: Tensor | None = None         # T x rows x columns: the left side of each inner product, by default the task vectors

    def __post_init__(self):
        self.slopes = self.taus if self.slopes is None else self.slopes

    def allowed(self, x: Tensor) -> Tensor:
        """The part of x (..., rows x columns) in which delta may go (DOGE Eq. 7)."""
        outside = project_out(x, self.basis)
        return x - outside if self.direction == "along" else outside

    @property
    def weights(self) -> Tensor:
        """The factor of each delta in `total`: T numbers, or one."""
        return self.lam if self.per_task else self.lam.sum()[None]

    def total(self, deltas: Tensor) -> Tensor:
        """C = sum_i lam_i delta_i: rows x columns."""
        return torch.tensordot(self.weights, deltas, dims=1)

    def dot(self, x: Tensor, per_row: bool) -> Tensor:
        """<slope_j, x> for every task: T x rows per row, else T x 1. `x`: rows x columns."""
        if per_row:     # rows x 1 x columns times rows x columns x T: a product per row, and no copy
            return torch.bmm(x[:, None], self.slopes.permute(1, 2, 0))[:, 0].T
        return (self.slopes.flatten(1) @ x.flatten())[:, None]

    def span(self, a: Tensor) -> Tensor:
        """sum_j a_j slope_j for coefficients T x rows or T x 1: rows x columns."""
        total = torch.zeros_like(self.slopes[0])
        for one, slope in zip(a[:, :, None], self.slopes):        # rows x 1, rows x columns
            total.addcmul_(one, slope)
        return total

    def gap(self, per_row: bool) -> Tensor:
        """<slope_j, tau_j - sum_i lam_i tau_i>, what the modification has to add to each inner product: T x rows, or T x 1."""
        own = torch.stack([(slope * tau).sum(dim=1) for slope, tau in zip(self.slopes, self.taus)])
        own = own if per_row else own.sum(dim=1, keepdim=True)
        return own - self.dot(torch.tensordot(self.lam, self.taus, dims=1), per_row)

    def diagonal(self, per_row: bool) -> Tensor:
        """The diagonal of a -> dot(P span(a)), P the projection of `allowed`; rounding errors count as zero."""
        squares = torch.linalg.vector_norm(self.slopes, dim=2).square()         # T x rows
        if per_row:
            inside = self.basis.square().sum(dim=1)
            allowed = squares * (inside if self.direction == "along" else 1 - inside)
        else:
            squares = squares.sum(dim=1, keepdim=True)
            allowed = torch.stack([(slope * self.allowed(slope)).sum() for slope in self.slopes])[:, None]
        return allowed * (allowed > 100 * EPS * squares)


def solve(blocks: list[Block], inner_product: str = "row", solver: str = "adam", steps: int = 400, lr: float = 1e-4,
          damping: float = 0.0, project_after: bool = False) -> list[Tensor]:
    """The modification of each block (1 or T x rows x columns) that closes DOGE's gap (Eq. 5).

    `inner_product`: "row" (as released), "tensor" (the text) or "global" (over all blocks). `solver`: "adam" and "gd" take
    `steps` steps of rate `lr`; "exact" takes at most `steps` conjugate-gradient steps to the smallest solution, damped by
    `damping` times the operator's diagonal. `project_after`: project delta itself after each step, not only the gradient.
    Raises `Unsolved`, see `exact`.
    """
    per_row = inner_product == "row"
    gap = sum(block.gap(per_row) for block in blocks)
    if solver == "exact":
        return exact(blocks, gap, per_row, steps, damping)
    return descend(blocks, gap, per_row, solver, steps, lr, project_after)


def descend(blocks: list[Block], gap: Tensor, per_row: bool, solver: str = "adam", steps: int = 400, lr: float = 1e-4,
            project_after: bool = False, record: list | None = None) -> list[Tensor]:
    """Projected gradient steps from delta = 0, as published (DOGE Alg. 1, App. B), with the analytic gradient.

    With C = sum_i lam_i delta_i the loss is sum_j (<tau_j, C> - gap_j)^2, and its gradient in delta_i is
    2 lam_i sum_j (<tau_j, C> - gap_j) tau_j. Every delta_i has its own optimiser state.
    A list `record` receives the loss before every step.
    """
    deltas = [block.taus.new_zeros(len(block.weights), *block.taus.shape[1:]) for block in blocks]
    rule = {"adam": partial(torch.optim.Adam, fused=True), "gd": torch.optim.SGD}[solver](deltas, lr=lr)
    for _ in range(steps):
        residual = sum(block.dot(block.total(delta), per_row) for block, delta in zip(blocks, deltas)) - gap
        if record is not None:
            record.append(residual.square().sum().item())
        for block, delta in zip(blocks, deltas):
            delta.grad = 2 * block.weights[:, None, None] * block.allowed(block.span(residual))      # 1 or T x rows x columns
        rule.step()
        if project_after:
            for block, delta in zip(blocks, deltas):
                delta.copy_(block.allowed(delta))
    return [delta.detach() for delta in deltas]


def exact(blocks: list[Block], gap: Tensor, per_row: bool, steps: int = 32, damping: float = 0.0,
          tolerance: float = 1e-6) -> list[Tensor]:
    """The smallest deltas outside the subspace with <tau_j, C> = gap_j, by preconditioned conjugate gradients.

    C = sum_i lam_i delta_i; delta_i = w_i P sum_j a_j tau_j with P the projection and w the block's weights. `a` (T x rows,
    or T x 1) solves sum |w|^2 <tau_j, P sum_i a_i tau_i> = gap_j, symmetric and non-negative. Preconditioned by its diagonal.
    Raises `Unsolved` if fp32 has not solved it in `steps` steps: then the last digits of sums decide where it stands, and
    fp64, which is given what it has got, should be taken.
    """
    diagonal = sum(block.weights.square().sum() * block.diagonal(per_row) for block in blocks)
    inverse = torch.where(diagonal > 0, 1 / diagonal.clamp_min(torch.finfo(gap.dtype).tiny), 0 * diagonal)

    def deltas(a):
        return [block.weights[:, None, None] * block.allowed(block.span(a)) for block in blocks]

    def operator(a):
        products = sum(block.weights.square().sum() * block.dot(block.allowed(block.span(a)), per_row) for block in blocks)
        return products + damping * diagonal * a

    a, solved = conjugate_gradients(operator, gap, inverse, steps, tolerance)
    if not solved and gap.dtype == torch.float32:
        raise Unsolved
    return deltas(a)


def conjugate_gradients(operator: Callable[[Tensor], Tensor], target: Tensor, inverse: Tensor, steps: int,
                        tolerance: float) -> tuple[Tensor, bool]:
    """Solve operator(a) = target from a = 0, preconditioned elementwise by `inverse`: (a, whether at most `steps` steps did).

    Each residual is made orthogonal to all before it, as it is without rounding; otherwise rounding errors grow from step to
    step where the operator is ill-conditioned, and the result depends on the order of sums.
    """
    a, residual = torch.zeros_like(target), target
    z = inverse * residual
    direction, rho = z, (residual * z).sum()
    goal, earlier = tolerance**2 * rho, []
    for _ in range(steps):
        if rho <= goal:
            break
        image = operator(direction)
        curvature = (direction * image).sum()
        if curvature <= 0:
            break
        earlier.append((residual, z, rho))
        a = a + rho / curvature * direction
        residual = residual - rho / curvature * image
        for before, z_before, size in earlier:
            residual = residual - (z_before * residual).sum() / size * before
        z = inverse * residual
        rho, previous = (residual * z).sum(), rho
        direction = z + rho / previous * direction
    return a, bool(rho <= goal)
