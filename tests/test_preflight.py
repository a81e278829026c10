"""Does the pre-flight pass what is right, and does it catch and name each fault that loads without complaint?"""

import pytest

from mergelib import CheckpointError
from mergelib.papers.preflight import EIGHT, check_preflight, compare, golden, preflight
from mergelib.papers.tables import published
from mergelib.paths import PAPER

ZERO = dict(zip(EIGHT, (63, 60, 61, 46, 31, 33, 48, 43.6)))          # of the average of family B; single values are invented


def fractions(points):
    return {task: value / 100 for task, value in points.items()}


def measured(model="ViT-B-32", family="B"):
    """(zero-shot, experts): accuracies in % as they should be."""
    known = golden(model, family)
    experts = {task: value for (kind, task), value in known.items() if kind == "expert" and task != "Avg"}
    return {**ZERO, **{task: value for (kind, task), value in known.items() if kind == "zero-shot" and task != "Avg"}}, experts


def causes(base, experts, **changed):
    """task -> cause, with some accuracies of experts changed."""
    report = preflight(fractions(base), fractions({**experts, **changed}), "ViT-B-32", "B")
    return {row.task: row.cause for row in report.itertuples() if row.cause}


@pytest.mark.parametrize("model, family", [("ViT-B-32", "B"), ("ViT-B-32", "A"), ("ViT-B-16", "A"), ("ViT-L-14", "A")])
def test_what_is_right_passes(model, family):
    base, experts = measured(model, family)
    report = preflight(fractions(base), fractions(experts), model, family)
    assert (report["cause"] == "").all() and check_preflight(report) is None
    compared = report[report["golden"].notna()]
    assert len(compared) == {"B": 1 + 20, "A": 16}[family] and (compared["difference"].abs() < 0.5).all()


def test_the_zero_shot_average_stands_in_for_single_values():
    base, experts = measured()
    report = preflight(fractions(base), fractions(experts), "ViT-B-32", "B").set_index(["checkpoint", "task"])
    row = report.loc[("zero-shot", "Avg")]
    assert (round(row["measured"], 2), row["golden"]) == (48.2, 48.2)


@pytest.mark.parametrize("model, printed", [("ViT-B-32", [48.2, 48.08]), ("ViT-L-14", [64.6, 64.92])])
def test_a_zero_shot_average_may_be_either_of_two_that_are_published(model, printed):
    assert golden(model, "B")["zero-shot", "Avg"] == printed
    for value, cause in ((min(printed), ""), (max(printed), ""), (min(printed) - 1.1, "perhaps another base")):
        row = preflight(fractions(dict.fromkeys(EIGHT, value)), {}, model, "B", 1.0).set_index("task").loc["Avg"]
        assert row["golden"] == min(printed, key=lambda known: abs(known - value)) and row["cause"].startswith(cause)
        assert (row["cause"] == "") == (cause == "")
    assert (preflight(fractions(dict.fromkeys(EIGHT, max(printed))), {}, model, "B", 0.05)["cause"] == "").all()


def test_a_wrong_activation_is_one_cause_for_all():
    base, experts = measured()
    found = causes({task: value - 5 for task, value in base.items()}, {task: value - 3 for task, value in experts.items()})
    assert set(found) == {"Avg", *experts} and len(set(found.values())) == 1
    assert "plain GELU in place of QuickGELU" in found["SVHN"]


def test_a_wrong_split_is_the_matter_of_one_task():
    base, experts = measured()
    assert causes(base, experts, DTD=97.98) == {"DTD": "perhaps an easier split, or a checkpoint of another family"}
    assert causes(base, experts, DTD=75) == {"DTD": "perhaps another split of this data set, or another version of this "
                                                    "checkpoint"}


def test_exchanged_experts_are_named():
    base, experts = measured()
    found = causes(base, experts, SVHN=40, MNIST=70)
    assert set(found) == {"SVHN", "MNIST"}
    assert "exchanged with the expert of MNIST" in found["SVHN"] and "exchanged with the expert of SVHN" in found["MNIST"]


def test_experts_that_are_all_in_the_wrong_place_are_no_matter_of_activation():
    base, experts = measured()
    found = causes(base, {task: value - 40 for task, value in experts.items()})
    assert set(found) == set(experts)
    assert all("exchanged with the expert of" in cause and "or another (measure" in cause for cause in found.values())


@pytest.mark.parametrize("task, value", [("SUN397", 0.3), ("MNIST", 9.8), ("PCAM", 50.5)])
def test_an_expert_at_chance_is_damaged_or_has_a_wrong_head(task, value):
    base, experts = measured()
    assert causes(base, experts, **{task: value}) == {
        task: "perhaps a damaged file or a head with other class names or another order of classes"}


def test_an_expert_that_was_not_fine_tuned_is_said_to_be_that():
    base, experts = measured()
    assert causes(base, experts, SVHN=31) == {"SVHN": "perhaps the expert of another task, or not fine-tuned"}


def test_an_expert_below_the_base_is_off_without_a_golden_value():
    base = fractions(dict.fromkeys(EIGHT, 55.3))
    report = preflight(base, {"SUN397": 0.2, "Cars": 0.9}, "ViT-B-16", "B").set_index(["checkpoint", "task"])
    assert "another task" in report.loc[("expert", "SUN397"), "cause"] and report.loc[("expert", "Cars"), "cause"] == ""


def test_an_expert_that_is_no_better_than_a_good_base_passes():
    base, experts = measured()
    assert causes({**base, "STL10": 97.6}, experts) == {}         # its golden value is 97.55


def test_another_base_is_named():
    base, experts = measured()
    found = causes({task: value - 6 for task, value in base.items()}, experts)
    assert found == {"Avg": "perhaps another base, other prompts or class names, or another split"}


@pytest.mark.parametrize("value, off", [(96.28, False), (96.26, True), (98.26, False), (98.28, True)])
def test_the_tolerance_is_in_points(value, off):
    assert bool(causes(*measured(), SVHN=value)) == off           # 97.27


def test_the_refusal_names_checkpoint_size_and_cause():
    base, experts = measured()
    report = preflight(fractions(base), fractions({**experts, "GTSRB": 2.1}), "ViT-B-32", "B")
    with pytest.raises(CheckpointError) as refusal:
        check_preflight(report)
    first, line, last = str(refusal.value).splitlines()
    assert first == "1 of 29 accuracies are not what they should be, so nothing was merged:"
    assert line == ("  expert GTSRB: 2.1 %, should be 98.9 % (-96.8 points); perhaps a damaged file or a head with other "
                    "class names or another order of classes")
    assert last == "Put this right and measure again."


def test_percentages_are_refused():
    with pytest.raises(ValueError, match="fractions from 0 to 1; expert has {'SVHN': 97.3}"):
        preflight({}, {"SVHN": 97.3}, "ViT-B-32", "B")
    with pytest.raises(ValueError, match="fractions from 0 to 1"):
        preflight({}, {"SVHN": float("nan")}, "ViT-B-32", "B")


def test_one_s_own_notes_do_for_golden_values():
    notes = {("zero-shot", "birds"): 30.0, ("zero-shot", "trees"): 40.0, ("expert", "birds"): 90.0, ("expert", "trees"): 95.0}
    base = {"birds": 0.3, "trees": 0.4}
    right = compare(base, {"birds": 0.9, "trees": 0.95}, notes)
    assert (right["cause"] == "").all() and right["golden"].tolist() == [*notes.values()]
    exchanged = compare(base, {"birds": 0.2, "trees": 0.35}, notes).set_index(["checkpoint", "task"])["cause"]
    assert exchanged["zero-shot"].tolist() == ["", ""] and "the expert of trees" in exchanged["expert", "birds"]
    with pytest.raises(ValueError, match="No accuracy that was measured has a golden value. Known: zero-shot birds"):
        compare({"cars": 0.5}, {}, notes)


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(ValueError, match="no golden values for ViT-B-8 in family B; there are: ViT-B-16 in A"):
        preflight({}, {"SVHN": 0.9}, "ViT-B-8", "B")
    with pytest.raises(ValueError, match="No accuracy .* has a golden value for ViT-B-16 in family B.*zero-shot Avg"):
        preflight({}, {"SVHN": 0.9}, "ViT-B-16", "B")


def test_the_golden_values_are_tidy_and_agree_with_the_printed_tables():
    table = published("golden")
    twice = table[table.duplicated(["family", "model", "checkpoint", "task"])]
    assert twice[["family", "model", "checkpoint", "task"]].values.tolist() == [
        ["B", model, "zero-shot", "Avg"] for model in ("ViT-B-32", "ViT-L-14")]
    assert not table.duplicated(["family", "model", "checkpoint", "task", "source"]).any() and table["source"].notna().all()
    assert set(table["family"]) == {"A", "B", "C"} and set(table["checkpoint"]) == {"zero-shot", "expert"}
    assert (table["task"] == "Avg").equals(table["classes"].isna())
    for (family, model, kind), rows in table.groupby(["family", "model", "checkpoint"]):
        rows = rows.set_index("task")["accuracy"]
        if set(EIGHT) <= set(rows.index):
            assert rows[list(EIGHT)].mean() == pytest.approx(rows["Avg"], abs=0.1), (family, model, kind)
    for name in ("tatr_table1_vit_b32", "tatr_table2_vit_l14", "tatr_table3_vit_b16"):
        printed = published(name).query("metric == 'accuracy' and method in ('Pre-trained', 'Individual')")
        printed = printed.assign(checkpoint=printed["method"].map({"Pre-trained": "zero-shot", "Individual": "expert"}))
        ours = golden(printed["model"].iloc[0].replace("/", "-"), "A")
        assert ours == {(row.checkpoint, row.task): row.value for row in printed.itertuples()}


def test_the_readme_counts_the_golden_values():
    assert f"`golden.csv` ({len(published('golden'))} rows)" in (PAPER / "README.md").read_text()
