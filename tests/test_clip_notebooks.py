"""Does every line of the papers' scale run, from an empty disk to figures and ledger? On the miniature hub, all of it.

`make reproduce SCALE=ViT-B-32` is run with the models and data sets of `miniature` in place of the published ones. What takes
long is cut: training to two steps, grids to few values, subsets of tasks to the smallest and the largest. The notebooks are
executed in this process, cell by cell, so that the miniature's stand-ins are known to them.
"""

import re
import sys

import matplotlib
import nbformat
import pandas as pd
import pytest
import torch
from nbconvert.preprocessors import TagRemovePreprocessor

pytest.importorskip("datasets", reason="the extra `paper` is not installed")
pytest.importorskip("transformers", reason="the extra `paper` is not installed")

import miniature
from conftest import set_defaults
from local_hub import LocalHub

from mergelib import CheckpointError
from mergelib.adapt import adamerging
from mergelib.adapt import learning as adapt_learning
from mergelib.experiments import (
    ablations,
    choosing,
    corruptions,
    generalisation,
    learning,
    ranks,
    regimes,
    scaling,
    solver,
    tables,
    trust_region,
)
from mergelib.figures import base as figures_base
from mergelib.measure.ledger import Ledger
from mergelib.methods import METHODS
from mergelib.reproduce import __main__ as run

SHORT = {"steps": 2, "mask_steps": 2, "awd_steps": 2, "solver_steps": 2, "examples": 4}


def one(values):
    """A grid of one value: 0.3, which notebook 05 looks up, or the first."""
    return (0.3,) if 0.3 in values else values[:1]


@pytest.fixture
def shortened(monkeypatch):
    """Everything that only takes longer with more of it."""
    for name, method in METHODS.items():
        set_defaults(monkeypatch, name, **{option: SHORT[option] for option in SHORT.keys() & method.declared.keys()})
        for options in method.presets.values():
            for option in () if options.get("solver") == "exact" else SHORT.keys() & options.keys():
                monkeypatch.setitem(options, option, SHORT[option])
    grids = tuple((*grid, one(values)) for *grid, values in choosing.GRIDS)
    for module in (choosing, corruptions, generalisation):
        monkeypatch.setattr(module, "GRIDS", grids)
    for module, names in ((tables, ("LAMS", "WIDE_LAMS", "RATIOS", "MASK_LAMS", "FEW")), (regimes, ("LAMBDAS",)),
                          (ablations, ("LAMS", "ETAS", "PRINTED")), (trust_region, ("RATIOS",))):
        for name in names:
            monkeypatch.setattr(module, name, one(getattr(module, name)))
    monkeypatch.setattr(ablations.ablation, "__defaults__", (ablations.READINGS, ablations.ETAS, None))
    monkeypatch.setattr(ranks, "RANK_RATIOS", (1 / 6, 0.5))
    monkeypatch.setitem(ranks.ADAM, "steps", SHORT["steps"])
    monkeypatch.setattr(solver.solver_budget, "__defaults__", ((2, 3), (2,)))
    monkeypatch.setattr(solver.solver_counts, "__defaults__", ((2, 20), (1, 2, 3, 5, 10, 32)))
    for module in (adamerging, learning):
        monkeypatch.setattr(module, "EVERY", SHORT["steps"])
    monkeypatch.setattr(trust_region, "AXIS", (0.0, 1.0))
    monkeypatch.setattr(trust_region, "EXEMPLARS", (1, 4))
    subsets = scaling.task_subsets

    def ends(tasks, per_size, seed, step):
        found = subsets(tasks, 1, seed, step)
        return [found[0], found[-1]]

    monkeypatch.setattr(scaling, "task_subsets", ends)


@pytest.fixture
def reproduce(monkeypatch, tmp_path, shortened):
    """Run `make reproduce SCALE=ViT-B-32` on the miniature.

    `reproduce.golden`: what the pre-flight expects; `reproduce.names`: notebook -> what its cells have named.
    """
    def execute(notebook, folder, parameters, without):
        names = reproduce.names[notebook.stem] = {}
        whole = nbformat.read(notebook, as_version=4)
        for cell in TagRemovePreprocessor(remove_cell_tags={without}).preprocess(whole, {})[0].cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, notebook.name, "exec"), names)
            if "parameters" in cell.metadata.get("tags", ()):
                assert set(parameters) <= set(names)
                names |= parameters

    def reproduce():
        with hub.served() as address, monkeypatch.context() as patch:
            miniature.patch(patch, address, tmp_path)
            patch.setattr("mergelib.papers.preflight.golden", lambda model, family: reproduce.golden)
            patch.setattr(sys, "argv", ["run", "reproduce", "--scale", "ViT-B-32", "--out", str(tmp_path / "out")])
            run.main()

    hub = miniature.fill(LocalHub(), tmp_path, miniature.tasks())
    reproduce.golden, reproduce.names = miniature.golden(), {}
    matplotlib.use("agg")
    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.setenv("MERGELIB_FIGURES", "")          # set by the run; put back afterwards
    monkeypatch.setattr(figures_base, "FIGURES", tmp_path / "figures")
    monkeypatch.delitem(figures_base.KINDS, "pdf")
    monkeypatch.setattr(adapt_learning, "CACHE", tmp_path)
    monkeypatch.setattr(Ledger.__init__, "__defaults__", (tmp_path / "results",))
    yield reproduce
    torch.set_printoptions(profile="default")           # the notebooks ran in this process


@pytest.mark.filterwarnings("ignore:.*no direction can be shared by all")       # by as many tasks as a tiny tensor has rows
def test_from_an_empty_disk_to_figures_and_ledger(reproduce, tmp_path, capsys):
    reproduce.golden["expert", "SVHN"] += 50
    with pytest.raises(CheckpointError, match="accuracies are not what they should be, so nothing was merged:\n  expert SVHN"):
        reproduce()
    assert not list((tmp_path / "results").glob("chosen*"))

    said = capsys.readouterr().out
    assert "Fetching 82 files" in said and "There is no GPU in use. One model takes about 0.0 hours" in said

    reproduce.golden = miniature.golden()
    reproduce()
    fetched = re.findall(r"Fetching (\d+) files", capsys.readouterr().out)
    assert fetched == ["1"] * 28        # seven corrupted copies of four data sets, when they are needed
    drawn = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"doge-tab1-2-averages.png", "doge-fig1-task-count.png", "doge-fig1-twenty-learned.png"} <= drawn
    assert {f"{name}.png" for name in ("tatr-def1-conflict", "doge-rebuttal-taylor", "doge-tab5-unseen", "doge-tab6-ablation",
                                       "doge-fig4-rank", "adamerging-fig6-corruptions", "doge-tab8-severities",
                                       "adamerging-fig5-coefficients", "tatr-fig5-landscapes", "tatr-fig4-sensitivity",
                                       "doge-rebuttal-static-dynamic", "doge-code-differences")} <= drawn
    assert "adamerging-fig6-corruptions-imagenet.png" not in drawn      # definitions of the embedded benchmark

    rows = pd.concat(pd.read_csv(file, keep_default_na=False) for file in (tmp_path / "results").glob("*.csv"))
    assert set(rows["model"]) == {"ViT-B-32"} and set(rows["suite"]) == {"clip-8", "clip-20"}
    assert rows["value"].notna().all() and rows[rows["metric"] == "accuracy"]["value"].between(0, 1).all()
    individual = rows.query("method == 'individual' and metric == 'accuracy' and suite == 'clip-20'").set_index("task")["value"]
    expected = {task: miniature.accuracy(miniature.models()[1][task], task) for task in individual.index}
    assert len(expected) == 20 and individual.to_dict() == pytest.approx(expected)
    assert {"doge-ta", "adamerging", "fisher", "tatr", "surgery", "wemoe", "twin"} <= set(rows["method"])
    copies = rows[rows["condition"].str.endswith("5 cifar")]
    assert set(copies["task"]) == {"Cars", "EuroSAT", "RESISC45", "GTSRB"} and copies["condition"].nunique() == 7
    only_family_b_is_beside(reproduce.names)


def only_family_b_is_beside(names):
    """Published numbers in one table with those of family B's experts are FusionBench's, or of DOGE's Tables 5 and 8."""
    main = names["04-vision-tables"]["averages"]["ViT-B-32"].set_index("label")["published"]
    assert main["Task Arithmetic"] == 68.0 and main["AdaMerging (paper)"] == 82.6 and main["Individual"] == 90.3
    assert main.filter(regex="DOGE|TATR|Surgery").isna().all() and main.notna().sum() > 12
    for notebook in ("11-trust-region", "14-static-or-dynamic"):
        assert names[notebook]["table"]["published"].isna().all()
    assert names["07-ablation"]["rows"]["published"].isna().all() and names["07-ablation"]["rebuttal"].empty
