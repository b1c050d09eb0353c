"""A table of positions that all layers of a stack share: one parameter under several names."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning
import pytest
import torch
from lightning.pytorch.plugins.precision import Precision
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import AlibiPositions, Positions, ShawPositions, T5Positions
from seq2seq.models import EncoderDecoder
from seq2seq.training.averaging import ExponentialMovingAverage
from seq2seq.training.flops import step_flops
from seq2seq.training.optimizer import MuonAdam

Build = Callable[..., EncoderDecoder]
TABLES = {f"{side}.embedding.positions.weight" for side in ("encoder", "decoder")}


@pytest.fixture(params=[T5Positions, ShawPositions], ids=["t5", "shaw"])
def make(request: pytest.FixtureRequest, build: Build) -> Callable[[], EncoderDecoder]:
    """Return what makes a model, two layers a side, whose sides have a table each."""
    parts = {"positions": request.param}
    return partial(build, "transformer-pre2", "transformer-pre2", encoder_options=parts, **parts)


def tables(model: EncoderDecoder) -> dict[str, Tensor]:
    """Return the tables by all their names."""
    return {name: x for name, x in model.state_dict(keep_vars=True).items() if name.endswith("positions.weight")}


def check_shared(model: EncoderDecoder) -> None:
    """Check that the layers of each side still have its one table."""
    found = tables(model)
    assert len(found) == 6 and set(found) > TABLES
    for name, table in found.items():
        assert table is found[f"{name.partition('.')[0]}.embedding.positions.weight"]


def train(model: EncoderDecoder, batch: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(**batch).square().sum().backward()
    optimizer.step()


def test_table_is_one_parameter_with_the_gradient_of_all_layers(
    make: Callable[[], EncoderDecoder], batch: dict[str, Tensor]
) -> None:
    model: Any = make().double().eval()
    check_shared(model)
    names = [name for name, _ in model.named_parameters() if name.endswith("positions.weight")]
    assert set(names) == TABLES and len(names) == 2
    apart = copy.deepcopy(model)
    check_shared(apart)
    for part in (apart.encoder, apart.decoder):
        for layer in part.layers:
            layer.self_attention.positions = copy.deepcopy(layer.self_attention.positions)
    for each in (model, apart):
        each(**batch).square().sum().backward()
    for side in ("encoder", "decoder"):
        layers = [layer.self_attention.positions.weight.grad for layer in getattr(apart, side).layers]
        assert_close(getattr(model, side).embedding.positions.weight.grad, layers[0] + layers[1])


def test_saved_and_loaded_tables_stay_shared(make: Callable[[], EncoderDecoder], tmp_path: Path) -> None:
    model, again, exported = make(), make(), make()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    save_model(model, str(tmp_path / "model.safetensors"))
    load_model(exported, tmp_path / "model.safetensors")
    for loaded in (again, exported):
        check_shared(loaded)
        for name, table in tables(loaded).items():
            assert_close(table, tables(model)[name], rtol=0, atol=0)


def test_tables_go_to_adam(make: Callable[[], EncoderDecoder], batch: dict[str, Tensor]) -> None:
    model = make().eval()
    options: Any = {"momentum": 0.9, "weight_decay": 0.5, "betas": (0.9, 0.98), "eps": 1e-9, "fused": False}
    optimizer = MuonAdam(model.named_parameters(), lr=0.01, **options)
    before = {name: table.detach().clone() for name, table in tables(model).items()}
    train(model, batch, optimizer)
    for name, table in tables(model).items():  # a first step of Adam's is the rate, in each direction
        moved = table - before[name]
        assert table.grad is not None
        assert_close(moved, -0.01 * table.grad.sign(), atol=1e-4, rtol=0)
    check_shared(model)


@pytest.mark.parametrize("kind", [T5Positions, ShawPositions, AlibiPositions])
def test_average_of_weights_follows_a_table_once_and_leaves_constants(
    kind: type[Positions], build: Build, batch: dict[str, Tensor]
) -> None:
    module, run = lightning.LightningModule(), cast(Any, SimpleNamespace(global_step=0, precision_plugin=Precision()))
    model = module.model = build(
        "transformer-pre2", "transformer-pre2", encoder_options={"positions": kind}, positions=kind
    )
    average = ExponentialMovingAverage(decay=0.5)
    average.setup(run, module, "fit")
    average.on_fit_start(run, module)
    assert average._average_model is not None
    averaged: Any = average._average_model.module.model
    constants = {name: x.clone() for name, x in averaged.named_buffers()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    expected: dict[str, Tensor] = {}
    for step in (1, 2, 3):
        train(model, batch, optimizer)
        run.global_step = step
        average.on_train_batch_end(run, module)
        decay = min(0.5, step / (9 + step)) if step > 1 else 0.0
        for name, table in tables(model).items():
            expected[name] = decay * expected.get(name, torch.zeros(())) + (1 - decay) * table.detach()
    for name, table in tables(averaged).items():
        assert_close(table.detach(), expected[name])
    if kind is not AlibiPositions:
        check_shared(averaged)
    assert bool(constants) == (kind is not ShawPositions)
    assert_close(dict(averaged.named_buffers()), constants, rtol=0, atol=0)


def test_constants_are_in_no_file(build: Build) -> None:
    plain = build("transformer-pre2", "transformer-pre2")
    for kind in (AlibiPositions, T5Positions):
        model = build("transformer-pre2", "transformer-pre2", encoder_options={"positions": kind}, positions=kind)
        assert set(model.state_dict()) - set(tables(model)) == set(plain.state_dict())


def test_arithmetic_is_counted(make: Callable[[], EncoderDecoder], build: Build) -> None:
    """The copy on the meta device, which counts it, shares its table too."""
    model: Any = make()
    plain = build("transformer-pre2", "transformer-pre2")
    more = sum(step_flops(model).pair) - sum(step_flops(plain).pair)
    assert more == 0 if hasattr(model.encoder.embedding.positions, "borders") else more > 0
