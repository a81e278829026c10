"""Are the published numbers there, tidy, and as printed? And are the averages that do not fit those of the errata?"""

import re

import pandas as pd
import pytest

from mergelib import METHODS, published
from mergelib.papers.tables import (
    RERUN,
    cross_paper,
    disagreements,
    printed_rows,
    published_average,
    published_averages,
)
from mergelib.paths import PAPER
from mergelib.suites.clip import ClipSuite
from mergelib.suites.sketch import SketchSuite

COLUMNS = ["paper", "table", "model", "method", "group", "setting", "task", "metric", "value", "unit"]
TABLES = sorted(file.stem for file in PAPER.glob("*_table*.csv")) + sorted(file.stem for file in PAPER.glob("*_rebuttal_*.csv"))
EVERY_TABLE = pytest.mark.parametrize("name", TABLES)


def test_the_readme_lists_every_table():
    listed = re.findall(r"^\| `(\w+)\.csv` .* \| (\d+) \|", (PAPER / "README.md").read_text(), re.M)
    listed = {name: int(rows) for name, rows in listed if name != "implementation_facts"}
    assert listed == {name: len(published(name)) for name in TABLES}


@pytest.mark.parametrize("end, model, methods", [("b32", "ViT-B/32", 14), ("b16", "ViT-B/16", 9), ("l14", "ViT-L/14", 11)])
def test_family_b_has_tables_of_the_same_form(end, model, methods):
    table = published(f"fusionbench_vit_{end}")
    assert list(table.columns) == COLUMNS and set(table["model"]) == {model} and set(table["unit"]) == {"%"}
    wide = table.pivot(index="method", columns="task", values="value")
    assert wide.shape == (methods, 9) and (wide.pop("Avg") - wide.mean(axis=1)).abs().max() < 0.1       # all are rounded to 0.1


@pytest.mark.parametrize("ours, doge, split, same, wrong", [         # the wrong average is in errata.md, section 2
    ("unseen", "doge_table5_unseen_vit_b32", "unseen: MNIST, EuroSAT", 40, [("Pre-trained", 40.1, 42.05)]),
    ("robustness", "doge_table8_robustness_vit_b32", "", 160, [])])
def test_the_baselines_of_two_of_doge_s_tables_are_family_b_s(ours, doge, split, same, wrong):
    table, key = published(f"fusionbench_{ours}_vit_b32"), ["method", "setting", "task"]
    assert list(table.columns) == COLUMNS and set(table["model"]) == {"ViT-B/32"} and set(table["unit"]) == {"%"}
    assert not table.duplicated(["table", *key]).any() and {"RegMean", "WEMoE"} <= set(table["method"])
    assert f"`fusionbench_{ours}_vit_b32.csv` ({len(table)} rows)" in " ".join((PAPER / "README.md").read_text().split())
    rows = printed_rows(f"fusionbench_{ours}_vit_b32")
    assert len(rows) == len(table[table["task"] == "Avg"])
    off = rows.loc[(rows["printed"] - rows["recomputed"]).abs().round(6) > 0.1, ["method", "printed", "recomputed"]].round(2)
    assert list(off.itertuples(index=False, name=None)) == wrong
    both = table[table["table"].str.contains(split)].merge(published(doge), on=key, suffixes=("", " in DOGE"))
    assert len(both) == same and (both["value"] == both["value in DOGE"]).all()
    assert set(both["method"]) == set(published(doge)["method"]) - {"DOGE TA", "DOGE AM"}


def test_what_was_published_after_doge_says_of_which_family_it_is():
    table = published("after_doge")
    assert list(table.columns) == [*COLUMNS, "family", "source"] and not table.isna().any(axis=None)
    assert set(table["family"]) == set("ABC") and not table.drop(columns=["value", "source"]).duplicated().any()
    assert set(table["task"]) == {"Avg"} and set(table["unit"]) == {"%"} and table["value"].between(40, 100).all()
    assert set(table.loc[table["source"].str.contains("second-hand"), "method"]) == {"ACE-Merging"}
    ours = {spec.title for spec in METHODS.values()}
    others = {"Pre-trained", "Individual", "Consensus Merging", "ACE-Merging", "SA-Merging", "Iso-C & LARV"}
    assert set(table["method"]) - ours == others        # as the methods are called here
    assert f"`after_doge.csv` ({len(table)} rows)" in (PAPER / "README.md").read_text()


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


def test_published_experts_stand_beside_numbers_of_their_family_and_tower_only():
    kinds = ((ClipSuite, "ViT-B-32"), (SketchSuite, "main"))
    b32, embedded = (kind("suite", model, 0, {}, {}, {}, "0") for kind, model in kinds)
    a, b, large = "doge_table1_vit_b32", "doge_table5_unseen_vit_b32", "fusionbench_vit_l14"
    assert [len(published(name, beside=b32)) for name in (a, large)] == [0, 0]
    assert published(b, beside=b32).equals(published(b)) and published(a, beside=embedded).equals(published(a))
    assert published_averages(a, "tatr_table1_vit_b32", large, beside=b32) == {}
    assert published_averages(a, "fusionbench_vit_b32", beside=b32)["AdaMerging"] == 82.6       # family A: 80.1
    assert set(published("after_doge", beside=b32)["method"]) == {"SWUDI", "SWUDI-A", "WUDI-Merging", "Iso-C & LARV"}


def test_averages_are_known_of_accuracies_and_of_scores():
    assert published_averages("doge_table3_flan_t5_base")["DOGE TA"] == 79.9
    assert published_averages("doge_table1_vit_b32", "doge_table3_flan_t5_base")["DOGE TA"] == 80.7        # the first counts


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


def errata(first):
    """The rows of the table of errata.md whose header starts with this cell, as lists of texts."""
    _, _, rest = (PAPER / "errata.md").read_text().partition(f"\n| {first} |")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rest.partition("\n\n")[0].split("\n")[2:]]


def test_the_averages_that_disagree_are_those_of_the_errata():
    listed = sorted((row[0], row[3], row[4], *map(float, row[5:8])) for row in errata("file"))
    found = sorted(disagreements(0.06).assign(file=lambda table: table["file"] + ".csv").itertuples(index=False, name=None))
    assert [row[:4] for row in found] == [row[:4] for row in listed] and len(listed) == 25
    for column in (4, 5):           # given there to two decimals
        assert [row[column] for row in found] == pytest.approx([row[column] for row in listed], rel=0, abs=0.00501)


def test_the_averages_beyond_rounding_are_those_of_the_errata():
    wrong = sorted((row[0].removesuffix(".csv"), row[3]) for row in errata("file") if row[8] == "**not rounding**")
    assert sorted(zip(disagreements()["file"], disagreements()["method"])) == wrong and len(wrong) == 8


def test_every_printed_average_is_recomputed_once():
    rows = printed_rows(*TABLES)
    assert f"{len(rows)} rows have per-task values and a printed average" in (PAPER / "errata.md").read_text()
    assert not rows.duplicated(["file", "table", "method", "setting"]).any() and rows["tasks"].map(len).between(2, 8).all()


def test_a_difference_of_the_tolerance_does_not_count():
    assert len(disagreements(0.4125)) == 1 and len(disagreements(0.4124)) == 4      # Traditional MTL on ViT-L/14, three times
    assert len(disagreements(2.5)) == 0                                             # 51.1 - 48.6 is 2.5 and 1e-15


def test_the_baselines_that_two_papers_print_differently_are_those_of_the_errata():
    listed = sorted((row[1], row[2].removesuffix(" average"), float(row[3]), float(row[4])) for row in errata("table pair"))
    found = cross_paper()
    assert list(found.columns) == ["method", "setting", "AdaMerging paper", "DOGE paper"]
    assert sorted(found.itertuples(index=False, name=None)) == listed and len(RERUN) == 2


def cells(address):
    """The mean of what stands at an address of quoted.csv: file / method / setting / task."""
    name, method, setting, task = address.split(" / ")
    setting, _, split = setting.partition(": ") if setting.startswith("unseen") else (setting, "", "")
    table = published(name).query("method == @method and unit in ('%', 'x100')")
    table = table[table["setting"] != "clean" if setting == "corrupted" else table["setting"] == setting]
    table = table[table["table"].str.contains(split) & (table["task"] != "Avg" if task == "mean" else table["task"] == task)]
    assert len(table) == 7 if setting == "corrupted" else len(table) == 2 if task == "mean" else len(table) == 1
    return table["value"].mean()


def quoted():
    """The quoted numbers that a table gives again, and whether they differ from it by more than rounding."""
    table = published("quoted")
    table = table[table["of"].notna()]
    return table.assign(off=(table["value"] - table["recomputed"]).abs().round(6) > 0.1)


def test_what_the_prose_quotes_is_recomputed_from_the_tables():
    table = published("quoted")
    assert list(table.columns) == ["paper", "section", "quote", "model", "value", "unit", "recomputed", "of", "over"]
    assert not table.duplicated(["paper", "section", "quote", "model"]).any()
    assert (table["of"].isna() == table["recomputed"].isna()).all()
    assert table.loc[table["of"].notna(), "over"].notna().equals(table.loc[table["of"].notna(), "unit"] == "points")
    for row in quoted().itertuples():
        again = cells(row.of) - (cells(row.over) if isinstance(row.over, str) else 0)
        assert row.recomputed == pytest.approx(again, rel=0, abs=0.00051), row


def test_the_quoted_numbers_that_do_not_fit_are_those_of_the_errata():
    rows, words = quoted(), (PAPER / "errata.md").read_text()
    off = rows[rows["off"]]
    listed = sorted((row[0], row[1], float(row[4]), float(row[5])) for row in errata("paper"))
    assert sorted(off[["paper", "section", "value", "recomputed"]].itertuples(index=False, name=None)) == listed
    assert (f"`quoted.csv` has {len(published('quoted'))} numbers. {len(rows)} can be recomputed from the tables. "
            f"{len(rows) - len(off)} fit. {len(off)} do not:") in words
    assert f"`quoted.csv` ({len(published('quoted'))} rows)" in (PAPER / "README.md").read_text()
