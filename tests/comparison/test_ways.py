"""Readings and methods side by side: what stands in which row, and what is told of files that cannot be read."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seq2seq.comparison import chance
from seq2seq.comparison.readings import ReadVariant
from seq2seq.comparison.runs import find_runs
from seq2seq.comparison.variants import Variant, group_runs, statistic_of
from seq2seq.comparison.ways import Way, find_ways, heads_curves, ways_as_csv, ways_as_markdown, ways_as_rich
from tests.comparison.writer import write_run

OWN = ReadVariant("luong-general", "output_weights", 2, "0", statistic_of([0.04, 0.06]), None, 2.5)
OTHER = ReadVariant(
    "luong-general", "input_norms", 0, "0", statistic_of([0.5, 0.7]), chance.Tested((1, 2), 0.55, 0.001), 3.0
)


def method(without: float, alone: float, hits: float | None) -> dict[str, Any]:
    means = {"comprehensiveness": {"mean": without}, "sufficiency": {"mean": alone}}
    return means | {"hit_rate": hits, "hits_by_tag": {}, "seconds": 0.01}


@pytest.fixture
def variants(tmp_path: Path) -> list[Variant]:
    """Two seeds of luong, with what `trust` and `heads` left there."""
    for seed, more in ((1, 0.0), (2, 1.0)):
        folder = write_run(tmp_path / f"a{seed}", seed=seed, metrics={"test/bleu": 90.0})
        methods = {"attention": method(5 + more, 0.5, 0.9), "erasure": method(6 + more, 0.25, None)}
        (folder / "trust-test.json").write_text(json.dumps({"methods": methods}))
    curve = [
        {"heads": 4, "removed": [], "bleu": 90.0, "aer": 0.1},
        {"heads": 3, "removed": [], "bleu": 80.0, "aer": 0.2},
    ]
    (tmp_path / "a1" / "heads-val.json").write_text(json.dumps({"split": "val", "by": "importance", "curve": curve}))
    return group_runs(find_runs(tmp_path)).variants


def test_attention_of_trust_stands_beside_the_reading_that_was_chosen(variants: list[Variant]) -> None:
    ways = {way.name: way for way in find_ways(variants, [OWN, OTHER], "test")}
    assert list(ways) == ["output_weights", "input_norms", "erasure"]
    assert ways["output_weights"].cells() == [
        "output_weights*",
        "0",
        "5.00 ± 1.41",
        "–",
        "–",
        "5.50",
        "0.50",
        "90.0",
        "2.5",
    ]
    assert ways["input_norms"].cells()[2:5] == ["60.00 ± 14.14", "+55.00", "0.001"]
    assert ways["erasure"].cells()[5:] == ["6.50", "0.25", "–", "10.0"]


def test_without_readings_attention_is_a_method_like_others(variants: list[Variant]) -> None:
    ways = find_ways(variants, [], "test")
    assert [way.name for way in ways] == ["attention", "erasure"]
    assert "AER" not in ways_as_markdown(ways) and "| attention | 5.50 | 0.50 | 90.0 |" in ways_as_markdown(ways)
    assert find_ways(variants, [], "val") == []


def test_csv_has_the_units_of_metrics(variants: list[Variant]) -> None:
    rows = list(csv.DictReader(io.StringIO(ways_as_csv(find_ways(variants, [OWN, OTHER], "test")))))
    assert rows[1]["aer"] == "0.6" and rows[1]["aer_difference"] == "0.55" and rows[1]["aer_p"] == "0.001"
    assert rows[0]["own"] == "2" and rows[0]["comprehensiveness"] == "5.5" and rows[2]["aer"] == ""


def test_curve_of_heads_is_of_the_run_that_has_one(variants: list[Variant]) -> None:
    ((curve,),) = heads_curves(variants)
    assert curve["heads"] == [4, 3] and curve["bleu"] == [90.0, 80.0] and curve["aer"] == [10.0, 20.0]
    assert (curve["seed"], curve["split"], curve["by"]) == (1, "val", "importance")


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"methods": {"attention": {}}, "curve": [1]}', '{"methods": 3, "curve": 3}'),
        *('{"methods": 3, "curve": [], "x": NaN}', '{"methods": 3, "curve": [], "x": 1e999}'),
        '{"methods": {"attention": {"comprehensiveness": {"mean": 1}, "sufficiency": {"mean": 1}, "seconds": 1, '
        '"hit_rate": "half"}}, "curve": 3}',
    ],
)
def test_file_that_cannot_be_read_is_told(variants: list[Variant], text: str) -> None:
    run = variants[0].runs[0]
    for name in ("trust-test.json", "heads-val.json"):
        (run.folder / name).write_text(text)
    ways = find_ways(variants, [], "test")
    assert heads_curves(variants) == [[]]
    assert run.problems == ["trust-test.json: it cannot be read", "heads-val.json: it cannot be read"]
    assert ways[0].without == 6.0  # that of the other seed


@pytest.mark.parametrize(("width", "shown"), [(40, 1), (60, 3), (118, 4)])
def test_terminal_shows_whole_figures_of_as_many_columns_as_fit(width: int, shown: int) -> None:
    ways = [
        Way("bahdanau-additive", name, without=5.06, alone=0.48, linked=0.862, milliseconds=1476.9)
        for name in ("attention", "integrated_gradients")
    ]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(ways_as_rich(ways, width))
    said = console.export_text()
    figures = ["5.06", "0.48", "86.2", "1476.9"]
    assert [said.count(figure) for figure in figures] == [2] * shown + [0] * (4 - shown)
    assert "…" not in said and "bahdanau" in said
