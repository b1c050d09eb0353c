"""A loss that is not finite stops the training before it spoils the weights, and can be replayed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.checkpoint import load_content
from seq2seq.errors import UserError
from seq2seq.models import RecurrentEncoder
from seq2seq.training.finite import FiniteLoss, first_not_finite
from seq2seq.training.module import TranslationModule
from tests.cli.conftest import TINY, _command, write_text


class Breaks(nn.Module):
    """Its middle part returns NaN, inside a tuple, when told to."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)
        self.middle = Middle(broken)

    def forward(self) -> torch.Tensor:
        return self.last(self.middle(self.first(torch.ones(1, 2)))[0])


class Middle(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken = broken

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return x, {"inside": x / 0 if self.broken else x}


def test_first_module_is_named() -> None:
    whole, broken, weights = Breaks(False), Breaks(True), Breaks(True)
    weights.last.bias.data[0] = torch.inf
    assert "every module's output is finite" in first_not_finite(whole, whole.forward)
    assert first_not_finite(broken, broken.forward) == "first in the output of middle"
    assert "weights last.bias are not finite" in first_not_finite(weights, weights.forward)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("text")
    return [*TINY, *write_text(folder), f"loader.cache_dir={folder}", "callbacks.pinned=null"]


@pytest.fixture
def breaks_at_step_3(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    forward, training_step = RecurrentEncoder.forward, TranslationModule.training_step

    def counted(self: TranslationModule, batch: Any, number: int) -> Any:
        steps.append(number)
        return training_step(self, batch, number)

    def broken(self: RecurrentEncoder, *given: Any) -> Any:
        output = forward(self, *given)
        return output._replace(states=output.states / 0) if len(steps) >= 4 else output

    monkeypatch.setattr(TranslationModule, "training_step", counted)
    monkeypatch.setattr(RecurrentEncoder, "forward", broken)


def test_training_stops_names_the_module_and_leaves_the_batch(
    text: list[str], tmp_path: Path, breaks_at_step_3: None, script: Callable[..., tuple[int, str, str]]
) -> None:
    said = _command("train", *text, "hydra.run.dir=run", "callbacks.last.every_n_steps=1", folder=tmp_path)
    assert said.status == 1 and said.err.count("\n") == 1
    assert "step 3: the loss is nan, first in the output of model.encoder;" in said.err
    (file,) = (tmp_path / "run").glob("nonfinite-step-3-*.ckpt")
    assert str(file) in said.err and "go on with resume=" in said.err
    content = load_content(file)
    last = load_content(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 3  # the weights are those from before the step
    assert all(torch.equal(tensor, last["state_dict"][name]) for name, tensor in content["state_dict"].items())
    status, out, err = script("replay_batch.py", file)
    assert status == 0, err
    assert out.startswith(f"step 3, {len(content['batch']['source'])} sentence pairs")
    assert "encoder.table" in out
    status, _, err = script("replay_batch.py", tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert status == 2 and "last.ckpt holds no batch" in err


def test_loss_is_looked_at_as_often_as_was_asked_for(text: list[str], tmp_path: Path, breaks_at_step_3: None) -> None:
    said = _command("train", *text, "hydra.run.dir=run", "callbacks.finite.every_n_steps=4", folder=tmp_path)
    assert said.status == 1 and "step 4: the loss is nan, as the weights" in said.err


@pytest.mark.parametrize("every", [0, -1])
def test_interval_that_cannot_be_is_refused(every: int) -> None:
    with pytest.raises(UserError, match="callbacks.finite.every_n_steps"):
        FiniteLoss(folder="", every_n_steps=every)
