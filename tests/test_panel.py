"""Does the panel show what merging and measuring by hand give, here and in a browser?"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from io import BytesIO
from urllib.request import urlopen

import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from mergelib import load_suite, merge
from mergelib.figures.panel import CHOICES, SLIDERS, Sample, describe, panel
from mergelib.measure.intervals import wilson

matplotlib.use("Agg")
SETTINGS = {"lam": 0.5, "eta": 0.1, "rank_ratio": 0.25}
USED = {"Task Arithmetic": ["lam"], "Ties-Merging (code)": ["lam"], "DOGE TA (exact)": ["eta", "rank_ratio"]}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
PATIENCE = 300      # seconds; a busy machine takes long to start a kernel


def percent_right(model, suite, task, count):
    pixels, labels = suite.pictures(task, "validation", count)
    return 100 * (suite.logits(model, task, pixels).argmax(dim=1).numpy() == labels).mean()


# --- what is shown

@pytest.mark.parametrize("label", CHOICES)
def test_the_numbers_are_those_of_a_merge_by_hand(labelled, label):
    method, fixed = CHOICES[label]
    chosen = labelled.tasks[1:]
    table = Sample(labelled, 30).merged(label, chosen, **SETTINGS)
    model = merge(method, labelled.base, {task: labelled.experts[task] for task in chosen}, **fixed,
                  **{name: SETTINGS[name] for name in USED[label]})
    assert table.index.tolist() == list(labelled.tasks) and table["chosen"].tolist() == [False, True, True]
    for task, row in table.iterrows():
        assert row["accuracy"] == pytest.approx(percent_right(model, labelled, task, 30))
        assert row["base"] == pytest.approx(percent_right(labelled.base, labelled, task, 30))
        assert row["expert"] == pytest.approx(percent_right(labelled.experts[task], labelled, task, 30))
        assert (row["low"] / 100, row["high"] / 100) == pytest.approx(wilson(round(0.3 * row["accuracy"]), 30))


def test_the_answer_says_the_average_its_error_and_the_picture_in_words():
    table = pd.DataFrame({"label": "Task Arithmetic", "chosen": [True, True, False], "base": 10.0, "expert": 95.0,
                          "accuracy": [50.0, 90.0, 12.0], "low": 5.0, "high": 99.0}, index=["signs", "digits", "scenes"])
    said = describe(table, 100)
    # of (0.5 + 0.9) / 2: 1.96 sqrt(0.5 0.5 / 100 + 0.9 0.1 / 100) / 2 = 5.7 points
    assert "<b>70.0 &plusmn; 5.7 %</b> on the merged tasks (2; 100 validation pictures each" in said
    assert 'alt="Accuracy (%): signs 50, digits 90, scenes 12"' in said
    picture = Image.open(BytesIO(b64decode(re.search("base64,([^\"]*)", said)[1])))
    assert picture.format == "PNG" and np.asarray(picture).std() > 0


# --- the widget, without a browser

@pytest.fixture
def tiny_panel(labelled):
    """(controls by their names, the answer) of the tiny suite's panel."""
    controls, answer = panel(Sample(labelled, 30)).children
    return {control.description: control for control in controls.children}, answer


def test_every_control_changes_the_answer_to_that_of_its_setting(labelled, tiny_panel):
    controls, answer = tiny_panel
    sample, settings = Sample(labelled, 30), {option: start for option, (_, start, *_) in SLIDERS.items()}
    assert answer.value == describe(sample.merged("Task Arithmetic", labelled.tasks, **settings), 30)
    controls["lambda"].value = settings["lam"] = 0.8
    assert answer.value == describe(sample.merged("Task Arithmetic", labelled.tasks, **settings), 30)
    controls[labelled.tasks[0]].value = False
    assert answer.value == describe(sample.merged("Task Arithmetic", labelled.tasks[1:], **settings), 30)
    controls["method"].value = "DOGE TA (exact)"
    controls["eta"].value, controls["rank ratio"].value = settings["eta"], settings["rank_ratio"] = 0.3, 0.5
    assert answer.value == describe(sample.merged("DOGE TA (exact)", labelled.tasks[1:], **settings), 30)


def test_only_the_sliders_of_the_method_can_be_moved(tiny_panel):
    controls, _ = tiny_panel
    for label, used in USED.items():
        controls["method"].value = label
        assert [option for option, (name, *_) in SLIDERS.items() if not controls[name].disabled] == used


@pytest.mark.parametrize("end", [2, 3])
@pytest.mark.parametrize("label", CHOICES)
def test_a_slider_s_ends_give_an_answer_too(labelled, tiny_panel, label, end):
    controls, answer = tiny_panel
    controls["method"].value = label
    for name, *numbers in SLIDERS.values():
        controls[name].value = numbers[end - 1]
    assert "&plusmn;" in answer.value


def test_without_a_task_the_answer_says_what_to_do(tiny_panel):
    controls, answer = tiny_panel
    for task in list(controls)[-3:]:
        controls[task].value = False
    assert answer.value == "<p>There is no expert to merge. Give at least one.</p>"


# --- the widget in a browser

TASKS = ("signs", "digits")
CELL = f"""import mergelib as ml
from mergelib.figures.panel import Sample, panel
panel(Sample(ml.load_suite("sketch-8").subset({TASKS}), 50))"""


@pytest.fixture
def lab(tmp_path):
    """Address of a notebook whose only cell is a panel, in a JupyterLab on loopback that fetches nothing from elsewhere."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=[new_code_cell(CELL)], metadata={"kernelspec": kernel}), tmp_path / "panel.ipynb")
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME")}
    quiet = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                                   "--port=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}", *quiet],
                                  env=os.environ | own, stdout=log, stderr=log)
    try:
        yield f"{_address(server, tmp_path)}lab/tree/panel.ipynb"
    finally:
        server.terminate()          # and with it the kernel
        server.wait(PATIENCE)


def _address(server, folder):
    """Where a server answers, once it does."""
    for _ in range(2 * PATIENCE):
        assert server.poll() is None, (folder / "log").read_text()
        try:
            (about,) = (folder / "RUNTIME").glob("jpserver-*.json")
            address = json.loads(about.read_text())["url"]
            urlopen(f"{address}api/status").close()
            return address
        except (ValueError, OSError):
            time.sleep(0.5)
    raise TimeoutError((folder / "log").read_text())


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome on the path; .ci/run installs one")
def test_a_slider_moved_in_jupyterlab_brings_the_new_accuracy(lab):
    sample = Sample(load_suite("sketch-8").subset(TASKS), 50)

    def average(tasks=TASKS, **settings):
        said = describe(sample.merged("Task Arithmetic", tasks, **settings), 50)
        return html.unescape(re.search("<b>(.*)</b>", said)[1])

    assert len({average(lam=0.15), average(lam=0.2), average(TASKS[1:], lam=0.2)}) == 3      # so that each can be told
    with sync_playwright() as play:
        page = play.chromium.launch(executable_path=BROWSER).new_page()
        page.set_default_timeout(1000 * PATIENCE)
        expect.set_options(timeout=1000 * PATIENCE)
        page.goto(lab)
        expect(page.get_by_role("button", name="| Idle")).to_be_visible()      # a cell run before there is a kernel is lost
        page.locator(".jp-CodeCell .cm-content").click()
        page.keyboard.press("Shift+Enter")
        said, picture = page.locator(".widget-html-content b"), page.get_by_alt_text("Accuracy (%)")
        expect(said).to_have_text(average(lam=0.15))
        page.locator(".widget-slider", has_text="lambda").get_by_role("slider").press("ArrowRight")
        expect(said).to_have_text(average(lam=0.2))
        page.get_by_label(TASKS[0]).uncheck()
        expect(said).to_have_text(average(TASKS[1:], lam=0.2))
        assert picture.evaluate("picture => picture.naturalWidth") > 300
