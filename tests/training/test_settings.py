"""Settings that are right alone, but not on this machine, or not with the data and the model."""

from typing import Any

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from torch import nn

from seq2seq.attention import Attention, Dot
from seq2seq.errors import UserError
from seq2seq.training.settings import check_devices, check_monitors


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`machine(cuda=2)`: one with as many GPUs, and nothing else."""

    def make(*, cuda: int) -> None:
        for kind, count in ((CUDAAccelerator, cuda), (MPSAccelerator, 0), (XLAAccelerator, 0)):
            monkeypatch.setattr(kind, "is_available", staticmethod(lambda count=count: count > 0))
            monkeypatch.setattr(kind, "auto_device_count", staticmethod(lambda count=count: count))

    return make


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps", "tpu"])
def test_device_that_is_not_here_is_named_with_what_is(machine: Any, accelerator: str) -> None:
    machine(cuda=0)
    with pytest.raises(UserError, match=rf"^trainer\.accelerator={accelerator}: there is none here; use trainer=cpu"):
        check_devices(accelerator, 1)


@pytest.mark.parametrize("devices", [3, "3", [0, 2], "1,2"])
@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "auto"])
def test_more_devices_than_there_are_is_named(machine: Any, accelerator: str, devices: Any) -> None:
    machine(cuda=2)
    with pytest.raises(UserError, match=r"^trainer\.devices=.*: cuda devices here: 2, numbered from 0"):
        check_devices(accelerator, devices)


@pytest.mark.parametrize("devices", [-1, [0]])
def test_cpu_is_asked_for_a_number_of_processes(machine: Any, devices: Any) -> None:
    machine(cuda=0)
    with pytest.raises(UserError, match=r"^trainer\.devices=.*: on a CPU, give the number of processes"):
        check_devices("auto", devices)


@pytest.mark.parametrize(
    ("cuda", "accelerator", "devices"),
    [(0, "auto", 4), (0, "cpu", "auto"), (2, "auto", 1), (2, "gpu", -1), (2, "cuda", [0, 1]), (2, "cpu", 3)],
)
def test_what_can_be_had_is_accepted(machine: Any, cuda: int, accelerator: str, devices: Any) -> None:
    machine(cuda=cuda)
    check_devices(accelerator, devices)


class Attending(nn.Module):
    """A model with cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Attention(Dot(2, 2))


def test_score_that_the_run_will_not_have_is_refused() -> None:
    aer = {"callbacks.best": {"monitor": "val/aer", "mode": "min"}}
    assert check_monitors(aer, Attending(), ["", "0-0"]) == []
    with pytest.raises(UserError, match=r"^callbacks\.best\.monitor=val/aer: the validation data have no word links"):
        check_monitors(aer, Attending(), ["", ""])
    with pytest.raises(UserError, match=r"^scheduler\.monitor=val/entropy: a model without attention"):
        check_monitors({"scheduler": {"monitor": "val/entropy"}}, nn.Linear(1, 1), ["0-0"])


@pytest.mark.parametrize(("metric", "mode", "better"), [("loss", "max", "min"), ("bleu", "min", "max")])
def test_score_that_is_watched_for_the_worse_is_said(metric: str, mode: str, better: str) -> None:
    (doubt,) = check_monitors({"callbacks.best": {"monitor": f"val/{metric}", "mode": mode}}, Attending(), [])
    assert doubt.startswith(f"callbacks.best.mode={mode}") and doubt.endswith(f"give callbacks.best.mode={better}")
