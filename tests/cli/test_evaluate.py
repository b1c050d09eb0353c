"""`seq2seq evaluate`: the scores of a checkpoint on a split, with signatures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.checkpoint import KEY, read_checkpoint

Command = Callable[..., Any]
AS_IN_TRAINING = ["search=greedy", "search.max_length=20"]


@pytest.mark.parametrize("model", ["bahdanau", "transformer"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_are_those_that_training_reported(
    command: Command, request: pytest.FixtureRequest, tmp_path: Path, model: str, split: str
) -> None:
    run = request.getfixturevalue(model)
    options = [f"checkpoint={run.best}", f"split={split}", f"output={tmp_path}", *AS_IN_TRAINING]
    said = command("evaluate", *options)
    assert said.status == 0 and all("unknown" in line for line in said.err.splitlines())
    found = json.loads((tmp_path / f"evaluation-{split}.json").read_text())
    expected = {name: value for name, value in run.metrics.items() if name.startswith(f"{split}/")}
    metrics = {f"{split}/{name}": value for name, value in found["metrics"].items()}
    speed = f"{split}/sentences_per_second"
    assert metrics.pop(speed) > 0 < expected.pop(speed)
    assert metrics == pytest.approx(expected)
    assert len((tmp_path / f"translations-{split}.txt").read_text().splitlines()) == 10


def test_table_has_every_score_with_its_signature(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command("evaluate", f"checkpoint={bahdanau.best}", f"output={tmp_path}", *AS_IN_TRAINING)
    assert said.status == 0
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    assert {"BLEU", "chrF", "TER", "AER"} <= rows.keys()
    assert "tok:13a" in rows["BLEU"] and "version:" in rows["chrF"] and "version:" in rows["TER"]
    assert f"{bahdanau.metrics['test/bleu']:.2f}" in rows["BLEU"]
    assert "evaluation-test.json" in said.out


@pytest.mark.parametrize("model", ["bahdanau", "transformer"])
def test_readings_make_a_table_and_leave_the_choice_of_validation(
    command: Command, request: pytest.FixtureRequest, tmp_path: Path, model: str
) -> None:
    run = request.getfixturevalue(model)
    options = [f"checkpoint={run.best}", f"output={tmp_path}", *AS_IN_TRAINING]
    said = command("evaluate", *options, "reading=best")
    assert said.status == 0, said.err
    names = ("output_weights", "output_norms", "input_weights", "input_norms")
    shown = [line.split()[0] for line in said.out.splitlines() if line.startswith(names)]
    assert list(dict.fromkeys(shown)) == list(names)
    found = json.loads((tmp_path / "evaluation-test.json").read_text())
    assert found["metrics"]["aer"] == pytest.approx(run.metrics["test/aer"])
    assert {f"aer_by_reading/{name}" for name in names} <= found["metrics"].keys()
    assert ("the layer of largest norms" in said.out) == (model == "transformer")
    # One reading is that of the head which was chosen.
    said = command("evaluate", *options, "reading=input_norms")
    assert said.status == 0 and "input_norms; the diagonal" in said.out and "reading  " not in said.out
    other = json.loads((tmp_path / "evaluation-test.json").read_text())
    rows = [row for row in found["by_reading"] if row["reading"] == "input_norms" and row["head"] is None]
    if model == "bahdanau":
        assert other["metrics"]["aer"] == pytest.approx(rows[0]["aer"])


def test_validation_keeps_the_reading_that_aligns_best(command: Command, train_briefly: Any, tmp_path: Path) -> None:
    run = train_briefly("reading=best", "reading.readings=[output_norms,input_weights]")
    stored = read_checkpoint(run.best).alignment
    assert stored is not None
    assert str(stored.reading) in ("output_norms", "input_weights")
    said = command("evaluate", f"checkpoint={run.best}", "split=val", f"output={tmp_path}", *AS_IN_TRAINING)
    assert said.status == 0 and f", {stored.reading}; the diagonal" in said.out
    found = json.loads((tmp_path / "evaluation-val.json").read_text())
    assert found["metrics"]["aer"] == pytest.approx(run.metrics["val/aer"])


def test_files_go_to_the_folder_of_the_run_by_themselves(command: Command, train_briefly: Any) -> None:
    run = train_briefly()
    assert command("evaluate", f"checkpoint={run.best}", *AS_IN_TRAINING).status == 0
    assert (run.folder / "evaluation-test.json").exists() and (run.folder / "translations-test.txt").exists()


def test_folder_for_the_results_is_made_or_refused_at_once(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    assert command("evaluate", f"checkpoint={bahdanau.best}", "output=new/folder").status == 0
    assert (tmp_path / "new" / "folder" / "evaluation-test.json").exists()
    (tmp_path / "file").touch()
    said = command("evaluate", f"checkpoint={bahdanau.best}", "output=file/folder")
    assert said.status == 1 and "error: cannot write output=file/folder" in said.err and not said.out


def test_other_data_can_be_scored(command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path) -> None:
    names = [f"data.test.{kind}={text_folder / f'val.{kind}'}" for kind in ("source", "target", "links")]
    options = [f"checkpoint={bahdanau.best}", f"output={tmp_path}", "data=text", *AS_IN_TRAINING]
    said = command("evaluate", *options, *names)
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "evaluation-test.json").read_text())["metrics"]
    assert found["loss"] == pytest.approx(bahdanau.metrics["val/loss"])
    assert found["aer"] == pytest.approx(bahdanau.metrics["val/aer"])


def test_tokeniser_of_the_metric_is_an_option(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", f"output={tmp_path}", *AS_IN_TRAINING]
    said = command("evaluate", *options, "metrics.tokenize=char", "metrics.lowercase=true")
    assert "tok:char" in said.out and "case:lc" in said.out


@pytest.mark.parametrize("name", ["evaluate", "heads"])
def test_metric_is_that_of_the_training(command: Command, transformer: Any, tmp_path: Path, name: str) -> None:
    content = torch.load(transformer.best, weights_only=True)
    content[KEY]["config"]["metrics"] = {"tokenize": "char", "lowercase": True}
    torch.save(content, tmp_path / "trained.ckpt")
    few = ["sentences=2"] if name == "heads" else []
    said = command(name, "checkpoint=trained.ckpt", "output=out", *AS_IN_TRAINING, *few)
    assert said.status == 0, said.err
    (file,) = (tmp_path / "out").glob("*.json")
    found = json.loads(file.read_text())
    assert (found["tokenize"], found["lowercase"]) == ("char", True)


def test_empty_lines_are_scored_as_translate_translates_them(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    lines = (text_folder / "test.source").read_text(encoding="utf-8").splitlines()[:3]
    source = "".join(f"{line}\n" for line in [lines[0], "", lines[1], "   ", lines[2]])
    (tmp_path / "source").write_text(source, encoding="utf-8")
    (tmp_path / "target").write_text("ein Wolf\nnichts\nein Haus\n\nein Hund\n", encoding="utf-8")
    options = [f"checkpoint={bahdanau.best}", *AS_IN_TRAINING]
    names = ["data=text", "data.test.source=source", "data.test.target=target", "output=out"]
    assert command("evaluate", *options, *names).status == 0
    written = (tmp_path / "out" / "translations-test.txt").read_text(encoding="utf-8")
    assert written == command("translate", *options, stdin=source.encode()).out
    assert [bool(line) for line in written.splitlines()] == [True, False, True, False, True]


def test_evaluation_of_other_settings_is_kept_beside_the_new_one(
    command: Command, bahdanau: Any, tmp_path: Path
) -> None:
    options = ["evaluate", f"checkpoint={bahdanau.best}", "output=out", "search.max_length=5"]
    out = tmp_path / "out"

    def beam(name: str) -> int:
        return json.loads((out / name).read_text())["search"]["beam_size"]

    assert "earlier" not in command(*options, "search.beam_size=1").out
    assert "earlier" not in command(*options, "search.beam_size=1").out  # the same again
    assert sorted(path.name for path in out.iterdir()) == ["evaluation-test.json", "translations-test.txt"]
    first = (out / "translations-test.txt").read_text()
    said = command(*options, "search.beam_size=2").out
    assert "the earlier one, of other settings (search), is evaluation-test.1.json now" in said
    command(*options, "search.beam_size=3")
    assert [beam(f"evaluation-test{n}.json") for n in (".1", ".2", "")] == [1, 2, 3]
    assert (out / "translations-test.1.txt").read_text() == first


def test_where_one_file_cannot_be_written_the_earlier_ones_stay(
    command: Command, bahdanau: Any, tmp_path: Path
) -> None:
    options = ["evaluate", f"checkpoint={bahdanau.best}", "output=out", "search.max_length=5"]
    out = tmp_path / "out"
    command(*options, "search.beam_size=1")
    scores = (out / "evaluation-test.json").read_bytes()
    (out / "translations-test.txt").unlink()
    (out / "translations-test.txt").mkdir()
    said = command(*options, "search.beam_size=2")
    assert said.status == 1 and "translations-test.txt: it is a folder" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["evaluation-test.json", "translations-test.txt"]
    assert (out / "evaluation-test.json").read_bytes() == scores


def test_evaluation_of_other_data_is_kept_too(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    options = ["evaluate", f"checkpoint={bahdanau.best}", "output=out", "search.max_length=5", "search=greedy"]
    command(*options)
    names = [f"data.test.{kind}={text_folder / f'val.{kind}'}" for kind in ("source", "target")]
    said = command(*options, "data=text", *names).out
    assert "(fingerprint)" in said and (tmp_path / "out" / "evaluation-test.1.json").exists()


def test_links_of_another_tool_are_scored_beside_the_models(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    options = [f"checkpoint={bahdanau.best}", f"output={tmp_path}", *AS_IN_TRAINING]
    said = command("evaluate", *options, f"baseline_links={text_folder / 'test.links'}")
    assert said.status == 0 and "AER     0.0 %  baseline_links" in said.out
    assert json.loads((tmp_path / "evaluation-test.json").read_text())["metrics"]["aer_baseline"] == 0
    (tmp_path / "beyond").write_text("0-0 99-0\n" + "\n" * 9)
    (tmp_path / "short").write_text("0-0\n")
    for name, message in (("beyond", "pair 1: 99-0 exceeds"), ("short", "has 1 line, but the data has 10 pairs")):
        said = command("evaluate", *options, f"baseline_links={name}")
        assert said.status == 1 and said.out == ""
        assert said.err.splitlines()[-1].startswith(f"error: baseline_links={name}") and message in said.err
