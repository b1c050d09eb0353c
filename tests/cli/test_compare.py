"""`seq2seq compare`: files whole or not at all, one line for a mistake, real runs as training leaves them."""

import csv
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from tests.comparison.writer import REFERENCES, rows, write_run

EVEN = [[[[0.2] * 5] * 5]]  # the first sentence: one head that looks at all words alike
FILES = ["comparison.csv", "comparison.html", "comparison.md"]


def _scored(folder: Path, bleu: float = 50.0, **options: Any) -> Path:
    options = {"sentences": {"test": rows(REFERENCES)}, **options}
    return write_run(folder, metrics={"test/bleu": bleu, "val/bleu": bleu}, **options)


def _written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith((".comparison", "comparison")))


def test_real_runs_are_compared(command: Callable[..., Any], bahdanau: Any, transformer: Any, tmp_path: Path) -> None:
    for name, run in (("one", bahdanau), ("two", transformer)):
        (tmp_path / name).symlink_to(run.folder)
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in run.folder.iterdir():
            (tmp_path / "runs" / name / file.name).symlink_to(file)
    said = command("compare", "runs=runs", "samples=50")
    assert said.status == 0, said.err
    assert _written(tmp_path / "runs") == FILES
    with (tmp_path / "runs" / "comparison.csv").open() as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    assert set(lines) == {"bahdanau-additive", "transformer-scaled_dot"}
    for name, run in (("bahdanau-additive", bahdanau), ("transformer-scaled_dot", transformer)):
        assert float(lines[name]["test/aer"]) == pytest.approx(run.metrics["test/aer"], rel=1e-6)
        assert lines[name]["state"] == "finished"
    frame = seq2seq.compare(tmp_path / "runs")
    assert list(frame.index) == list(lines)
    assert frame.loc["bahdanau-additive", "test/bleu"] == pytest.approx(bahdanau.metrics["test/bleu"])
    assert "damaged" not in said.out


def test_runs_are_read_again_in_every_way(command: Callable[..., Any], bahdanau: Any, tmp_path: Path) -> None:
    shutil.copytree(bahdanau.folder, tmp_path / "runs" / "one")
    said = command("compare", "runs=runs", "samples=20", "reading=best")
    assert said.status == 0, said.err
    with (tmp_path / "runs" / "readings.csv").open() as file:
        rows = {row["way"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["output_weights", "output_norms", "input_weights", "input_norms"]
    own = rows["output_weights"]
    assert own["own"] == "1" and own["aer_p"] == "" and float(own["milliseconds"]) > 0
    assert float(own["aer"]) == pytest.approx(bahdanau.metrics["test/aer"], rel=1e-4)
    for row in rows.values():
        assert row is own or float(row["aer_difference"]) == pytest.approx(
            float(row["aer"]) - float(own["aer"]), abs=1e-4
        )
    assert "output_weights*" in said.out and "output\\_norms" in (tmp_path / "runs" / "comparison.md").read_text()


def test_reading_where_nothing_can_be_read_is_one_line(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    said = command("compare", "runs=runs", "reading=best")
    assert said.status == 1 and "no run has a checkpoint with attention" in said.err
    assert said.err.count("\n") == 1 and _written(tmp_path / "runs") == []


def test_table_and_files_are_printed(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    _scored(tmp_path / "runs" / "b", bleu=40.0, variant="bottleneck")
    said = command("compare", "runs=runs")
    assert said.status == 0, said.err
    assert "luong-general" in said.out and "bottleneck" in said.out
    assert said.out.splitlines()[-3:] == [f"runs/comparison.{kind}" for kind in ("md", "csv", "html")]
    assert max(map(len, said.out.splitlines())) <= 120


def test_output_can_be_another_folder(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    (tmp_path / "out").mkdir()
    assert command("compare", "runs=runs", "output=out").status == 0
    assert _written(tmp_path / "out") == FILES
    assert _written(tmp_path / "runs") == []


def test_baseline_can_be_chosen(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    _scored(tmp_path / "runs" / "b", bleu=40.0, variant="bottleneck")
    said = command("compare", "runs=runs", "baseline=bottleneck")
    assert "against bottleneck with 1,000 samples" in said.out


def test_every_kind_of_damage_is_told_and_breaks_nothing(command: Callable[..., Any], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    _scored(runs / "whole", pinned=EVEN, curves={"val/bleu": [1.0, 2.0]})
    for number, name in enumerate(("metrics", "events", "npz", "sentences", "heads", "checkpoint", "config"), 2):
        _scored(runs / name, seed=number, variant=name, curves={"val/bleu": [1.0, 2.0]}, pinned=EVEN)
    (runs / "metrics" / "metrics.json").write_text("")
    (events,) = (runs / "events").glob("events*")
    events.write_bytes(events.read_bytes()[:-3])
    archive = runs / "npz" / "alignments" / "sentence-1.npz"
    archive.write_bytes(archive.read_bytes()[:100])
    (runs / "sentences" / "sentences-test.jsonl").write_text("{")
    (runs / "heads" / "heads.json").write_text('{"test": [1]}')
    (runs / "checkpoint" / "checkpoints").mkdir()
    (runs / "checkpoint" / "checkpoints" / "best.ckpt").write_text("cut")
    (runs / "config" / "config.yaml").write_text("")
    said = command("compare", "runs=runs")
    assert said.status == 0, said.err
    damaged = re.findall(r"^damaged: (\w+): (\S+)", said.out, flags=re.MULTILINE)
    assert sorted(name for name, _ in damaged) == sorted(
        ["metrics", "events", "npz", "sentences", "heads", "checkpoint", "config"]
    )
    markdown = (runs / "comparison.md").read_text()
    assert len(re.findall(r"^- damaged: ", markdown, flags=re.MULTILINE)) == 7
    assert "| whole |" not in markdown and "luong-general" in markdown


def test_where_one_file_cannot_be_written_none_is(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    (tmp_path / "runs" / "comparison.html").mkdir()
    said = command("compare", "runs=runs")
    assert said.status == 1 and "comparison.html: it is a folder" in said.err
    assert _written(tmp_path / "runs") == ["comparison.html"]


def test_where_the_rest_of_a_file_cannot_be_written_none_is(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short file is in memory as a whole until it is closed, when others may have their names."""
    _scored(tmp_path / "runs" / "a")
    for form in ("as_csv", "as_page"):
        monkeypatch.setattr(f"seq2seq.cli.compare.{form}", lambda *_: "short")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        said = command("compare", "runs=runs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.status == 1 and "comparison.md: File too large" in said.err
    assert _written(tmp_path / "runs") == []


def test_runs_of_which_none_has_finished_are_told(command: Callable[..., Any], tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", curves={"val/bleu": [4.0]})
    write_run(tmp_path / "runs" / "b", seed=2, error="out of memory")
    said = command("compare", "runs=runs")
    assert said.status == 0, said.err
    assert "unfinished: a: epoch 1, val BLEU 4.00" in said.out
    assert "failed: b: out of memory" in said.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs=none"], "there is no such folder"),
        (["runs=empty"], "no run in it or below it"),
        (["runs=runs", "split=tset"], "split=tset: no run was scored on it; did you mean test?"),
        (["runs=runs", "baseline=botleneck"], "no variant has this name; did you mean bottleneck?"),
        (["runs=runs", "output=runs/a/metrics.json"], "runs/a/metrics.json is a file; give a folder"),
        (["runs=runs", "output=runs/a/metrics.json", "reading=best"], "is a file; give a folder"),
        (["runs=runs", "baseline_links=none", "reading=best"], "baseline_links=none: no run has an alignment error"),
        (["runs=runs", "samples=0"], "samples=0"),
        (["runs=runs", "samples=many"], "samples=many: expected a whole number"),
        (["runs=mixed"], "were trained on different data"),
        ([], "runs is not given"),
    ],
)
def test_mistake_is_one_line_and_nothing_is_written(
    command: Callable[..., Any], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    _scored(tmp_path / "runs" / "a")
    _scored(tmp_path / "runs" / "b", variant="bottleneck")
    _scored(tmp_path / "mixed" / "a")
    _scored(tmp_path / "mixed" / "b", config={"data.seed": 1})
    said = command("compare", *arguments)
    assert said.status == 1
    assert expected in said.err
    assert said.err.count("\n") == 1 and said.out == ""
    assert [path for path in tmp_path.rglob("*comparison*")] == []


def test_folder_of_the_comparison_is_made(command: Callable[..., Any], tmp_path: Path) -> None:
    _scored(tmp_path / "runs" / "a")
    assert command("compare", "runs=runs", "output=new/folder").status == 0
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "comparison.md", "comparison.csv", "comparison.html",
    }  # fmt: skip


def test_links_of_another_tool_are_a_row_with_their_error_rate(
    command: Callable[..., Any], bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    options = [f"runs={bahdanau.folder}", f"output={tmp_path}"]
    said = command("compare", *options, f"baseline_links={text_folder / 'test.links'}")
    assert said.status == 0, said.err
    (row,) = [line for line in (tmp_path / "comparison.md").read_text().splitlines() if line.startswith("| test.links")]
    assert " 0.0 |" in row and "Not tested" not in said.out
    (tmp_path / "short").write_text("0-0\n")
    said = command("compare", *options, "baseline_links=short")
    assert said.status == 1 and "has 1 line, but the data has 10 pairs" in said.err and said.err.count("\n") == 1
