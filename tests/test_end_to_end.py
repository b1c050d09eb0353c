"""From text to translations in processes of their own, with file names as people have them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.alignment.links import read_links
from seq2seq.cli.main import main
from tests.sentences import sentences

ROOT = Path(__file__).parents[1]


def seq2seq(*arguments: str, folder: Path, stdin: str = "") -> str:
    """Return what the command wrote to stdout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "seq2seq", *arguments],
        cwd=folder, input=stdin, capture_output=True, encoding="utf-8", env=environment, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_text_to_model_to_translations_and_links_under_awkward_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "my data, (v1=größe) it's"
    data.mkdir()
    names = []
    for split, (start, end) in {"train": (0, 40), "val": (40, 45)}.items():
        for kind in ("source", "target", "links"):
            file = data / f'{split} "{kind}"; a\\b.txt'
            lines = [getattr(pair, kind) for pair in sentences("val")[start:end]]
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            names.append(f"data.{split}.{kind}={file}")
    overrides = [
        "data=text",
        *names,
        "tokenizer.vocab_size=200",
        "model.d_model=16",
        "model.d_embedding=16",
        "search.max_length=5",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
        "callbacks.pinned.sentences=[0]",
        "hydra.run.dir=my run, (1)",
    ]
    said = seq2seq("train", *overrides, folder=tmp_path)
    assert "seq2seq translate 'checkpoint=my run, (1)/checkpoints/best.ckpt'" in said
    run = tmp_path / "my run, (1)"
    assert (run / "metrics.json").exists() and list((run / "alignments").glob("*.png"))

    shutil.move(run / "checkpoints" / "best.ckpt", tmp_path / "a=b, c.ckpt")
    shutil.rmtree(run)
    source, target, gold = (data / f'val "{kind}"; a\\b.txt' for kind in ("source", "target", "links"))
    sides = [f"source={source}", f"target={target}"]
    monkeypatch.chdir(tmp_path)
    assert main(["align", "checkpoint=a=b, c.ckpt", *sides, "output=out ${x}.links"]) == 0
    assert len(read_links(str(tmp_path / "out ${x}.links")).links) == 5
    assert main(["aer", f"gold={gold}", "hypothesis=out ${x}.links"]) == 0
    assert capsys.readouterr().out.startswith("AER")

    shutil.rmtree(data)
    shutil.rmtree(tmp_path / "outputs")
    lines = seq2seq(
        "translate", "checkpoint=a=b, c.ckpt", "search.max_length=5", folder=tmp_path, stdin="Füße\n\nthe wolf\n"
    ).split("\n")
    assert [bool(line) for line in lines] == [True, False, True, False]
