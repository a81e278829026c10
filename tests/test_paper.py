"""Are the published numbers there, tidy, and as printed? And are the averages that do not fit those of the errata?"""

import re

import pandas as pd
import pytest

from mergelib import published
from mergelib.paper import published_average, published_averages
from mergelib.paths import PAPER

COLUMNS = ["paper", "table", "model", "method", "group", "setting", "task", "metric", "value", "unit"]
TABLES = sorted(file.stem for file in PAPER.glob("*_table*.csv")) + sorted(file.stem for file in PAPER.glob("*_rebuttal_*.csv"))
EVERY_TABLE = pytest.mark.parametrize("name", TABLES)


def test_the_readme_lists_every_table():
    listed = re.findall(r"^\| `(\w+)\.csv` .* \| (\d+) \|", (PAPER / "README.md").read_text(), re.M)
    listed = {name: int(rows) for name, rows in listed if name != "implementation_facts"}
    assert listed == {name: len(published(name)) for name in TABLES}


@EVERY_TABLE
def test_a_table_is_tidy(name):
    table = published(name)
    assert list(table.columns) == COLUMNS
    assert pd.api.types.is_numeric_dtype(table["value"])
    assert not table.drop(columns=["value", "unit", "group"]).duplicated().any()      # one value for one question
    assert set(table["paper"]) == {{"adamerging": "AdaMerging", "doge": "DOGE", "tatr": "TATR"}[name.split("_")[0]]}


@EVERY_TABLE
def test_percentages_are_percentages(name):
    table = published(name)
    accuracies = table[(table["metric"] == "accuracy") & table["value"].notna()]
    assert (accuracies["unit"] == "%").all() and accuracies["value"].between(0, 100).all()


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no published table 'table1'.*adamerging_table1_vit_b32.*tatr_table6"):
        published("table1")


def test_printed_averages():
    assert published_average("doge_table1_vit_b32", "Task Arithmetic") == 69.1
    assert published_average("doge_table1_vit_b32", "DOGE TA") == 80.7
    assert published_average("doge_table5_unseen_vit_b32", "DOGE TA", "unseen") == 64.8


def test_an_average_that_is_not_one_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="has 0 averages of 'TA'.*'Task Arithmetic'"):
        published_average("doge_table1_vit_b32", "TA")
    with pytest.raises(ValueError, match="has 2 averages of 'DOGE TA'.*'seen', 'unseen'"):
        published_average("doge_table5_unseen_vit_b32", "DOGE TA")


@pytest.mark.parametrize("name, method, setting, printed, recomputed", [      # rows of data/paper/errata.md, section 1
    ("doge_table1_vit_b32", "Individual", "8 tasks merged", 90.8, 91.00),
    ("doge_table2_vit_l14", "Traditional MTL", "8 tasks merged", 93.5, 93.09),
    ("doge_table5_unseen_vit_b32", "Ties-Merging", "seen", 68.9, 68.83)])
def test_the_errata_recompute_averages_rightly(name, method, setting, printed, recomputed):
    table = published(name)
    rows = table[(table["method"] == method) & (table["setting"] == setting)].set_index("task")["value"]
    assert rows.pop("Avg") == printed
    assert round(rows.mean(), 2) == recomputed
    line = f"| {name}.csv | .* | {method} | {setting} | {printed} | {recomputed:.2f} |"
    assert re.search(line.replace("|", r"\|"), (PAPER / "errata.md").read_text())


def test_the_first_table_that_has_a_method_counts():
    found = published_averages("doge_table1_vit_b32", "adamerging_table1_vit_b32")
    assert found["Individual"] == 90.8 and found["Task-wise AdaMerging"] == 71.1         # AdaMerging prints 90.5
