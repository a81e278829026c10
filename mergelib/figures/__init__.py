"""How does this paper item look? One function per figure: a tidy DataFrame goes in, a matplotlib Figure comes out."""

from .ablations import ablation, changes, eta
from .base import new_figure, save, show
from .choosing import selection
from .corruptions import corrupted, severities
from .costs import cost, growth, models_kept
from .diagrams import show_diagram
from .generalisation import unseen
from .grids import matrices
from .learning import coefficient_heat, coefficient_paths, entropy_by_task, entropy_groups
from .panel import settings
from .ranks import directions, rank
from .regimes import contact_sheet, overview, regime
from .rendered import lay_out, show_table
from .scaling import task_count
from .solver import convergence, solver_budget, taylor
from .tables import main_tables
from .trust_region import component_bars, landscapes, sensitivity, trust
from .vectors import conflicts, cosines, lambda_sweep, magnitudes, subspace_shares

__all__ = ["ablation", "changes", "coefficient_heat", "coefficient_paths", "component_bars", "conflicts", "contact_sheet",
           "convergence", "corrupted", "cosines", "cost", "directions", "entropy_by_task", "entropy_groups", "eta", "growth",
           "lambda_sweep", "landscapes", "lay_out", "magnitudes", "main_tables", "matrices", "models_kept", "new_figure",
           "overview", "rank", "regime", "save", "selection", "sensitivity", "settings", "severities", "show", "show_diagram",
           "show_table", "solver_budget", "subspace_shares", "task_count", "taylor", "trust", "unseen"]
