"""Does a table say the same as HTML and as text, and is it clear without styles?"""

import re

import IPython.display
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from mergelib.figures import lay_out, show_table


@pytest.fixture
def frame():
    return pd.DataFrame({"needs": ["its own data", "nothing", "nothing", "test pictures", "test pictures"],
                         "accuracy": [90.12, 52.21, 52.24, 55.04, np.nan], "seconds": [np.nan, 0.1, 0.2, 40, 30]},
                        index=["experts", "DARE", "TIES & co", "AdaMerging", "Concrete"])


def rows(table):
    """What the HTML says, row by row, heads included."""
    return [[cell.get_text().strip() for cell in row.find_all(["th", "td"])] for row in soup(table).find_all("tr")]


def soup(table):
    return BeautifulSoup(table._repr_html_(), "html.parser")


def bold(table):
    return [cell.get_text() for cell in soup(table).find_all("b")]


def starred(table):
    return re.findall(r"(\S+)\*", repr(table))


def test_html_and_text_say_the_same(frame):
    table = lay_out(frame.drop(columns="needs"), best="max")
    assert rows(table) == [["", "accuracy", "seconds"], ["experts", "90.1", "–"], ["DARE", "52.2", "0.1"],
                           ["TIES & co", "52.2", "0.2"], ["AdaMerging", "55.0", "40.0"], ["Concrete", "–", "30.0"]]
    assert repr(table).splitlines() == ["           accuracy seconds",
                                        "───────────────────────────",
                                        "experts       90.1*      –",
                                        "DARE          52.2     0.1",
                                        "TIES & co     52.2     0.2",
                                        "AdaMerging    55.0    40.0*",
                                        "Concrete         –    30.0"]


def test_nothing_depends_on_styles(frame):
    html = lay_out(frame, best="max", groups="needs")._repr_html_()
    assert not re.search("style|class|id=", html)
    assert lay_out(frame, groups="needs")._repr_html_() == lay_out(frame, groups="needs")._repr_html_()


def test_numbers_stand_on_the_right_and_words_on_the_left(frame):
    cells = soup(lay_out(frame)).find_all("td")
    assert [cell["align"] for cell in cells] == ["left", "right", "right"] * 5


@pytest.mark.parametrize("best, expected", [
    (None, []), ("max", ["90.1", "40.0"]), ("min", ["52.2", "0.1", "52.2"]),
    ({"accuracy": "max", "seconds": "min"}, ["90.1", "0.1"]), ({"seconds": "min"}, ["0.1"])])
def test_the_best_is_bold_and_starred(frame, best, expected):
    table = lay_out(frame, best=best)
    assert bold(table) == starred(table) == expected


def test_what_is_written_alike_is_equally_good(frame):
    assert bold(lay_out(frame[["accuracy"]], best="max", aside=["experts", "AdaMerging"])) == ["52.2", "52.2"]
    assert bold(lay_out(frame[["accuracy"]], best="max", aside=["experts", "AdaMerging"], decimals=2)) == ["52.24"]


def test_every_group_has_its_own_best_unless_it_is_alone(frame):
    assert bold(lay_out(frame[["needs", "seconds"]], best="min", groups="needs")) == ["0.1", "30.0"]
    assert bold(lay_out(frame[["needs", "accuracy"]], best="max", groups="needs")) == ["52.2", "52.2"]


def test_rows_aside_do_not_compete(frame):
    assert bold(lay_out(frame[["accuracy"]], best="max", aside=["experts"])) == ["55.0"]
    with pytest.raises(KeyError, match="Nobody"):
        lay_out(frame, best="max", aside=["Nobody"])


def test_groups_stand_together_between_rules(frame):
    table = lay_out(frame.iloc[[1, 3, 0, 2, 4]], groups="needs")
    assert [row[0] for row in rows(table)[1:]] == ["nothing", "TIES & co", "test pictures", "Concrete", "its own data"]
    assert [len(part.find_all("tr")) for part in soup(table).find_all("tbody")] == [2, 2, 1]
    assert soup(table).table["rules"] == "groups"
    lines = repr(table).splitlines()
    assert [i for i, line in enumerate(lines) if set(line) == {"─"}] == [1, 4, 7] and "needs" not in lines[0]


def test_what_was_published_stands_beside_what_was_measured(frame):
    published = pd.Series({"DARE": 69.13, "WUDI": 85}, name="accuracy")
    table = lay_out(frame[["accuracy", "seconds"]], best="max", published=published)
    assert rows(table)[:4] == [["", "accuracy", "seconds"], ["", "measured", "published", ""], ["experts", "90.1", "–", "–"],
                               ["DARE", "52.2", "69.1", "0.1"]]
    assert soup(table).th.find_next("th")["colspan"] == "2" and bold(table) == ["90.1", "40.0"]
    with pytest.raises(ValueError, match="Nothing was measured that is called loss"):
        lay_out(frame, published=pd.DataFrame({"loss": [1.0]}, index=["DARE"]))


def test_names_are_not_taken_for_html(frame):
    table = lay_out(pd.DataFrame({"a < b": ["<i>", "x"]}, index=["<b>", "y"]))
    assert rows(table) == [["", "a < b"], ["<b>", "<i>"], ["y", "x"]] and not bold(table)


@pytest.mark.parametrize("value, written", [
    (1, "1"), (1.25, "1.2"), (-0.01, "0.0"), (None, "–"), (np.nan, "–"), (np.float32(2), "2.0"), ("", "")])
def test_values_are_written_one_way(value, written):
    assert rows(lay_out(pd.DataFrame({"x": pd.Series([value, "word"], ["a", "b"], dtype=object)})))[1] == ["a", written]


def test_decimals_can_differ_by_column(frame):
    assert rows(lay_out(frame, decimals={"seconds": 2}))[2] == ["DARE", "nothing", "52.2", "0.10"]


def test_rows_without_names_have_none(frame):
    table = lay_out(frame.reset_index(drop=True)[["accuracy"]])
    assert rows(table)[:2] == [["accuracy"], ["90.1"]] and repr(table).split()[2] == "90.1"


def test_names_of_axes_take_no_line_of_their_own(frame):
    named = frame.drop(columns="needs").rename_axis(index="method", columns="what")
    assert rows(lay_out(named))[0] == ["", "accuracy", "seconds"] and len(repr(lay_out(named)).splitlines()) == 7


@pytest.mark.parametrize("wrong, message", [
    ({"best": "highest"}, "best is 'highest' for accuracy; it can be 'max', 'min' or None"),
    ({"groups": "family"}, "family")])
def test_what_cannot_be_is_refused(frame, wrong, message):
    with pytest.raises((ValueError, KeyError), match=message):
        lay_out(frame.drop(columns="needs"), **wrong)


def test_rows_of_one_name_are_refused(frame):
    with pytest.raises(ValueError, match="Two rows are called DARE"):
        lay_out(frame.loc[["DARE", "DARE"]])


def test_a_table_is_displayed_in_both_forms(frame, monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    show_table(frame, best="max", groups="needs")
    (table,) = shown
    data, _ = IPython.core.formatters.DisplayFormatter().format(table)
    assert data["text/plain"] == repr(table) and data["text/html"] == table._repr_html_()


def test_what_is_too_long_to_read_is_not_shown(monkeypatch):
    monkeypatch.setattr(IPython.display, "display", lambda table: None)
    show_table(pd.DataFrame({"x": range(23)}))
    with pytest.raises(ValueError, match="has 26 lines.* at most 25"):
        show_table(pd.DataFrame({"x": range(24)}))
