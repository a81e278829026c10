"""How is DOGE's objective minimised? By Adam or plain gradient descent as published, or exactly by conjugate gradients.

The unknown is the modification delta of Eq. 4 to 7, one for all tasks or one each: 1 or T x rows x columns per tensor.
Inner products are taken per row, per tensor, or over all tensors ("global"); only the last couples the tensors.
"""

from dataclasses import dataclass
from functools import partial

import torch

from ..tensors import one_of
from .subspace import project_out


@dataclass
class Block:
    """One tensor of the problem: task vectors `taus` (T x rows x columns), `lam` (T), basis of S_share (rows x k)."""

    taus: torch.Tensor
    lam: torch.Tensor
    basis: torch.Tensor
    per_task: bool = False               # one delta for each task, or one for all
    direction: str = "orthogonal"        # to the subspace; "along" it, or "free"
    slopes: torch.Tensor | None = None   # T x rows x columns: the left side of each inner product, by default the task vectors

    def __post_init__(self):
        self.slopes = self.taus if self.slopes is None else self.slopes

    def allowed(self, x):
        """The part of x (..., rows x columns) in which delta may go (DOGE Eq. 7)."""
        outside = project_out(x, self.basis)
        return x - outside if self.direction == "along" else outside

    @property
    def weights(self):
        """The factor of each delta in `total`."""
        return self.lam if self.per_task else self.lam.sum()[None]

    def total(self, deltas):
        """C = sum_i lam_i delta_i: rows x columns."""
        return torch.tensordot(self.weights, deltas, dims=1)

    def dot(self, x, per_row):
        """<slope_j, x> for every task: T x rows per row, else T x 1. `x`: rows x columns."""
        if per_row:
            return torch.bmm(x[:, None], self.slopes.permute(1, 2, 0))[:, 0].T      # a product per row, and no copy
        return (self.slopes.flatten(1) @ x.flatten())[:, None]

    def span(self, a):
        """sum_j a_j slope_j for coefficients T x rows or T x 1: rows x columns."""
        total = torch.zeros_like(self.slopes[0])
        for one, slope in zip(a[:, :, None], self.slopes):
            total.addcmul_(one, slope)
        return total

    def gap(self, per_row):
        """<slope_j, tau_j - sum_i lam_i tau_i>, what the modification has to add to each inner product."""
        own = torch.stack([(slope * tau).sum(dim=1) for slope, tau in zip(self.slopes, self.taus)])
        own = own if per_row else own.sum(dim=1, keepdim=True)
        return own - self.dot(torch.tensordot(self.lam, self.taus, dims=1), per_row)

    def diagonal(self, per_row):
        """The diagonal of a -> dot(P span(a)), P the projection of `allowed`; rounding errors count as zero."""
        squares = torch.linalg.vector_norm(self.slopes, dim=2).square()
        if per_row:
            inside = self.basis.square().sum(dim=1)
            allowed = squares * (inside if self.direction == "along" else 1 - inside)
        else:
            squares = squares.sum(dim=1, keepdim=True)
            allowed = torch.stack([(slope * self.allowed(slope)).sum() for slope in self.slopes])[:, None]
        return allowed * (allowed > 100 * torch.finfo(squares.dtype).eps * squares)


def solve(blocks, inner_product="row", solver="adam", steps=400, lr=1e-4, damping=0.0, project_after=False):
    """The modification of each block (1 or T x rows x columns) that closes DOGE's gap (Eq. 5).

    `inner_product`: "row" (as released), "tensor" (the text) or "global" (over all blocks). `solver`: "adam" and "gd" take
    `steps` steps of rate `lr`; "exact" takes at most `steps` conjugate-gradient steps to the smallest solution, damped by
    `damping` times the operator's diagonal. `project_after`: project delta itself after each step, not only the gradient.
    Raises ValueError for an unknown choice.
    """
    one_of("inner_product", inner_product, ("row", "tensor", "global"))
    one_of("solver", solver, ("adam", "gd", "exact"))
    per_row = inner_product == "row"
    gap = sum(block.gap(per_row) for block in blocks)
    if solver == "exact":
        return exact(blocks, gap, steps, damping)
    return descend(blocks, gap, solver, steps, lr, project_after)


def descend(blocks, gap, solver="adam", steps=400, lr=1e-4, project_after=False, record=None):
    """Projected gradient steps from delta = 0, as published (DOGE Alg. 1, App. B), with the analytic gradient.

    With C = sum_i lam_i delta_i the loss is sum_j (<tau_j, C> - gap_j)^2, and its gradient in delta_i is
    2 lam_i sum_j (<tau_j, C> - gap_j) tau_j. Every delta_i has its own optimiser state.
    A list `record` receives the loss before every step.
    """
    per_row = gap.shape[1] > 1
    deltas = [block.taus.new_zeros(len(block.weights), *block.taus.shape[1:]) for block in blocks]
    rule = {"adam": partial(torch.optim.Adam, fused=True), "gd": torch.optim.SGD}[solver](deltas, lr=lr)
    for _ in range(steps):
        residual = sum(block.dot(block.total(delta), per_row) for block, delta in zip(blocks, deltas)) - gap
        if record is not None:
            record.append(residual.square().sum().item())
        for block, delta in zip(blocks, deltas):
            delta.grad = 2 * block.weights[:, None, None] * block.allowed(block.span(residual))
        rule.step()
        if project_after:
            for block, delta in zip(blocks, deltas):
                delta.copy_(block.allowed(delta))
    return [delta.detach() for delta in deltas]


def exact(blocks, gap, steps=32, damping=0.0, tolerance=1e-6):
    """The smallest deltas outside the subspace with <tau_j, C> = gap_j, by preconditioned conjugate gradients.

    C = sum_i lam_i delta_i; delta_i = w_i P sum_j a_j tau_j with P the projection and w the block's weights. `a` (T x rows,
    or T x 1) solves sum |w|^2 <tau_j, P sum_i a_i tau_i> = gap_j, symmetric and non-negative. Preconditioned by its diagonal.
    """
    per_row = gap.shape[1] > 1
    diagonal = sum(block.weights.square().sum() * block.diagonal(per_row) for block in blocks)
    inverse = torch.where(diagonal > 0, 1 / diagonal.clamp_min(torch.finfo(gap.dtype).tiny), 0 * diagonal)

    def deltas(a):
        return [block.weights[:, None, None] * block.allowed(block.span(a)) for block in blocks]

    def operator(a):
        products = sum(block.dot(block.total(delta), per_row) for block, delta in zip(blocks, deltas(a)))
        return products + damping * diagonal * a

    return deltas(conjugate_gradients(operator, gap, inverse, steps, tolerance))


def conjugate_gradients(operator, target, inverse, steps, tolerance):
    """Solve operator(a) = target from a = 0, preconditioned elementwise by `inverse`; at most `steps` steps."""
    a, residual = torch.zeros_like(target), target.clone()
    z = inverse * residual
    direction, rho = z, (residual * z).sum()
    goal = tolerance**2 * rho
    for _ in range(steps):
        if rho <= goal:
            break
        image = operator(direction)
        curvature = (direction * image).sum()
        if curvature <= 0:
            break
        a = a + rho / curvature * direction
        residual = residual - rho / curvature * image
        z = inverse * residual
        rho, previous = (residual * z).sum(), rho
        direction = z + rho / previous * direction
    return a
