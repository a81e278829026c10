"""Do the figures say what they show, and in the same bytes every time?"""

from itertools import product
from types import SimpleNamespace

import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mergelib import METHODS, figures
from mergelib.experiments.measuring import ROWS, label
from mergelib.figures.style import STYLE
from mergelib.tasks import load_task
from mergelib.tasks.corruptions import CORRUPTIONS

matplotlib.use("Agg")
LABELS = [*ROWS.values(), *(label(name, preset) for name, spec in METHODS.items() for preset in spec.presets or [""])]
TASKS = [f"task {i}" for i in range(8)]


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(figures.base, "FIGURES", tmp_path)
    return tmp_path


# --- tables as `experiments` makes them

def square():
    return pd.DataFrame(np.linspace(-1, 1, 64).reshape(8, 8), TASKS, TASKS)


def by_label(names=tuple(LABELS), **columns):
    return pd.concat([pd.DataFrame({"label": name, **columns}) for name in names])


def regime():
    columns = {"zero-shot": 50.0, "task arithmetic": 70.0, "expert": 95.0}
    return pd.DataFrame(columns, index=[*TASKS, "mean"])


def magnitudes():
    return pd.DataFrame(np.arange(1.0, 25).reshape(8, 3) * 1e-4, TASKS, ["0.attn.in_proj_weight", "0.mlp.c_fc", "proj"])


def shares():
    return pd.concat([pd.DataFrame({"task": task, "layer": ["a", "b"], "share": [0.3, 0.4], "chance": 0.1}) for task in TASKS])


def losses():
    return pd.concat([pd.DataFrame({"solver": solver, "tensor": tensor, "step": [1, 2, 3], "loss": [1.0, 0.1, 0.01]})
                      for solver in ("Adam", "conjugate gradients") for tensor in ("a", "b")])


def taylor():
    return pd.concat([pd.DataFrame({"task": task, "lam": [0.1, 0.2], "actual": [-0.1, 0.1], "first order": [-0.1, -0.2]})
                      for task in TASKS])


def budget():
    return pd.DataFrame({"solver": ["conjugate gradients"] * 2 + ["Adam"] * 2, "steps": [1, 10, 25, 400], "accuracy": 80.0})


def costs():
    return pd.DataFrame({"model": ["small", "large"] * 2, "label": ["DOGE TA (exact)"] * 2 + ["published"] * 2,
                         "seconds": [1.0, 10.0, 5.0, 50.0], "memory": 100.0})


def grown():
    return by_label(LABELS[-2:], x=[2, 4], seconds=[1.0, 2.1])


def ablated(name, kind, kinds):
    return pd.concat([pd.DataFrame({name: ["nothing", "this part"], kind: value, "accuracy": [50.0, 40.0], "half": 1.0})
                      for value in kinds])


def ranks():
    numbers = {"rank_ratio": [0.1, 0.3], "accuracy": 50.0, "half": 1.0}
    return pd.concat([pd.DataFrame({"preset": reading, "direction": direction, **numbers})
                      for reading in ("code", "exact") for direction in ("orthogonal", "along", "free")])


def main_rows():
    return by_label(accuracy=[60.0], half=[1.5], lowest=[58.0], highest=[61.0], published=[80.0])


FIGURES = {     # name: (how it is drawn, numbers of its table that must be in it)
    "regime": (lambda: figures.regime(regime()),
        {50, 70, 95}),
    "cosines": (lambda: figures.cosines(square()),
        {-1, 1}),
    "magnitudes": (lambda: figures.magnitudes(magnitudes()),
        {1, 24}),
    "subspace shares": (lambda: figures.subspace_shares(shares()),
        {0.3, 0.4}),
    "conflicts": (lambda: figures.conflicts(square()),
        {-1, 1}),
    "lambda sweep": (lambda: figures.lambda_sweep(by_label(lam=[0.1, 0.3], accuracy=[60.0, 70.0]), {"Weight Averaging": 65.0}),
        {0.1, 0.3, 60, 70, 65}),
    "convergence": (lambda: figures.convergence(losses()),
        {1, 0.1, 0.01}),
    "solver budget": (lambda: figures.solver_budget(budget()),
        {1, 25, 80}),
    "selection": (lambda: figures.selection(by_label(setting=[0.01, 0.1], accuracy=[0.6, 0.7]), {"paper": 0.07}),
        {0.01, 0.1, 0.6, 0.7}),
    "main tables": (lambda: figures.main_tables({"main": main_rows(), "fine": main_rows()}),
        {60, 58, 61, 80}),
    "models kept": (lambda: figures.models_kept(main_rows().assign(kept=2.0)[:5]),
        {2, 60}),
    "cost": (lambda: figures.cost(costs(), "model"),
        {1, 10, 5, 50}),
    "growth": (lambda: figures.growth({"tasks merged": grown(), "parameters": grown()}),
        {2, 4, 1, 2.1}),
    "ablation": (lambda: figures.ablation(ablated("without", "reading", ("code", "exact"))),
        {50, 40}),
    "eta": (lambda: figures.eta(by_label(LABELS[-3:], eta=[0.01, 0.1], accuracy=50.0, half=1.0), pd.Series({0.01: 79.5})),
        {0.01, 0.1, 50, 79.5}),
    "rank": (lambda: figures.rank(ranks(), pd.DataFrame({"bases": [0.2, 0.5]}, index=[0.1, 0.3])),
        {0.1, 0.3, 50, 20}),
    "directions": (lambda: figures.directions(pd.DataFrame({"orthogonal": 50.0, "along": 40.0, "free": 45.0}, index=TASKS)),
        {50, 40, 45}),
    "components": (lambda: figures.component_bars(pd.DataFrame({"base": 50.0, "TATR": 40.0}, index=TASKS)),
        {50, 40}),
    "changes": (lambda: figures.changes(ablated("change", "chosen", ("as released", "anew"))),
        {50, 40}),
    "sensitivity": (lambda: figures.sensitivity(pd.DataFrame(1e-7, columns=TASKS, index=["a", "b"])),
        {1e-7}),
    "trust": (lambda: figures.trust(pd.DataFrame({"examples": [1, 8], "accuracy": 50.0, "half": 1.0}),
                                    by_label(("TATR", "TATR zero-shot"), ratio=[0.0, 0.01], accuracy=50.0, half=1.0), 51.0),
        {1, 8, 50, 51}),
    "entropy groups": (lambda: figures.entropy_groups(pd.DataFrame({"loss": [0.1, 1.0]}, index=[0.0, 0.1]),
                                                      pd.Series(0.5, index=[*TASKS, "all tasks"])),
        {0.1, 1, 0.5}),
    "task count": (lambda: figures.task_count(by_label(LABELS[:9], size=[2, 3], accuracy=[80.0, 70.0], half=[2.0, 1.0])),
        {2, 3, 80, 70})}


def drawn(figure):
    """Every number that lines, bars, points and heat maps of a figure stand for."""
    found = []
    for axis in figure.axes:
        for line in axis.lines:
            found += [line.get_xdata(orig=False), line.get_ydata()]         # a name on an axis as its place
        for patch in axis.patches:
            found.append(patch.get_extents().get_points() if not hasattr(patch, "get_width") else
                         [patch.get_width(), patch.get_height(), patch.get_x() + patch.get_width()])
        for image in axis.images:
            found.append(image.get_array())
        for collection in axis.collections:
            found += [collection.get_offsets(), [] if collection.get_array() is None else collection.get_array()]
            found += [path.vertices for path in collection.get_paths()]
    return np.concatenate([np.asarray(numbers, dtype=float).ravel() for numbers in found])


@pytest.mark.parametrize("name", FIGURES)
def test_what_the_table_says_is_drawn(name):
    draw, numbers = FIGURES[name]
    there = drawn(draw())
    assert [number for number in numbers if not np.isclose(there, number, rtol=1e-6, atol=0).any()] == []


def test_the_taylor_check_has_a_panel_per_task():
    assert [axis.get_title() for axis in figures.taylor(taylor()).axes] == TASKS


@pytest.mark.parametrize("style", ["normal", "italic"])
def test_letters_are_matplotlibs_own_whatever_the_system_has(style):
    found = matplotlib.font_manager.findfont(matplotlib.font_manager.FontProperties(family="DejaVu Sans", style=style))
    assert found.startswith(matplotlib.get_data_path())


def test_the_main_tables_have_a_panel_per_tower_and_a_row_per_method():
    fewer = main_rows().query("label != 'Traditional MTL'").assign(accuracy=40.0)
    figure = figures.main_tables({"main": main_rows(), "fine": fewer})
    assert [axis.get_title() for axis in figure.axes] == ["main", "fine"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == LABELS
    places = [[c.lines[0].get_ydata().item() for c in axis.containers] for axis in figure.axes]
    assert places[0] == [*range(len(LABELS))] and places[1] == [i for i in places[0] if LABELS[i] != "Traditional MTL"]


def pictures_of_their_label(name, split, count):
    """Stands in for `load_pictures`: every picture is filled with the number of its class."""
    labels = np.arange(count) % len(load_task(name).classes)
    return np.broadcast_to(labels[:, None, None, None], (count, 32, 32, 3)).astype(np.uint8), labels


def test_a_contact_sheet_names_every_class(monkeypatch):
    monkeypatch.setattr(figures.regimes, "load_pictures", pictures_of_their_label)
    titles = [axis.get_title().split() for axis in figures.contact_sheet("dice", columns=5).axes]
    assert [title for title in titles if title] == [name.split() for name in load_task("dice").classes]


def test_the_overview_has_a_row_of_different_classes_per_task(monkeypatch):
    monkeypatch.setattr(figures.regimes, "load_pictures", pictures_of_their_label)
    axes = figures.overview(["dice", "signs"], columns=8).axes
    shown = [int(axis.images[0].get_array()[0, 0, 0]) for axis in axes]
    assert len(shown) == 16 and len(set(shown[:8])) == len(set(shown[8:])) == 8


def test_landscapes_mark_the_three_corners_and_the_base():
    grid = {"x": [0.0, 0.0, 1.0, 1.0], "y": [0.0, 1.0] * 2, "loss": [1.0, 2.0, 3.0, 4.0]}
    points = pd.concat([pd.DataFrame({"title": title, **grid}) for title in ("a", "b")])
    figure = figures.landscapes(points, pd.DataFrame({"title": ["a", "b"], "x": [0.1, 0.2], "y": [0.3, 0.4]}))
    panels = [axis for axis in figure.axes if axis.get_title()]
    for axis, title, place in zip(panels, "ab", [(0.1, 0.3), (0.2, 0.4)], strict=True):
        found = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines}
        assert axis.get_title() == title
        assert found == {"orthogonal": (0, 0), "positive": (1, 0), "negative": (0, 1), "base": place}


def test_severities_have_a_panel_for_each_corruption_and_definition():
    places = product(LABELS[:2], ("cifar", "imagenet"), CORRUPTIONS, (5, 0, 3))
    rows = [{"label": label, "definition": definition, "corruption": name, "severity": severity, "accuracy": 90.0 - severity}
            for label, definition, name, severity in places]
    figure = figures.severities(pd.DataFrame(rows))
    assert [axis.get_title() for axis in figure.axes[:7]] == [*CORRUPTIONS] and len(figure.axes) == 14
    for axis in figure.axes:
        for container in axis.containers:
            assert container.lines[0].get_xdata().tolist() == [0, 3, 5]
            assert container.lines[0].get_ydata().tolist() == [90, 87, 85]
    assert figure.axes[0].get_ylabel() == "accuracy (%), cifar" and figure.axes[7].get_ylabel() == "accuracy (%), imagenet"


def test_unseen_tasks_have_a_panel_per_split_and_a_point_per_method():
    table = pd.DataFrame({("seen", "accuracy"): [50.0, 60.0], ("seen", "half"): 1.0, ("unseen", "accuracy"): [40.0, 30.0],
                          ("unseen", "half"): 1.0}, index=["Pre-trained", "Task Arithmetic"])
    figure = figures.unseen({"first": table, "second": table})
    assert [axis.get_title() for axis in figure.axes] == ["first", "second"]
    points = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in figure.axes[0].containers]
    assert points == [(50, 40), (60, 30)]


def test_settings_have_a_panel_each_and_hollow_markers_where_nothing_was_merged():
    table = pd.DataFrame({"label": "Task Arithmetic", "chosen": [True, False], "base": 30.0, "expert": 95.0,
                          "accuracy": [60.0, 20.0], "low": 15.0, "high": 70.0}, index=TASKS[:2])
    figure = figures.settings({"first": table, "second": table})
    assert [axis.get_title() for axis in figure.axes] == ["first", "second"]
    axis = figure.axes[0]
    markers = [container.lines[0] for container in axis.containers]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in markers] == [(60, TASKS[0]), (20, TASKS[1])]
    assert [to_hex(m.get_markerfacecolor()) for m in markers] == [to_hex(STYLE["Task Arithmetic"][0]), "#ffffff"]
    bars = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in axis.containers]
    assert bars == [[15, 70], [15, 70]] and axis.get_xlabel() == "accuracy (%)"
    assert [tick.get_text() for tick in axis.get_yticklabels()] == TASKS[:2] and axis.yaxis_inverted()


def test_coefficients_have_a_panel_per_method():
    paths = pd.concat([pd.DataFrame({"label": name, "task": task, "step": [0, 10], "lam": [0.3, 0.4]})
                       for name in LABELS[:2] for task in TASKS])
    assert [axis.get_title() for axis in figures.coefficient_paths(paths).axes] == LABELS[:2]
    heats = pd.concat([pd.DataFrame({"label": name, "task": task, "tensor": ["0.a", "1.a"], "lam": [0.3, 0.4]})
                       for name in LABELS[:2] for task in TASKS])
    figure = figures.coefficient_heat(heats)
    assert [axis.get_title() for axis in figure.axes[:2]] == LABELS[:2]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == TASKS


def test_the_corrupted_pictures_are_those_of_their_row_and_column():
    class Under:
        def __init__(self, condition):
            self.condition = condition

        def pictures(self, task, split, count):
            asked.append((task, split, self.condition))
            return np.full((4, 32, 32, 3), self.condition != "clean", np.uint8), None

    asked = []
    figure = figures.corrupted(SimpleNamespace(under=Under), ("signs", "dice"), "cifar")
    assert len(figure.axes) == len(asked) == 8 * 6 and {split for _, split, _ in asked} == {"test"}
    assert asked[6:12] == [(task, "test", f"motion blur {severity} cifar") for task in ("signs", "dice")
                           for severity in (1, 3, 5)]
    assert [axis.images[0].get_array().max() for axis in figure.axes] == [0] * 6 + [1] * 42


# --- files

@pytest.mark.parametrize("name", ["cosines", "convergence", "task count"])
def test_the_same_table_gives_the_same_bytes(folder, name, monkeypatch):
    contents = []
    for now in ("1000000000", "1700000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", now)            # what matplotlib takes for the present time
        figures.save(FIGURES[name][0](), "doge-fig1")
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1] and set(contents[0]) == {"doge-fig1.png", "doge-fig1.pdf"}


def test_files_are_what_they_are_called_and_carry_no_date(folder):
    figures.save(figures.cosines(square()), "a")
    png, pdf = (folder / "a.png").read_bytes(), (folder / "a.pdf").read_bytes()
    assert png.startswith(b"\x89PNG") and pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf and b"Software" not in png and b"tIME" not in png


def test_a_figure_is_shown_with_words_for_those_who_cannot_see_it(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    figure = figures.cosines(square())
    figures.show(figure, "tatr-fig2", "Eight by eight cosines.")
    assert [image.alt for image in shown] == ["Eight by eight cosines."]
    assert shown[0].data == (folder / "tatr-fig2.png").read_bytes()
    assert not plt.fignum_exists(figure.number)      # nor shown a second time
