"""Are notebooks run whole or not at all, with the parameters asked for, and left as clean as they were?"""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill.exceptions import PapermillExecutionError

from mergelib import CheckpointError
from mergelib.measure.ledger import KEY, Ledger
from mergelib.reproduce import __main__ as run
from mergelib.reproduce import aside, golden
from mergelib.reproduce import notebooks as executing


def write_notebook(file, last="print(number + 1)"):
    """Three cells: a title, the parameter `number`, and `last`."""
    parameters = new_code_cell("number = 1", metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A title"), parameters, new_code_cell(last)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), file)
    return file


@pytest.fixture
def notebooks(monkeypatch, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for module in (run, executing):
        monkeypatch.setattr(module, "NOTEBOOKS", folder)
    return folder


# --- one notebook

def test_an_executed_notebook_is_clean_and_the_same_every_time(notebooks, tmp_path):
    source = write_notebook(notebooks / "01-tiny.ipynb")
    before, target = source.read_bytes(), tmp_path / "out" / source.name
    executing.execute(source, target.parent, {"number": "41"})
    first = target.read_bytes()
    notebook = nbformat.read(target, as_version=4)
    assert [cell.source for cell in notebook.cells] == ["# A title", "number = 1", "print(number + 1)"]
    assert notebook.cells[2].outputs[0].text == "42\n"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [dict(cell.metadata) for cell in notebook.cells] == [{}, {"tags": ["parameters"]}, {}]
    assert source.read_bytes() == before and list(notebooks.iterdir()) == [source]

    executing.execute(target, target.parent, {"number": "41"})        # in place, as `make figures` does
    assert target.read_bytes() == first and list(target.parent.iterdir()) == [target]


def test_cells_with_a_tag_can_be_left_out(notebooks, tmp_path):
    source = write_notebook(notebooks / "01-tiny.ipynb")
    notebook = nbformat.read(source, as_version=4)
    notebook.cells.insert(2, new_code_cell("raise RuntimeError", metadata={"tags": ["other", "embedded"]}))
    nbformat.write(notebook, source)
    executing.execute(source, tmp_path, {"number": "1"}, without="embedded")
    assert [cell.source for cell in nbformat.read(tmp_path / source.name, as_version=4).cells[2:]] == ["print(number + 1)"]


def test_what_runs_at_the_papers_scale_is_there_and_has_its_parameters():
    for name, (count, parameters) in run.AT_SCALE.items():
        known = papermill.inspect_notebook(str(run.NOTEBOOKS / f"{name}.ipynb"))
        assert count in (8, 20) and set(parameters("ViT-B-32")) <= set(known)


def test_a_failing_notebook_leaves_the_old_one(notebooks):
    source = write_notebook(notebooks / "01-tiny.ipynb", last="raise RuntimeError('no such number')")
    before = source.read_bytes()
    with pytest.raises(PapermillExecutionError, match="no such number"):
        executing.execute(source, notebooks, {})
    assert source.read_bytes() == before and list(notebooks.iterdir()) == [source]


def test_a_parameter_that_the_notebook_lacks_is_refused(notebooks):
    source = write_notebook(notebooks / "01-tiny.ipynb")
    with pytest.raises(ValueError, match="01-tiny.ipynb has no parameter nubmer; it has number"):
        executing.execute(source, notebooks, {"nubmer": "2"})


def test_command_line_values_become_what_they_look_like(notebooks, tmp_path):
    values = {"True": True, "-3": -3, "0.07": 0.07, "1e-3": 0.001, "None": None, "ViT-B-32": "ViT-B-32", "05-": "05-"}
    source = write_notebook(notebooks / "01-tiny.ipynb", last=f"print([{', '.join(f'v{i}' for i in range(len(values)))}])")
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[1].source = "\n".join(f"v{i} = 0" for i in range(len(values)))
    nbformat.write(notebook, source)
    executing.execute(source, tmp_path, {f"v{i}": text for i, text in enumerate(values)})
    assert nbformat.read(tmp_path / source.name, as_version=4).cells[2].outputs[0].text == f"{[*values.values()]}\n"


def test_cleaning_drops_what_changes_from_run_to_run_and_keeps_the_results():
    bar = "application/vnd.jupyter.widget-view+json"
    bars = [new_output("stream", name="stderr", text="100%|###| 3/3"), new_output("display_data", {bar: {}, "text/plain": ""})]
    results = [new_output("stream", name="stdout", text="88.1"), new_output("display_data", {"image/png": "iVBOR"})]
    times = {"iopub.execute_input": "2025-01-01"}
    cells = [new_code_cell("seed = 0", metadata={"tags": ["parameters"], "papermill": {"duration": 0.1}}),
             new_code_cell("seed = 7", metadata={"tags": ["injected-parameters"]}),
             new_code_cell("work()", outputs=bars + results, metadata={"execution": times, "tags": []})]
    notebook = executing.clean(new_notebook(cells=cells, metadata={"papermill": {"end_time": "2025-01-01"}, "widgets": {}}))
    assert [cell.source for cell in notebook.cells] == ["seed = 0", "work()"]
    assert notebook.cells[1].outputs == results
    assert "2025" not in nbformat.writes(notebook) and "papermill" not in nbformat.writes(notebook)
    assert [cell.id for cell in notebook.cells] == ["cell-00", "cell-01"]


# --- all of them

@pytest.fixture
def command(notebooks, monkeypatch, tmp_path):
    """Run the command line on three notebooks; returns what was executed. `command.fails`: the notebook that fails."""
    def command(*arguments):
        def execute(notebook, folder, parameters, without=None):
            assert without == ("embedded" if "--scale" in arguments else None)
            done.append((notebook.stem, folder, parameters))
            if notebook.stem == command.fails:
                raise KeyboardInterrupt
            Ledger(run.RESULTS).record(notebook.stem, [ROW | {"task": notebook.stem}])
            return 1.0
        done = []
        for module in (run, executing):
            monkeypatch.setattr(module, "execute", execute)
        monkeypatch.setattr(run, "cores", lambda: 1)
        monkeypatch.setattr(sys, "argv", ["run", *arguments])
        run.main()
        return done
    for name in ("02-b", "00-a", "05-c"):
        write_notebook(notebooks / f"{name}.ipynb")
    write_notebook(notebooks / ".1234-02-b.ipynb")           # left behind by a run that was killed
    for module in (run, aside):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "data" / "results")
        monkeypatch.setattr(module, "BEFORE", tmp_path / "build" / "results-before")
    monkeypatch.setenv("MERGELIB_FIGURES", str(tmp_path / "figures"))
    command.fails = None
    return command


ROW = {name: "" for name in KEY} | {"model": "main", "seed": "0", "value": 0.5, "count": 1, "seconds": 0.0, "hits": ""}


@pytest.fixture
def old_results(command):
    Ledger(run.RESULTS).record("old", [ROW])


def names(folder):
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else None


NEW = ["00-a.csv", "02-b.csv", "05-c.csv"]


def test_notebooks_run_in_their_order_with_the_parameters(command, notebooks):
    assert command("figures", "-p", "seed", "1") == [(name, notebooks, {"seed": "1"}) for name in ("00-a", "02-b", "05-c")]


def test_one_notebook_can_be_run_into_another_folder(command, tmp_path, monkeypatch):
    assert command("figures", "--only", "05", "--out", str(tmp_path / "out")) == [("05-c", tmp_path / "out", {})]
    assert Path(run.os.environ["MERGELIB_FIGURES"]) == tmp_path / "out" / "figures"


def test_a_notebook_that_does_not_exist_is_named(command):
    with pytest.raises(SystemExit, match="No notebook in .* begins with '99'"):
        command("figures", "--only", "99")


def test_figures_keep_the_ledger(command, old_results):
    command("figures")
    assert names(run.RESULTS) == [*NEW, "old.csv"]


def test_reproducing_starts_from_an_empty_ledger(command, old_results):
    command("reproduce")
    assert names(run.RESULTS) == NEW and not run.BEFORE.exists()


def test_numbers_of_models_that_are_not_shipped_cannot_be_measured_again_and_are_kept(command, old_results, monkeypatch):
    Ledger(run.RESULTS).record("tables", [ROW | {"model": "large"}, ROW | {"task": "digits"}, ROW | {"method": "pcgrad"}])
    experts = {"mtl-s0": {}, "pcgrad-s0": {"shipped": False}}
    monkeypatch.setattr(aside, "read_manifest", lambda folder: {"shipped": folder.name != "large", "experts": experts})
    command("reproduce")
    assert names(run.RESULTS) == [*NEW, "tables.csv"]
    kept = pd.read_csv(run.RESULTS / "tables.csv", keep_default_na=False)
    assert sorted(zip(kept["model"], kept["method"])) == [("large", ROW["method"]), (ROW["model"], "pcgrad")]


LONG = [ROW | {"seed": "1"}, ROW | {"suite": "sketch-20"}, ROW | {"method": "adamerging", "tasks": "a+b"},
        ROW | {"method": "concrete-ta", "seconds": aside.SLOW + 1}]


def test_what_takes_a_day_is_measured_again_only_if_asked_for(command, old_results):
    Ledger(run.RESULTS).record("subsets", LONG)
    Ledger(run.RESULTS).record("learned", [ROW | {"method": "adamerging"}])
    command("reproduce")
    assert names(run.RESULTS) == [*NEW, "subsets.csv"]
    assert len(pd.read_csv(run.RESULTS / "subsets.csv")) == len(LONG)
    command("reproduce", "--all")
    assert names(run.RESULTS) == NEW


def test_the_time_left_is_that_of_what_is_still_to_be_measured(command, monkeypatch):
    def show(total, **how):
        bar.total = total
        return nullcontext(bar)
    bar = SimpleNamespace(n=0, update=lambda more: setattr(bar, "n", bar.n + more))
    monkeypatch.setattr(aside, "tqdm", show)
    Ledger(run.BEFORE).record("old", [ROW | {"task": str(i), "seconds": 24.0 * i} for i in range(4)])
    Ledger(run.RESULTS).record("new", [ROW | {"task": "0"}, ROW | {"task": "not there before", "seconds": 999.0}])
    with aside.time_left(every=0.02):
        time.sleep(0.2)
        assert bar.total == pytest.approx(6.6) and bar.n == 0            # 0.2 a row and its share of a merge
        Ledger(run.RESULTS).record("new", [ROW | {"task": "2", "seconds": 48.0}])
        for _ in range(200):
            time.sleep(0.02)
            if bar.n:
                break
    assert bar.n == pytest.approx(2.2)


def test_an_interrupted_reproduction_keeps_the_old_ledger_and_goes_on(command, old_results):
    command.fails = "02-b"
    with pytest.raises(KeyboardInterrupt):
        command("reproduce")
    assert names(run.RESULTS) == ["00-a.csv"] and names(run.BEFORE) == ["old.csv"]

    command.fails = None
    command("reproduce", "--only", "05")                     # a single notebook does not end the reproduction
    assert names(run.RESULTS) == ["00-a.csv", "05-c.csv"] and names(run.BEFORE) == ["old.csv"]

    command("reproduce")
    assert names(run.RESULTS) == NEW and not run.BEFORE.exists()


def test_reproducing_without_any_ledger_can_be_interrupted_too(command):
    command.fails = "02-b"
    with pytest.raises(KeyboardInterrupt):
        command("reproduce")
    command.fails = None
    command("reproduce")
    assert names(run.RESULTS) == NEW and not run.BEFORE.exists()


# --- at the papers' scale

@pytest.fixture
def at_scale(command, monkeypatch):
    """Two notebooks that run at the papers' scale, and a log of which suite was looked at before."""
    checked = []
    monkeypatch.setattr(run, "AT_SCALE", {"02-b": (20, lambda tower: {"towers": [tower]}),
                                         "05-c": (8, lambda tower: {"model": tower})})
    monkeypatch.setattr(run, "load_suite", lambda *which: which)
    monkeypatch.setattr(run, "before_merging", checked.append)
    return checked


def test_the_papers_scale_runs_what_can_into_a_folder_of_its_own_and_keeps_the_ledger(command, at_scale, old_results):
    out = run.ROOT / "build" / "ViT-B-32"
    assert command("reproduce", "--scale", "ViT-B-32") == [("02-b", out, {"towers": ["ViT-B-32"]}),
                                                           ("05-c", out, {"model": "ViT-B-32"})]
    assert at_scale == [(20, "ViT-B-32")] and names(run.RESULTS) == ["02-b.csv", "05-c.csv", "old.csv"]
    assert Path(run.os.environ["MERGELIB_FIGURES"]) == out / "figures"


def test_one_notebook_at_the_papers_scale_with_a_parameter(command, at_scale, tmp_path):
    done = command("figures", "--scale", "ViT-L-14", "--only", "05", "--out", str(tmp_path), "-p", "recompute", "True")
    assert done == [("05-c", tmp_path, {"model": "ViT-L-14", "recompute": "True"})] and at_scale == [(8, "ViT-L-14")]


def test_a_notebook_that_does_not_run_at_the_papers_scale_is_named(command, at_scale):
    with pytest.raises(SystemExit, match="At the papers' scale these notebooks run: 02-b, 05-c"):
        command("reproduce", "--scale", "ViT-B-32", "--only", "00")
    assert at_scale == []


@pytest.mark.parametrize("device, cause", [("cpu", ""), ("cuda", ""), ("cpu", "a wrong split")])
def test_before_merging_a_cpu_is_announced_and_what_is_off_stops_the_run(monkeypatch, capsys, device, cause):
    report = pd.DataFrame([{"checkpoint": "expert", "task": "SVHN", "measured": 90.0, "golden": 97.3, "difference": -7.3,
                            "cause": cause}])
    monkeypatch.setattr(golden, "golden_report", lambda suite: report)
    monkeypatch.setattr(golden, "seconds_per_model", lambda suite: 7200.0)
    monkeypatch.setattr(golden, "models_measured", lambda: 100)
    suite = SimpleNamespace(device=SimpleNamespace(type=device), tasks=(),
                            subset=lambda tasks: tasks)
    with pytest.raises(CheckpointError, match="expert SVHN: 90.0 %.* a wrong split") if cause else nullcontext():
        golden.before_merging(suite)
    said = capsys.readouterr().out
    assert ("One model takes about 2.0 hours" in said and "200 hours or more" in said) == (device == "cpu")
    assert "SVHN" in said


def test_the_models_to_measure_are_counted_in_the_embedded_ledger(ledger):
    row = ROW | {"suite": "sketch-8", "metric": "accuracy", "split": "test", "condition": "clean"}
    ledger.record("chosen", [row | {"task": str(task), "method": method} for method in ("a", "b") for task in range(8)])
    for other in ({"seed": "1"}, {"suite": "sketch-20"}, {"metric": "loss"}, {"condition": "contrast 3 cifar"}):
        ledger.record("other", [row | other | {"task": str(task)} for task in range(8)])
    assert golden.models_measured(ledger) == 2
    ledger.record("other", [row | {"condition": "contrast 5 cifar", "task": str(task)} for task in range(8)])
    assert golden.models_measured(ledger) == 3
