"""How does this paper item look? One function per figure: a tidy DataFrame goes in, a matplotlib Figure comes out."""

from .base import new_figure, save, show
from .cost import cost, growth
from .early import (
    conflicts,
    contact_sheet,
    convergence,
    cosines,
    lambda_sweep,
    magnitudes,
    main_tables,
    models_kept,
    overview,
    regime,
    selection,
    solver_budget,
    subspace_shares,
    task_count,
    taylor,
)
from .late import (
    ablation,
    changes,
    coefficient_heat,
    coefficient_paths,
    component_bars,
    corrupted,
    directions,
    entropy_by_task,
    entropy_groups,
    eta,
    landscapes,
    rank,
    sensitivity,
    settings,
    severities,
    trust,
    unseen,
)

__all__ = ["ablation", "changes", "coefficient_heat", "coefficient_paths", "component_bars", "conflicts", "contact_sheet",
           "convergence", "corrupted", "cosines", "cost", "directions", "entropy_by_task", "entropy_groups", "eta",
           "growth", "lambda_sweep", "landscapes", "magnitudes", "main_tables", "models_kept", "new_figure", "overview",
           "rank", "regime", "save", "selection", "sensitivity", "settings", "severities", "show", "solver_budget",
           "subspace_shares", "task_count", "taylor", "trust", "unseen"]
