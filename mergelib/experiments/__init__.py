"""Which measurements does a table or figure need? Each experiment declares them, asks the ledger, returns a tidy table."""

from .ablations import (
    ablation,
    changed,
    changed_anew,
    chosen_etas,
    eta_rows,
    gradient_rows,
    lambda_rows,
    per_task_rows,
    printed_ablation,
)
from .choosing import DOGE, chosen_jobs, chosen_rows, selection, setting
from .corruptions import FOUR, adapted, by_condition, robustness
from .costs import inference_ratios, merging_costs, models_kept
from .criteria import criteria, standing
from .gaps import averages, averages_by, interval, order_kept, paired_gaps, resampled
from .generalisation import UNSEEN, seen_and_unseen, unseen_rows
from .language import answer_rows, etas_like, language_ablation, language_rows, language_selection
from .learning import HEATS, PATHS, coefficients, entropy_and_loss
from .measuring import Job, accuracy_table, measure, reference_rows, spot_check
from .ranks import direction_table, explained, rank_rows, rank_table
from .regimes import off_format, regime_of, regime_table, regime_verdict, text_chance, text_verdict
from .scaling import by_task_count, learned_task_count, lower_start, task_count, task_subsets
from .solver import (
    budget_averages,
    budget_table,
    damping_sweep,
    solver_budget,
    solver_counts,
    solver_losses,
    step_lengths,
    taken_apart,
    taylor_check,
)
from .tables import built_rows, learned_rows, literal_eta_rows, main_rows, other_rows, printed_rows, wide_selection
from .trust_region import corners, exemplar_rows, form_rows, landscapes, layer_sensitivity, ratio_rows
from .vectors import conflict_losses, conflict_matrix, lambda_sweep, magnitudes, subspace_shares, sweep_averages, task_cosines

__all__ = ["ablation", "accuracy_table", "adapted", "answer_rows", "averages", "averages_by", "budget_averages",
           "budget_table", "built_rows", "by_condition", "by_task_count", "changed", "changed_anew", "chosen_etas",
           "chosen_jobs", "chosen_rows", "coefficients", "conflict_losses", "conflict_matrix", "corners", "criteria",
           "damping_sweep", "direction_table", "DOGE", "entropy_and_loss", "eta_rows", "etas_like", "exemplar_rows",
           "explained", "form_rows", "FOUR", "gradient_rows", "HEATS", "inference_ratios", "interval", "Job", "lambda_rows",
           "lambda_sweep", "landscapes", "language_ablation", "language_rows", "language_selection", "layer_sensitivity",
           "learned_rows", "learned_task_count", "literal_eta_rows", "lower_start", "magnitudes", "main_rows", "measure",
           "merging_costs", "models_kept", "off_format", "order_kept", "other_rows", "paired_gaps", "PATHS", "per_task_rows",
           "printed_ablation", "printed_rows", "rank_rows", "rank_table", "ratio_rows", "reference_rows", "regime_of",
           "regime_table", "regime_verdict", "resampled", "robustness", "seen_and_unseen", "selection", "setting",
           "solver_budget", "solver_counts", "solver_losses", "spot_check", "standing", "step_lengths", "subspace_shares",
           "sweep_averages", "taken_apart", "task_cosines", "task_count", "task_subsets", "taylor_check", "text_chance",
           "text_verdict", "UNSEEN", "unseen_rows", "wide_selection"]
