"""`seq2seq average`: an ordinary checkpoint, that every command takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.checkpoint import read_checkpoint

Command = Callable[..., Any]


@pytest.fixture
def last(bahdanau: Any) -> str:
    return str(bahdanau.folder / "checkpoints" / "last.ckpt")


def test_mean_is_an_ordinary_checkpoint_that_says_what_it_is_of(
    command: Command, bahdanau: Any, last: str, text_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other, 2.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"] = {name: tensor + 0.5 for name, tensor in content["state_dict"].items()}
    torch.save(content, other)
    said = command("average", f"checkpoints=[{bahdanau.best},'other, 2.ckpt']", "output=new/mean.ckpt")
    assert (said.status, said.err) == (0, "") and said.out == "the mean of 2 checkpoints; written to new/mean.ckpt\n"
    mean, first, second = (read_checkpoint(path) for path in (tmp_path / "new" / "mean.ckpt", bahdanau.best, other))
    assert mean.averaged_from == (bahdanau.best, str(other)) and first.averaged_from == ()
    for name, tensor in mean.weights.items():
        assert torch.allclose(tensor, (first.weights[name] + second.weights[name]) / 2)
    shared = {tensor.untyped_storage().data_ptr() for tensor in first.weights.values()}
    assert len({tensor.untyped_storage().data_ptr() for tensor in mean.weights.values()}) == len(shared)
    files = [f"{side}={text_folder / f'test.{side}'}" for side in ("source", "target")]
    for arguments in (
        ["translate", "search.max_length=5"],
        ["align", *files],
        ["score", *files],
        ["translate", "search=mbr", "search.candidates.max_length=4"],
    ):
        assert command(arguments[0], "checkpoint=new/mean.ckpt", *arguments[1:], stdin=b"the wolf\n").status == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["checkpoints=[{best},{transformer}]"],
            "{transformer}: encoder is TransformerEncoder, but RecurrentEncoder in {best}",
        ),
        (["checkpoints={best}"], "is one alone; give at least two"),
        (["checkpoints=[{best},{last}]", "output=there"], "output=there is there already; give a new file"),
        (["checkpoints=[{best},{last}]", "output={last}"], "output={last} is the checkpoint itself; give a new file"),
        (["checkpoints=[{best},{last}]", "output=there/mean.ckpt"], "there is no folder that can be written"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    command: Command, bahdanau: Any, last: str, transformer: Any, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "there").write_text("before\n")
    names = {"best": bahdanau.best, "last": last, "transformer": transformer.best}
    found = command("average", "output=mean.ckpt", *(option.format(**names) for option in options))
    assert found.status == 1 and said.format(**names) in found.err and found.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and (tmp_path / "there").read_text() == "before\n"


def test_mean_of_models_that_began_apart_is_warned_of(command: Command, train_briefly: Any, tmp_path: Path) -> None:
    train_briefly(folder="one")
    train_briefly("seed=2", folder="other")
    train_briefly("seed=2", "begin_with=one/checkpoints/best.ckpt", folder="tuned")
    train_briefly("seed=3", "begin_with=tuned/checkpoints/best.ckpt", folder="again")
    train_briefly("optimizer.lr=0.1", folder="alike")
    (tmp_path / "moved").mkdir()
    (tmp_path / "one" / "checkpoints" / "last.ckpt").rename(tmp_path / "moved" / "one.ckpt")
    names = {"moved": "moved/one.ckpt"}

    def averaged(*runs: str) -> str:
        files = [names.get(run, f"{run}/checkpoints/best.ckpt") for run in runs]
        said = command("average", f"checkpoints=[{','.join(files)}]", f"output={'-'.join(runs)}.ckpt")
        assert said.status == 0, said.err
        return said.err

    for runs in (["one", "moved"], ["one", "alike"], ["one", "tuned"], ["tuned", "moved"], ["again", "one", "tuned"]):
        assert averaged(*runs) == "", runs
    one, other = "one/checkpoints/best.ckpt", "other/checkpoints/best.ckpt"
    found = averaged("one", "other", "tuned")
    assert found.startswith(f"{one} and {other} began with different weights (seed=1 and seed=2), so their mean is no")
    assert found.count("\n") == 1
    assert "began with different weights" in averaged("again", "other")
