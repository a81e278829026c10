"""Do the diagrams draw what they are to explain? Their arrows are measured, and the letters of their matrices are read."""

import matplotlib
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from test_figures import folder, no_open_figures  # noqa: F401  (fixtures)

from mergelib import figures
from mergelib.figures import diagrams
from mergelib.figures.diagrams import DIAGRAMS

matplotlib.use("Agg")


def arrow(figure, name):
    """An arrow's start and end."""
    (found,) = figure.findobj(lambda artist: isinstance(artist, Annotation) and artist.get_gid() == name)
    return np.array(found.xyann), np.array(found.xy)


def way(figure, name):
    start, end = arrow(figure, name)
    return end - start


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def written(figure):
    """What stands in the squares, from left to right and from top to bottom."""
    axis = figure.axes[0]
    centres = {(round(box.get_x() + box.get_width() / 2, 6), round(box.get_y() + box.get_height() / 2, 6))
               for box in axis.patches if isinstance(box, Rectangle)}
    inside = [text for text in axis.texts if tuple(round(float(x), 6) for x in text.get_position()) in centres]
    return [text.get_text() for text in sorted(inside, key=lambda text: (-text.get_position()[1], text.get_position()[0]))]


@pytest.mark.parametrize("name", DIAGRAMS)
def test_every_word_lies_within_the_figure_and_on_no_other(name):
    figure = DIAGRAMS[name][0]()
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    whole = figure.bbox
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1 for box in boxes)
    said = words(figure)
    assert [(said[i], said[j]) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])] == []


def test_diagrams_are_of_one_width_and_each_has_a_text():
    assert {draw().get_size_inches()[0] for draw, _ in DIAGRAMS.values()} == {diagrams.WIDTH}
    assert all(40 < len(alt) < 250 and alt.endswith(".") for _, alt in DIAGRAMS.values())


def test_the_merge_lies_on_the_way_along_the_sum_of_the_task_vectors():
    figure = diagrams.task_vector()
    whole = way(figure, "task vector 1") + way(figure, "task vector 2")
    share = way(figure, "merge") / whole
    assert share[0] == pytest.approx(share[1]) and 0.3 < share[0] < 0.9
    assert len({tuple(arrow(figure, name)[0]) for name in ("task vector 1", "task vector 2", "merge")}) == 1


def test_a_step_is_the_sum_of_what_is_removed_and_what_is_kept_at_right_angles():
    figure = diagrams.projection()
    removed, kept = way(figure, "removed"), way(figure, "kept")
    assert np.allclose(removed + kept, way(figure, "step")) and removed @ kept == pytest.approx(0, abs=1e-9)
    (line,) = [line for line in figure.axes[0].lines if line.get_gid() == "subspace"]
    along = np.ptp(line.get_xydata(), axis=0)
    assert removed[0] * along[1] == pytest.approx(removed[1] * along[0])


def test_row_products_are_three_numbers_and_a_tensor_product_is_one():
    figure = diagrams.inner_products()
    boxes = [box for box in figure.axes[0].patches if isinstance(box, Rectangle)]
    columns = [round(box.get_x(), 6) for box in boxes]
    alone = sorted(columns.count(x) for x in set(columns))
    assert len(boxes) == 4 * 12 + 3 + 1 and alone == [1] + [3] * 17
    assert len({box.get_facecolor() for box in boxes if box.get_x() < 3}) == 3
    assert len({box.get_facecolor() for box in boxes if box.get_x() > 3}) == 1


def test_what_is_merged_is_the_task_vector_where_the_mask_is_one():
    rows = np.array(written(diagrams.mask()), dtype=float).reshape(3, 3, 4)         # rows x matrices x columns
    tau, mask, merged = rows.transpose(1, 0, 2)
    assert np.array_equal(tau * mask, merged) and set(mask.ravel()) == {0, 1}
    assert np.abs(tau[mask == 1]).min() > np.abs(tau[mask == 0]).max()


def test_what_is_kept_stays_in_the_trust_region_and_the_task_vector_leaves_it():
    figure = diagrams.trust_region()
    (region,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "trust region"]
    low, high = region.get_y(), region.get_y() + region.get_height()
    assert all(low < place[1] < high for place in arrow(figure, "kept"))
    tau, kept = way(figure, "task vector 1"), way(figure, "kept")
    assert arrow(figure, "task vector 1")[1][1] > high and kept[0] == tau[0] and kept[1] == 0


def test_the_gradient_leads_back_to_the_coefficients_and_answers_become_surer():
    figure = diagrams.coefficient_learning()
    order = [arrow(figure, name)[0][0] for name in ("merge", "answer", "learn")]
    assert order == sorted(order) and arrow(figure, "gradient")[1][0] < order[0]
    entropies = [-sum(p * np.log(p) for p in answer) for answer in (diagrams.UNSURE, diagrams.SURE)]
    assert entropies[1] < 0.6 * entropies[0] and np.allclose([sum(diagrams.UNSURE), sum(diagrams.SURE)], 1)
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert np.allclose(heights, [diagrams.UNSURE, diagrams.SURE])


def test_a_diagram_is_shown_under_its_name_with_its_text(folder, monkeypatch):  # noqa: F811
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figures.show_diagram("mask")
    assert {file.name for file in folder.iterdir()} == {"diagram-mask.png", "diagram-mask.pdf"}
    assert [image.alt for image in shown] == [DIAGRAMS["mask"][1]]


# --- small matrices

def test_every_entry_of_a_matrix_is_written_and_coloured_by_its_sign():
    figure = figures.matrices({"one": [[4, -0.25], [0, 1]], "two": [[-0.01, 3, 2], [1, 1, 1]]}, decimals=1)
    assert written(figure) == ["4.0", "-0.2", "0.0", "3.0", "2.0", "0.0", "1.0", "1.0", "1.0", "1.0"]
    colours = {(round(box.get_x(), 3), round(box.get_y(), 3)): box.get_facecolor() for box in figure.axes[0].patches}
    red, _, blue, _ = colours[0.0, 0.46]
    assert blue > red                                                       # 4 is blue
    red, _, blue, _ = colours[0.46, 0.46]
    assert red > blue                                                       # -0.25 is orange, and pale
    assert {text for text in words(figure)} >= {"one", "two"}


def test_matrices_share_one_scale_of_colours():
    figure = figures.matrices({"small": [[1.0]], "large": [[4.0]]})
    pale, strong = (sum(box.get_facecolor()[:3]) for box in figure.axes[0].patches)
    assert pale > strong


def test_matrices_of_nothing_but_zeros_can_be_drawn():
    assert written(figures.matrices({"none": [[0, 0]]})) == ["0.0", "0.0"]
