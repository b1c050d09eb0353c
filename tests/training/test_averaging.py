"""The moving average of the weights: its equation, and where it lives."""

from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.plugins.precision import HalfPrecision, Precision
from torch import nn
from torch.testing import assert_close

from seq2seq.training.averaging import ExponentialMovingAverage


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)


def begun(module: Module, decay: float = 0.9) -> ExponentialMovingAverage:
    average = ExponentialMovingAverage(decay=decay)
    average.setup(trainer(0), module, "fit")
    average.on_fit_start(trainer(0), module)
    return average


def trainer(step: int) -> Any:
    return SimpleNamespace(global_step=step, precision_plugin=Precision())


def averaged(average: ExponentialMovingAverage) -> torch.Tensor:
    assert average._average_model is not None
    module: Any = average._average_model.module
    return module.layer.weight.detach().clone()


def test_average_begins_with_the_first_weights_and_follows_its_equation() -> None:
    module = Module()
    average = begun(module)
    expected = torch.empty(0)
    for step in range(1, 30):
        with torch.no_grad():
            module.layer.weight.normal_()
        average.on_train_batch_end(trainer(step), module)
        average.on_train_batch_end(trainer(step), module)  # of a batch that made no step
        decay = min(0.9, step / (9 + step)) if step > 1 else 0.0
        expected = decay * expected + (1 - decay) * module.layer.weight.detach() if step > 1 else module.layer.weight
        assert_close(averaged(average), expected.detach())
        expected = expected.detach().clone()
    assert average._average_model is not None and average._average_model.n_averaged == 29


def test_average_comes_to_the_device_to_which_the_weights_were_moved_and_never_looks_at_a_value() -> None:
    """A look would wait for the device; on the meta device there is nothing to look at, so it raises."""
    module = Module()
    average = ExponentialMovingAverage(decay=0.9)
    average.setup(trainer(0), module, "fit")
    module.to("meta")
    average.on_fit_start(trainer(0), module)
    for step in (1, 2):
        average.on_train_batch_end(trainer(step), module)
    assert averaged(average).is_meta


@pytest.mark.parametrize("option", [{"step_idx": 3}, {"epoch_idx": 1}])
def test_lightning_does_not_average_a_second_time(option: dict[str, int]) -> None:
    assert not ExponentialMovingAverage(decay=0.9).should_update(**option)


def test_average_of_weights_in_bfloat16_moves_by_steps_that_they_could_not_make() -> None:
    """At a decay of 0.999 a step is a thousandth of the way, and bfloat16 tells apart what differs by a 128th."""
    module, plugin = Module(), HalfPrecision("bf16-true")
    average = ExponentialMovingAverage(decay=0.999)
    step = SimpleNamespace(global_step=10_000, precision_plugin=plugin)
    average.setup(step, module, "fit")  # type: ignore[arg-type]
    plugin.convert_module(module)
    with torch.no_grad():
        module.layer.weight.fill_(1.0)
    average.on_train_batch_end(step, module)  # type: ignore[arg-type]
    with torch.no_grad():
        module.layer.weight.fill_(2.0)
    for step.global_step in range(10_001, 10_501):
        average.on_train_batch_end(step, module)  # type: ignore[arg-type]
        if step.global_step == 10_250:  # a validation is made with it, and does not round it
            average.on_validation_epoch_start(step, module)  # type: ignore[arg-type]
            assert module.layer.weight.dtype == torch.bfloat16
            assert_close(module.layer.weight.float(), torch.full((2, 3), 2 - 0.999**250), rtol=2**-8, atol=0)
            average.on_validation_epoch_end(step, module)  # type: ignore[arg-type]
            assert (module.layer.weight == 2).all()
    assert_close(averaged(average), torch.full((2, 3), 2 - 0.999**500), rtol=1e-5, atol=0)
