"""Does every method look the same in every figure, and like no other?"""

from itertools import pairwise

import matplotlib
import pytest
from matplotlib.colors import to_hex
from test_figures import LABELS, by_label, no_open_figures  # noqa: F401  (a fixture)

from mergelib import figures
from mergelib.figures.style import STYLE, style_of

matplotlib.use("Agg")


def test_every_method_has_a_colour_and_a_marker_of_its_own():
    styles = [(to_hex(colour), marker) for colour, marker in map(STYLE.get, LABELS)]
    assert len(set(styles)) == len({marker for _, marker in styles}) == len(LABELS)       # colours are shared by relatives


def test_a_variant_has_the_style_of_what_it_varies():
    assert style_of("DOGE TA (code, no guard)") == style_of("DOGE TA (code)") == STYLE["DOGE TA (code)"]
    assert style_of("Concrete TA (generated)") == STYLE["Concrete TA"]
    assert style_of("AdaMerging (first)") == STYLE["AdaMerging (paper)"] != style_of("AdaMerging++ (first)")
    with pytest.raises(KeyError, match="Another"):
        style_of("Another (first)")


def test_lines_are_drawn_in_the_house_style():
    figure = figures.task_count(by_label(size=[2, 3], accuracy=[80.0, 70.0], half=[2.0, 1.0]))
    for name, line in zip(LABELS, (container.lines[0] for container in figure.axes[0].containers), strict=True):
        assert (to_hex(line.get_color()), line.get_marker()) == (to_hex(STYLE[name][0]), STYLE[name][1])
        assert line.get_ydata().tolist() == [80.0, 70.0]


def test_methods_stand_side_by_side_so_that_no_interval_hides_another():
    figure = figures.task_count(by_label(size=[2, 3], accuracy=[80.0, 70.0], half=[2.0, 1.0]))
    places = [container.lines[0].get_xdata()[0] for container in figure.axes[0].containers]
    assert all(a < b for a, b in pairwise(places)) and max(abs(place - 2) for place in places) < 0.5
    assert sum(places) / len(places) == pytest.approx(2)
