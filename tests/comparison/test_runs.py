"""Runs are found wherever they are; one that failed, goes on or is damaged says so and breaks nothing."""

import json
from pathlib import Path

import pytest

from seq2seq.comparison.runs import find_runs, read_sentences
from seq2seq.errors import UserError
from tests.comparison.writer import REFERENCES, rows, write_run

SCORES = {"test/bleu": 50.0}


def test_runs_are_found_at_any_depth_and_hydras_own_folder_is_none(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "grammar" / "luong" / "2026-01-01_00-00-00")
    hidden = tmp_path / "a" / ".hydra"
    hidden.mkdir()
    (hidden / "config.yaml").write_text((tmp_path / "a" / "config.yaml").read_text())
    assert [run.where for run in find_runs(tmp_path)] == ["a", "grammar/luong/2026-01-01_00-00-00"]


def test_runs_that_are_put_together_by_links_are_found_once(tmp_path: Path) -> None:
    write_run(tmp_path / "all" / "a")
    write_run(tmp_path / "all" / "b")
    few = tmp_path / "few"
    few.mkdir()
    (few / "first").symlink_to(tmp_path / "all" / "b")
    (few / "again").symlink_to(tmp_path / "all" / "b")
    (few / "up").symlink_to(few)
    assert [run.where for run in find_runs(few)] == ["again"]


def test_a_config_of_something_else_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("port: 80\n")
    assert [run.where for run in find_runs(tmp_path)] == ["a"]


def test_a_single_runs_folder_can_be_given(tmp_path: Path) -> None:
    write_run(tmp_path / "only", metrics=SCORES)
    (run,) = find_runs(tmp_path / "only")
    assert (run.where, run.name, run.seed, run.state) == ("only", "luong-general-s1", 1, "finished")


def test_missing_folder_file_and_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        find_runs(tmp_path / "none")
    with pytest.raises(UserError, match="no run in it"):
        find_runs(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        find_runs(tmp_path / "file")


def test_failed_run_tells_its_line(tmp_path: Path) -> None:
    write_run(tmp_path / "a", error="out of memory: make batches smaller")
    (run,) = find_runs(tmp_path)
    assert (run.state, run.story) == ("failed", "out of memory: make batches smaller")


def test_run_that_failed_before_it_had_a_configuration_is_known_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "luong-dot-s3" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text("model.x: wrong\n")
    (run,) = find_runs(tmp_path)
    assert (run.name, run.seed, run.state) == ("luong-dot-s3", 3, "failed")


def test_resumed_run_that_finished_is_not_failed(tmp_path: Path) -> None:
    write_run(tmp_path / "a", error="interrupted", metrics=SCORES)
    assert find_runs(tmp_path)[0].state == "finished"


def test_unfinished_run_tells_its_latest_epoch_and_bleu(tmp_path: Path) -> None:
    write_run(tmp_path / "a", curves={"val/bleu": [1.0, 7.5, 12.25]})
    (run,) = find_runs(tmp_path)
    assert (run.state, run.story) == ("unfinished", "epoch 3, val BLEU 12.25")


def test_run_without_a_validation_is_unfinished(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    assert find_runs(tmp_path)[0].story == "no validation yet"


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "it is empty"), ("{", "cannot be read"), ("[1]", "holds no metrics"), ('{"test/bleu": NaN}', "no BLEU")],
)
def test_run_with_broken_metrics_is_damaged_and_does_not_count(tmp_path: Path, content: str, reason: str) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "a" / "metrics.json").write_text(content)
    (run,) = find_runs(tmp_path)
    assert run.state == "damaged"
    assert "metrics.json: " in run.story and reason in run.story
    assert not run.finished


@pytest.mark.parametrize("content", [b"", b"a: [", b"\xff\xfe\x00bad"])
def test_run_with_a_broken_configuration_is_damaged(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path / "a", metrics=SCORES)
    (tmp_path / "a" / "config.yaml").write_bytes(content)
    (run,) = find_runs(tmp_path)
    assert run.state == "damaged"
    assert run.story.startswith("config.yaml: ")


def test_finished_run_whose_events_were_cut_off_is_damaged_but_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=SCORES, curves={"val/bleu": [1.0, 2.0, 3.0]})
    (events,) = (tmp_path / "a").glob("events*")
    events.write_bytes(events.read_bytes()[:-7])
    (run,) = find_runs(tmp_path)
    assert run.state == "damaged" and run.finished
    assert "cut off" in run.story and "scores are whole" in run.story
    assert run.curves["val/bleu"].values == [1.0, 2.0, 3.0]  # what was cut off is the last epoch alone


def test_run_that_is_writing_its_events_is_not_damaged(tmp_path: Path) -> None:
    write_run(tmp_path / "a", curves={"val/bleu": [1.0, 2.0]})
    (events,) = (tmp_path / "a").glob("events*")
    events.write_bytes(events.read_bytes()[:-7])
    assert find_runs(tmp_path)[0].state == "unfinished"


def test_sentences_hold_any_line_separator_of_unicode(tmp_path: Path) -> None:
    hypotheses = ["a\u2028b\x85c", *REFERENCES[1:]]
    write_run(tmp_path / "a", metrics=SCORES, sentences={"test": rows(hypotheses)})
    (run,) = find_runs(tmp_path)
    assert [row["hypothesis"] for row in read_sentences(run, "test")] == hypotheses


@pytest.mark.parametrize("content", ["", '{"source": "a"\n', json.dumps({"source": "a"}), "[]", None])
def test_broken_sentences_damage_the_run(tmp_path: Path, content: str | None) -> None:
    write_run(tmp_path / "a", metrics=SCORES)
    if content is not None:
        (tmp_path / "a" / "sentences-test.jsonl").write_text(content)
    (run,) = find_runs(tmp_path)
    assert read_sentences(run, "test") == []
    assert run.state == "damaged" and "sentences-test.jsonl" in run.story
