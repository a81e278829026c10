"""Does the ledger remember what was measured? Round trips, replacement, interruption, and damaged files."""

from pathlib import Path

import pandas as pd
import pytest

from mergelib.measure.ledger import COLUMNS, KEY, Ledger, LedgerError


def key(**changes):
    return {"suite": "sketch-8", "model": "main", "seed": 0, "zoo": "0123abcd", "method": "ties", "preset": "paper",
            "options": {"lam": 0.3, "density": 0.2}, "tasks": "digits+signs", "task": "digits", "split": "test",
            "condition": "clean", "metric": "accuracy", "version": 1} | changes


def row(value=0.8125, **changes):
    return {**key(**changes), "value": value, "count": 600, "seconds": 1.25}


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_recorded_is_found_again_after_a_restart(tmp_path):
    ledger = Ledger(tmp_path / "results")
    ledger.record("one", [row(), row(0.1 + 0.2, metric="loss")])
    for book in (ledger, Ledger(tmp_path / "results")):
        assert book.find(key())["value"] == 0.8125 and book.find(key())["count"] == 600
        assert book.find(key(metric="loss"))["value"] == 0.1 + 0.2          # every digit


def test_a_fresh_row_has_the_same_key_as_one_that_was_read(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("one", [row()])
    fresh, read = ledger.find(key()), Ledger(tmp_path).find(key())
    assert {name: fresh[name] for name in KEY} == {name: read[name] for name in KEY}        # seed "0", not 0


@pytest.mark.parametrize("name", KEY)
def test_every_part_of_the_key_counts(tmp_path, name):
    Ledger(tmp_path).record("one", [row()])
    other = {"lam": 0.4} if name == "options" else "another"
    assert Ledger(tmp_path).find(key(**{name: other})) is None


def test_empty_texts_stay_empty(tmp_path):
    empty = {"preset": "", "options": {}, "tasks": ""}
    Ledger(tmp_path).record("one", [row(**empty)])
    found = Ledger(tmp_path).find(key(**empty))
    assert {name: found[name] for name in empty} == {"preset": "", "options": "{}", "tasks": ""}


def test_the_order_of_options_does_not_matter(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("one", [row(0.5)])
    turned = {"density": 0.2, "lam": 0.3}
    assert ledger.find(key(options=turned))["value"] == 0.5
    ledger.record("one", [row(0.6, options=turned)])
    assert len(ledger.rows) == 1 and ledger.find(key())["value"] == 0.6


def test_a_new_measurement_replaces_the_old_one(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("one", [row(0.1, task="digits"), row(0.2, task="signs")])
    ledger.record("one", [row(0.3, task="digits")])
    table = pd.read_csv(tmp_path / "one.csv")
    assert table["value"].tolist() == [0.3, 0.2] and list(table.columns) == COLUMNS


def test_the_order_of_measuring_does_not_show(tmp_path):
    rows = [row(0.1, task="signs"), row(0.2, task="digits"), row(0.3, method="doge-ta")]
    Ledger(tmp_path / "one").record("x", rows)
    for part in reversed(rows):
        Ledger(tmp_path / "two").record("x", [part])
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_recording_the_same_again_leaves_the_same_bytes(tmp_path):
    Ledger(tmp_path).record("one", [row(1 / 3), row(task="signs", options={})])
    before = contents(tmp_path)
    Ledger(tmp_path).record("one", [row(1 / 3)])
    assert contents(tmp_path) == before


def test_each_experiment_has_a_file_and_all_are_read(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("one", [row(0.1)])
    ledger.record("two", [row(0.2, task="signs")])
    assert {name: text.count(b"\n") for name, text in contents(tmp_path).items()} == {"one.csv": 2, "two.csv": 2}
    again = Ledger(tmp_path)
    assert [again.find(key(task=task))["value"] for task in ("digits", "signs")] == [0.1, 0.2]


def test_a_measurement_that_two_experiments_need_has_one_row(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("two", [row(0.1)])
    ledger.record("one", [row(0.2), row(0.3, task="signs")])       # measured again, as `recompute` does
    again = Ledger(tmp_path)
    assert sorted((r["experiment"], r["value"]) for r in again.rows.values()) == [("one", 0.3), ("two", 0.2)]
    assert sum(text.count(b"digits,") for text in contents(tmp_path).values()) == 1


def test_two_ledgers_of_one_folder_keep_each_others_experiments(tmp_path):
    ours, theirs = Ledger(tmp_path), Ledger(tmp_path)
    ours.record("one", [row(0.1)])
    theirs.record("two", [row(0.2, task="signs")])
    assert len(Ledger(tmp_path).rows) == 2


# --- interruption

def test_a_kill_while_writing_keeps_the_file_as_it_was(tmp_path, monkeypatch):
    def killed(table, file, **how):
        Path(file).write_text(before["one.csv"].decode()[:-40])
        raise KeyboardInterrupt
    ledger = Ledger(tmp_path)
    ledger.record("one", [row(0.1)])
    before = contents(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pd.DataFrame, "to_csv", killed)
        patch.setattr(Path, "unlink", lambda *a, **k: None)      # a process that is killed does not tidy up
        ledger.record("one", [row(0.2), row(task="signs")])
    assert contents(tmp_path)["one.csv"] == before["one.csv"] and len(contents(tmp_path)) == 2
    assert [found["value"] for found in Ledger(tmp_path).rows.values()] == [0.1]       # the half file is not read


# --- damage

@pytest.fixture
def damaged(tmp_path):
    """Record two rows; the function that is returned replaces a text in the file."""
    def replace(old, new):
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
        return file
    Ledger(tmp_path).record("one", [row(0.1), row(0.25, task="signs")])
    file = tmp_path / "one.csv"
    return replace


def error_of(folder):
    with pytest.raises(LedgerError) as error:
        Ledger(folder)
    return str(error.value)


@pytest.mark.parametrize("old, new, said", [
    (",value,", ",worth,", "has the columns experiment, .*worth.*writes experiment, .*value"),
    ("0.25", "0.2S", "line 3: '0.2S' is no value"),
    ("0.25", "", "line 3: '' is no value"),
    (",600,", ",many,", "line 2: 'many' is no count"),
    (",1.25", ",", "line 2: '' is no seconds"),
    ("one,sketch-8", "<<<<<<< HEAD\none,sketch-8", "line 2"),
    ("signs", '"signs', "is damaged")])
def test_damage_is_named_with_file_line_and_repair(tmp_path, damaged, old, new, said):
    file = damaged(old, new)
    with pytest.raises(LedgerError, match=said):
        Ledger(tmp_path)
    message = error_of(tmp_path)
    assert message.startswith(str(file)) and f"git checkout -- {file}" in message and "delete it" in message


@pytest.mark.parametrize("content", [b"", b"\x80\xff" * 50, b"\0" * 200])
def test_what_is_no_table_is_named_with_the_repair(tmp_path, content):
    (tmp_path / "one.csv").write_bytes(content)
    assert f"git checkout -- {tmp_path / 'one.csv'}" in error_of(tmp_path)


def test_a_file_cut_short_anywhere_never_gives_another_number(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.record("one", [row(0.1), row(0.25, task="signs")])
    text = (tmp_path / "one.csv").read_text()
    refused = 0
    for length in range(len(text)):
        (tmp_path / "one.csv").write_text(text[:length])
        try:
            rows = Ledger(tmp_path).rows.values()
        except LedgerError:
            refused += 1
        else:
            assert all((found["value"], found["count"]) == (ledger.find(found)["value"], 600) for found in rows)
    assert refused > len(text) * 0.8      # accepted are only cuts at the end of a row, or in its last number
