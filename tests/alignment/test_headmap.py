"""The map of heads shows every figure where it belongs."""

from typing import Any

from seq2seq.alignment.headmap import head_map
from seq2seq.alignment.heatmap import draw_image


def row(kind: str, layer: int, head: int | None, **statistics: float) -> dict[str, Any]:
    return {"name": f"{kind}.{layer}", "kind": kind, "layer": layer, "head": head, **statistics}


def test_each_statistic_is_a_panel_with_layers_down_and_heads_across() -> None:
    rows = [
        row("cross", 0, None, sink_mass=0.11, aer=0.91),
        row("cross", 0, 0, sink_mass=0.12, aer=0.92),
        row("cross", 0, 1, sink_mass=0.13, aer=0.93),
        row("encoder", 1, None, sink_mass=0.21),
        row("encoder", 1, 0, sink_mass=0.22),
        row("encoder", 1, 1, sink_mass=0.23),
    ]
    figure = head_map(rows, title="step 1")
    error, sinks = figure.axes
    assert [label.get_text() for label in error.get_yticklabels()] == ["encoder 1", "cross 0"]
    assert [label.get_text() for label in sinks.get_xticklabels()] == ["mean", "0", "1"]
    cells = {(text.get_position(), text.get_text()) for text in sinks.texts}
    assert cells == {
        ((0, 0), "21"), ((1, 0), "22"), ((2, 0), "23"), ((0, 1), "11"), ((1, 1), "12"), ((2, 1), "13"),
    }  # fmt: skip
    # What is not measured is left empty.
    assert {(text.get_position(), text.get_text()) for text in error.texts} == {
        ((0, 1), "91"), ((1, 1), "92"), ((2, 1), "93"),
    }  # fmt: skip
    assert draw_image(figure).min() < 100


def test_panel_of_nowhere_is_there_only_where_some_head_gives_to_it() -> None:
    rows = [row("cross", 0, head, sink_mass=0.1, nowhere=0.0) for head in (None, 0, 1)]
    assert len(head_map(rows).axes) == 1
    rows[1]["nowhere"] = 0.4
    sinks, nowhere = head_map(rows).axes
    assert nowhere.get_title(loc="left") == "nowhere"
    assert [text.get_text() for text in nowhere.texts] == ["0", "40", "0"]
