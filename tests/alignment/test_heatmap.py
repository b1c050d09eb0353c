"""Heatmaps: the right cell in the right place and colour, every label legible and inside the picture."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

import seq2seq
from seq2seq.alignment.colors import COLORS, GOLD
from seq2seq.alignment.heatmap import draw_image, heatmap, heatmap_grid, save_figure, save_image
from seq2seq.alignment.links import Links, parse_links

SOURCE = ["the", "old", "man", "saw", "a", "dog", "</s>"]
TARGET = ["der", "alte", "Mann", "sah", "</s>"]
LONG = "Donaudampfschifffahrtsgesellschaftskapitän"


def uniform(num_target: int, num_source: int) -> Tensor:
    return torch.full((num_target, num_source), 1 / num_source)


class Panel(NamedTuple):
    """Where the cells of one panel stand, in inches."""

    left: float
    top: float
    cell: float


def cells_of(image: AxesImage) -> np.ndarray:
    """The numbers of a panel, a row for each query."""
    cells = image.get_array()
    assert cells is not None
    return cells


def panels_of(figure: Figure) -> list[Panel]:
    """The panels of a figure; its last image is the scale."""
    found = []
    for image in figure.axes[0].images[:-1]:
        left, right, _, top = image.get_extent()
        found.append(Panel(left, top, (right - left) / cells_of(image).shape[1]))
    return found


def cell_color(figure: Figure, source: int, target: int, panel: int = 0) -> np.ndarray:
    """The colour, 0-255, in the middle of a cell of the drawn picture."""
    image = draw_image(figure)
    left, top, cell = panels_of(figure)[panel]
    x, y = figure.axes[0].transData.transform((left + (source + 0.5) * cell, top + (target + 0.5) * cell))
    return image[image.shape[0] - 1 - int(y), int(x)]


def words_of(figure: Figure) -> list[str]:
    """What is written but for the title and the numbers of the scale."""
    return [text.get_text() for text in figure.axes[0].texts if text.get_text() not in ("", "0", ".5", "1")]


def outlines(figure: Figure, panel: int = 0) -> dict[str, set[tuple[int, int]]]:
    """The (source, target) cells that gold links outline, by whether the line is solid or dashed."""
    left, top, cell = panels_of(figure)[panel]
    rows, columns = cells_of(figure.axes[0].images[panel]).shape
    found: dict[str, set[tuple[int, int]]] = {"solid": set(), "dashed": set()}
    collections: list[Any] = [child for child in figure.axes[0].collections if isinstance(child, LineCollection)]
    for lines in collections:
        if tuple(lines.get_color()[0][:3]) == to_rgb(GOLD):
            style = "solid" if lines.get_linestyle()[0][1] is None else "dashed"
            for box in lines.get_segments():
                x, y = (np.mean(box[:4], axis=0) - (left, top)) / cell - 0.5
                if -0.5 < x < columns - 0.5 and -0.5 < y < rows - 0.5:
                    assert (x, y) == pytest.approx((round(x), round(y)), abs=1e-6)
                    found[style].add((round(x), round(y)))
    return found


def test_source_runs_across_and_target_down() -> None:
    weights = torch.zeros(5, 7)
    weights[3, 5] = 1
    figure = heatmap(weights, SOURCE, TARGET)
    dark = np.array(to_rgb(COLORS[-1])) * 255
    np.testing.assert_allclose(cell_color(figure, source=5, target=3), dark, atol=2)
    np.testing.assert_array_equal(cell_color(figure, source=3, target=4), [255, 255, 255])


def test_scale_is_fixed_whatever_the_largest_weight() -> None:
    weak, strong = torch.zeros(5, 7), torch.zeros(5, 7)
    weak[1, 2] = strong[1, 2] = 0.3
    strong[0, 0] = 1
    one, other = (cell_color(heatmap(weights, SOURCE, TARGET), 2, 1) for weights in (weak, strong))
    np.testing.assert_array_equal(one, other)


def test_equal_steps_of_weight_are_equal_steps_of_lightness() -> None:
    linear = np.array(
        [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)] for color in COLORS]
    )
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    assert lightness[0] == pytest.approx(100)
    np.testing.assert_allclose(np.diff(lightness), (lightness[-1] - lightness[0]) / (len(COLORS) - 1), atol=0.5)


def test_every_token_is_labelled_in_order_with_its_end_of_sentence() -> None:
    figure = heatmap(uniform(5, 7), SOURCE, TARGET)
    assert words_of(figure) == SOURCE + TARGET
    ((left, top, cell),) = panels_of(figure)
    positions = np.array([text.get_position() for text in figure.axes[0].texts[:12]])
    np.testing.assert_allclose((positions[7:, 1] - top) / cell - 0.5, range(5), atol=1e-6)
    np.testing.assert_allclose((positions[:7, 0] - left) / cell - 0.5, range(7), atol=0.2)


def test_cells_are_square() -> None:
    figure = heatmap(uniform(5, 7), SOURCE, TARGET)
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (right - left) / 7 == pytest.approx((bottom - top) / 5)
    assert figure.axes[0].get_window_extent().size == pytest.approx(figure.get_size_inches() * figure.dpi)


def sentence(length: int, word: str = "Gartentür") -> list[str]:
    return [word[: 1 + i % len(word)] for i in range(length - 1)] + ["</s>"]


@pytest.mark.parametrize(
    "title, gold",
    [
        ("", None),
        ("", parse_links("0-0")),
        ("step 400 · mean of heads\n" + "a long sentence " * 40, parse_links("0-0 1p1")),
    ],
)
@pytest.mark.parametrize("num_target, num_source", [(1, 1), (2, 3), (1, 61), (61, 1), (17, 23), (47, 43), (97, 101)])
def test_all_text_stands_inside_a_picture_of_bounded_size(
    num_target: int, num_source: int, title: str, gold: Links | None
) -> None:
    weights = uniform(num_target, num_source)
    figure = heatmap(weights, sentence(num_source), sentence(num_target), title=title, gold=gold)
    assert_text_inside(figure)
    width, height = figure.get_size_inches() * figure.dpi
    assert max(width, height) <= 2000
    assert panels_of(figure)[0].cell * figure.dpi >= 14  # pixels


def assert_text_inside(figure: Figure) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    for text in texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()
    titles = [text.get_window_extent(renderer) for text in figure.texts]
    for label in figure.axes[0].texts:
        assert not label.get_window_extent(renderer).count_overlaps(titles), label.get_text()


def test_long_labels_are_cut_and_the_cells_keep_their_size() -> None:
    figure = heatmap(uniform(2, 2), [LONG, "</s>"], [LONG * 9, "</s>"])
    assert_text_inside(figure)
    assert all(len(word) <= 24 for word in words_of(figure))
    assert words_of(figure)[0].startswith("Donaudampf")
    assert figure.get_size_inches().max() < 6


def test_signs_of_formulas_are_drawn_as_they_are() -> None:
    labels = ["$", "$x_{2", "$\\frac{$", "a_b", "▁the", "100%", "</s>"]
    figure = heatmap(uniform(5, 7), labels, TARGET, title="it costs $5 and $\\nothing$ {")
    draw_image(figure)  # a formula with a fault would raise
    assert words_of(figure)[:7] == labels
    renderer = FigureCanvasAgg(figure).get_renderer()
    widths = [figure.axes[0].texts[i].get_window_extent(renderer).height for i in (1, 3)]
    assert widths[0] > widths[1]  # all five signs have a width of their own


def test_dense_column_labels_do_not_overlap() -> None:
    figure = heatmap(uniform(5, 53), sentence(53), TARGET)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts[:53]]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_single_characters_stand_upright() -> None:
    texts = heatmap(uniform(5, 7), [*"abcdef", "</s>"], TARGET).axes[0].texts
    assert [text.get_rotation() for text in texts[:7]] == [0] * 6 + [45]


def test_gold_links_are_outlined_solid_where_sure_and_dashed_where_possible() -> None:
    figure = heatmap(uniform(5, 7), SOURCE, TARGET, gold=parse_links("0-0 5-3 2p3 1p1"))
    assert outlines(figure) == {"solid": {(0, 0), (5, 3)}, "dashed": {(2, 3), (1, 1)}}
    assert words_of(figure)[-2:] == ["gold, sure", "possible"]


def test_gold_links_of_words_that_were_cut_off_are_left_out() -> None:
    figure = heatmap(uniform(5, 7), SOURCE, TARGET, gold=parse_links("0-0 7-1 1-5"))
    assert outlines(figure)["solid"] == {(0, 0)}
    assert_text_inside(figure)


def test_pictures_without_gold_have_no_outlines() -> None:
    assert outlines(heatmap(uniform(5, 7), SOURCE, TARGET)) == {"solid": set(), "dashed": set()}


@pytest.mark.parametrize("heads", [1, 2, 5, 8, 13])
def test_grid_labels_its_outer_edges_alone_and_shares_the_scale(heads: int) -> None:
    figure = heatmap_grid(torch.rand(heads, 5, 7).softmax(-1), SOURCE, TARGET, title="layer 1", gold=parse_links("0-0"))
    names = ["mean", *(f"head {head}" for head in range(heads))] if heads > 1 else [""]
    panels = panels_of(figure)
    expected = []
    for number, (panel, name) in enumerate(zip(panels, names, strict=True)):
        expected += SOURCE if panel.top == panels[0].top else []
        expected += TARGET if panel.left == panels[0].left else []
        expected += [name] if name else []
        assert figure.axes[0].images[number].get_clim() == (0, 1)
        assert outlines(figure, number)["solid"] == {(0, 0)}
    assert words_of(figure) == [*expected, "gold, sure", "possible"]
    assert_text_inside(figure)


def test_grid_shows_each_head_in_its_panel() -> None:
    weights = torch.zeros(3, 5, 7)
    for head in range(3):
        weights[head, head, head + 1] = 1
    figure = heatmap_grid(weights, SOURCE, TARGET)
    for head in range(3):
        assert cell_color(figure, head + 1, head, panel=head + 1).max() < 100
        assert cell_color(figure, head, head, panel=head + 1).min() == 255


@pytest.mark.parametrize("labels", [(SOURCE[1:], TARGET), (SOURCE, [*TARGET, "x"]), (TARGET, SOURCE)])
def test_labels_that_are_not_as_many_as_the_weights_are_refused(labels: tuple[Sequence[str], Sequence[str]]) -> None:
    with pytest.raises(ValueError, match="labels for weights of shape"):
        heatmap(uniform(5, 7), *labels)


def test_weights_in_training_precision_and_with_gradients_are_drawn() -> None:
    weights = uniform(5, 7).to(torch.bfloat16).requires_grad_()
    figure = heatmap(weights, SOURCE, TARGET)
    assert cell_color(figure, 0, 0).min() < 255


def test_image_is_rows_of_bytes_and_equals_the_saved_pictures(tmp_path: Path) -> None:
    figure = heatmap(torch.rand(5, 7), SOURCE, TARGET, title="step 1")
    image = draw_image(figure)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    save_figure(figure, tmp_path / "alignments" / "figure.png")
    save_image(image, tmp_path / "images" / "image.png")
    for path in tmp_path.glob("*/*.png"):
        with Image.open(path) as saved:
            np.testing.assert_array_equal(image, np.asarray(saved.convert("RGB")))


def test_picture_is_saved_as_svg_by_its_suffix(tmp_path: Path) -> None:
    save_figure(heatmap(uniform(5, 7), SOURCE, TARGET), tmp_path / "sentence.svg")
    assert (tmp_path / "sentence.svg").read_text("utf-8").startswith("<?xml")


def test_drawing_never_loads_pyplot() -> None:
    code = (
        "import sys, torch; from seq2seq.alignment.heatmap import heatmap, draw_image;"
        "draw_image(heatmap(torch.ones(1, 1), ['a'], ['b'])); print('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(seq2seq.__path__[0]).parent
    out = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True).stdout
    assert out.strip() == "False"


def test_what_goes_nowhere_is_a_last_column_apart_only_where_a_row_loses_more_than_a_hundredth() -> None:
    weights = uniform(5, 7) * 0.6
    figure = heatmap(weights, SOURCE, TARGET, nowhere=torch.tensor([0.4, 0.4, 0.4, 0.4, 1.0]), gold=parse_links("6-4"))
    assert words_of(figure)[: len(SOURCE) + 1] == [*SOURCE, "(nowhere)"]
    assert cell_color(figure, 7, 4).max() < 100  # the darkest
    assert outlines(figure)["solid"] == {(6, 4)}
    assert_text_inside(figure)
    plain = draw_image(heatmap(weights, SOURCE, TARGET))
    np.testing.assert_array_equal(draw_image(heatmap(weights, SOURCE, TARGET, nowhere=torch.full((5,), 0.01))), plain)


def test_all_panels_of_a_grid_have_the_column_where_one_head_loses() -> None:
    weights = torch.eye(5, 7).expand(2, 5, 7)
    nowhere = torch.tensor([[0.0] * 5, [0.8] * 5])
    figure = heatmap_grid(weights, SOURCE, TARGET, nowhere=nowhere)
    shown = [cells_of(image)[:, -1] for image in figure.axes[0].images[:-1]]
    np.testing.assert_allclose(shown, [[0.4] * 5, [0.0] * 5, [0.8] * 5], atol=1e-6)
    assert_text_inside(figure)


def test_figure_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Figure, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", half)
    (tmp_path / "heads.png").write_bytes(b"from before")
    with pytest.raises(KeyboardInterrupt):
        save_figure(Figure(), tmp_path / "heads.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("heads.png", b"from before")]
