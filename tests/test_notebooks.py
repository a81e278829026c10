"""Every notebook runs from top to bottom with papermill and says what the committed one says."""

import pytest

from mergelib.paths import FIGURES
from mergelib.reproduce.notebooks import NOTEBOOKS, differences, execute


@pytest.mark.notebooks
@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("[!.]*.ipynb"), reverse=True), ids=lambda file: file.stem)
def test_notebook_says_what_is_committed(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("MERGELIB_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("MERGELIB_CORES", "1")       # the tests themselves run side by side
    execute(notebook, tmp_path, {})
    assert differences(notebook, tmp_path / notebook.name) == []
    drawn = {file.name for file in (tmp_path / "figures").glob("*.p*")}
    assert drawn <= {file.name for file in FIGURES.iterdir()}
