"""How is a notebook executed, and does it say what it said before? One by one, or side by side with a thread each."""

import ast
import os
import time
from concurrent.futures import FIRST_COMPLETED, wait

import nbformat
import papermill
from nbconvert.preprocessors import TagRemovePreprocessor
from tqdm.auto import tqdm

from ..paths import ROOT, write_atomically
from ..workers import processes

NOTEBOOKS = ROOT / "notebooks"
CHECKED = "nbval-check-output"      # tag of the cells whose output is the same on every machine, which nbval compares, too


def execute(notebook, folder, parameters, without=None):
    """Run one notebook with papermill; the executed copy replaces `folder/<name>` once every cell has run: seconds taken.

    Cells with the tag `without` are left out. Raises ValueError for a parameter that the notebook does not have, which
    papermill itself would let pass.
    """
    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{notebook.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}.")
    start = time.monotonic()
    write_atomically(folder / notebook.name, lambda part: _papermill(notebook, part, parameters, without))
    return time.monotonic() - start


def execute_all(notebooks, folder, parameters, together=1):
    """Run notebooks, up to `together` at a time, with a bar that shows which are running and the time left."""
    with tqdm(total=len(notebooks), desc="notebooks") as bar:
        for name, seconds in (_one_by_one if together == 1 else _side_by_side)(notebooks, folder, parameters, together, bar):
            tqdm.write(f"{name}: {seconds:.0f} s")
            bar.update()


def _one_by_one(notebooks, folder, parameters, together, bar):
    """Yield (name, seconds) of each notebook, run in this process."""
    for notebook in notebooks:
        bar.set_postfix_str(notebook.stem)
        yield notebook.stem, execute(notebook, folder, parameters)


def _side_by_side(notebooks, folder, parameters, together, bar):
    """Yield (name, seconds) of each notebook as it is done, the last first, `together` at a time, each with one thread."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MERGELIB_CORES": "1"}       # of the kernels, which inherit it
    waiting, running = list(notebooks), {}
    with processes(together) as pool:
        while waiting or running:
            while waiting and len(running) < together:
                notebook = waiting.pop()        # 16 takes longest
                running[pool.submit(execute, notebook, folder, parameters)] = notebook.stem
            bar.set_postfix_str(", ".join(running.values()))
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()


def differences(before, after):
    """What an executed notebook (a file) says otherwise than another: a line for each checked cell that differs."""
    cells, others = ([cell for cell in nbformat.read(file, as_version=4).cells if CHECKED in cell.metadata.get("tags", [])]
                     for file in (before, after))
    if [cell.source for cell in cells] != [cell.source for cell in others]:
        return ["the cells themselves"]
    return [f"{cell.id} says\n{_said(other)}\nnot\n{_said(cell)}" for cell, other in zip(cells, others)
            if _said(cell) != _said(other)]


def _said(cell):
    """The text of a cell's outputs."""
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
                   if not _noise(output))


def _papermill(notebook, part, parameters, without):
    """Execute into `part` and clean what papermill adds, so that unchanged results leave the file unchanged."""
    chosen = nbformat.read(notebook, as_version=4)
    if without:
        chosen, _ = TagRemovePreprocessor(remove_cell_tags={without}).preprocess(chosen, {})
    papermill.execute_notebook(chosen, str(part), parameters={k: _literal(v) for k, v in parameters.items()},
                               cwd=str(NOTEBOOKS), progress_bar=False, kernel_name="python3", coalesce_streams=True,
                               request_save_on_cell_execute=False)
    nbformat.write(clean(nbformat.read(part, as_version=4)), part)


def _literal(text):
    """A command line value as the Python literal it looks like."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def clean(notebook):
    """Drop timestamps, injected cells and progress bars; keep text and pictures."""
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _noise(output)]
    return notebook


def _noise(output):
    """Whether an output is a progress bar."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})
