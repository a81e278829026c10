"""Which measurements does a table or figure need? Each experiment declares them, asks the ledger, returns a tidy table."""

from .cost import inference_ratios, models_kept
from .gaps import averages, order_kept, paired_gaps
from .measure import Job, accuracy_table, measure, reference_rows, spot_check
from .regime import regime_table, regime_verdict
from .scaling import by_task_count, learned_task_count, lower_start, task_count, task_subsets
from .selection import DOGE, chosen_jobs, chosen_rows, selection, setting
from .solver import budget_averages, damping_sweep, solver_budget, solver_losses, step_lengths, taylor_check
from .tables import built_rows, learned_rows, literal_eta_rows, main_rows, other_rows, wide_selection
from .vectors import (
    conflict_losses,
    conflict_matrix,
    lambda_sweep,
    magnitudes,
    subspace_shares,
    sweep_averages,
    task_cosines,
)

__all__ = ["accuracy_table", "averages", "budget_averages", "built_rows", "by_task_count", "chosen_jobs", "chosen_rows",
           "conflict_losses", "conflict_matrix", "damping_sweep", "DOGE", "inference_ratios", "Job", "lambda_sweep",
           "learned_rows", "learned_task_count", "literal_eta_rows", "lower_start", "magnitudes", "main_rows", "measure",
           "models_kept", "order_kept", "other_rows", "paired_gaps", "reference_rows", "regime_table", "regime_verdict",
           "selection", "setting", "solver_budget", "solver_losses", "spot_check", "step_lengths", "subspace_shares",
           "sweep_averages", "task_cosines", "task_count", "task_subsets", "taylor_check", "wide_selection"]
