"""Muon and Adam under one roof do what each does alone."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from seq2seq.attention import Differential, Entmax, Leaky, LogLength, Monotonic, Sigmoid, Sink
from seq2seq.build import build_model
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults
from seq2seq.training.optimizer import Muon, MuonAdam

OPTIONS: dict[str, Any] = {
    "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1, "betas": (0.9, 0.98), "eps": 1e-9, "fused": False
}  # fmt: skip


class Model(nn.Module):
    """One of each kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.inner = nn.Linear(4, 6)
        self.output = nn.Linear(6, 5, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(torch.tanh(self.inner(self.table(tokens))))


@pytest.fixture(params=[0.1, 3.0], ids="bfloat16={}".format, autouse=True)
def speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How many times as fast a CPU is in bfloat16 as in float32."""
    monkeypatch.setattr("seq2seq.training.optimizer.bfloat16_speed", lambda: request.param)
    return float(request.param)


def train(model: Model, *optimizers: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        tokens = torch.tensor([step % 5, 1, 2])
        nn.functional.cross_entropy(model(tokens), tokens.roll(1)).backward()
        for optimizer in optimizers:
            optimizer.step()


def parameters(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_each_parameter_moves_as_under_its_own_optimizer() -> None:
    model = Model()
    apart = copy.deepcopy(model)
    train(model, MuonAdam(model.named_parameters(), **OPTIONS), steps=4)
    muon = Muon([apart.inner.weight], lr=0.01, momentum=0.9, weight_decay=0.1)
    adam = Adam([apart.table.weight, apart.inner.bias, apart.output.weight], lr=0.01, betas=(0.9, 0.98), eps=1e-9)
    train(apart, muon, adam, steps=4)
    torch.testing.assert_close(parameters(model), parameters(apart), rtol=0, atol=0)


def test_muon_takes_the_steps_of_pytorchs_matrix_by_matrix(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if speed < 1:  # else in bfloat16, as PyTorch's always is
        monkeypatch.setattr(Tensor, "bfloat16", Tensor.float)
    shapes = [(6, 4), (4, 6), (5, 5), (4, 6), (6, 4), (4, 6)]
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    options: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}
    pair = Muon(ours, **options), torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert all((parameter != 1).all() for parameter in ours)


def test_of_a_transformer_muon_moves_all_matrices_but_tables_and_w_o() -> None:
    """What `VOCABULARY` and configs/optimizer/muon.yaml say."""
    sizes = ["model=transformer", "model.d_model=8", "encoder.num_heads=2", "decoder.num_heads=2", "output=none"]
    vocabulary: Any = range(9)
    model = build_model(compose_defaults("train", sizes), Tokenizers(vocabulary, vocabulary))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    muon, _ = (
        {names[id(parameter)] for parameter in group["params"]}
        for group in MuonAdam(model.named_parameters(), **OPTIONS).param_groups
    )
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
    left = {name for name in matrices - muon if "attention.output.weight" not in name}
    assert muon <= matrices and left == {"encoder.embedding.table.weight"}
    kinds = {re.sub(r".*layers\.\d+\.", "", name) for name in muon}
    assert kinds == {
        f"{attention}_attention.{matrix}.weight"
        for attention in ("self", "cross")
        for matrix in ("query", "key", "value")
    } | {"feedforward.0.weight", "feedforward.3.weight"}


@pytest.mark.parametrize("given", ["one", "none"])
def test_muon_passes_over_what_has_no_gradient(given: str) -> None:
    parameters = [nn.Parameter(torch.ones(4, 6)) for _ in range(2)]
    if given == "one":
        parameters[1].grad = torch.randn(4, 6)
    Muon(parameters, lr=0.01, momentum=0.9, weight_decay=0.1).step()
    assert [(parameter != 1).any().item() for parameter in parameters] == [False, given == "one"]


def test_products_are_in_bfloat16_where_the_processor_has_it(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, multiply = [], torch.baddbmm

    def watched(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(x.dtype)
        return multiply(x, *args, **kwargs)

    monkeypatch.setattr(torch, "baddbmm", watched)
    model = Model()
    train(model, MuonAdam(model.named_parameters(), **OPTIONS), steps=1)
    assert set(seen) == {torch.bfloat16 if speed > 1 else torch.float32}


def test_saved_state_goes_on_bit_by_bit() -> None:
    model = Model()
    optimizer = MuonAdam(model.named_parameters(), **OPTIONS)
    train(model, optimizer, steps=3)
    resumed = copy.deepcopy(model)
    other = MuonAdam(resumed.named_parameters(), **OPTIONS)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, steps=3)
    train(resumed, other, steps=3)
    torch.testing.assert_close(parameters(resumed), parameters(model), rtol=0, atol=0)
    assert all(optimizer.state[parameter] for parameter in model.parameters())


def test_a_schedule_moves_both_rates() -> None:
    model = Model()
    optimizer = MuonAdam(model.named_parameters(), **OPTIONS)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    before = parameters(model)
    train(model, optimizer, steps=1)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.005])
    assert all((old != new).any() for old, new in zip(before, parameters(model), strict=True))


def test_a_rate_of_zero_moves_nothing() -> None:
    model = Model()
    before = parameters(model)
    train(model, MuonAdam(model.named_parameters(), **{**OPTIONS, "lr": 0.0}), steps=2)
    torch.testing.assert_close(parameters(model), before, rtol=0, atol=0)


def test_closure_is_called_with_gradients_on() -> None:
    model = Model()
    optimizer = MuonAdam(model.named_parameters(), **OPTIONS)

    def closure() -> Tensor:
        loss = model(torch.tensor([1])).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure).requires_grad


@pytest.mark.parametrize("missing", ["matrices", "others"])
def test_a_model_may_lack_either_kind(missing: str) -> None:
    parameter = nn.Parameter(torch.ones(3) if missing == "matrices" else torch.ones(3, 3))
    optimizer = MuonAdam([("weight", parameter)], **OPTIONS)
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert (parameter != 1).any()


def test_matrix_of_one_row_or_column_is_a_vector_and_goes_to_adam() -> None:
    named = {"inner.weight": torch.zeros(4, 6), "score.energy": torch.zeros(4, 1), "row": torch.zeros(1, 4)}
    optimizer = MuonAdam([(name, nn.Parameter(value)) for name, value in named.items()], **OPTIONS)
    assert [[p.shape for p in group["params"]] for group in optimizer.param_groups] == [[(4, 6)], [(4, 1), (1, 4)]]


@pytest.mark.parametrize("heads", [None, 3])
def test_what_normalizers_learn_goes_to_adam(heads: int | None) -> None:
    kinds = [Entmax, LogLength, Monotonic, Sigmoid, Sink] + ([Differential, Leaky] if heads else [])
    named = [p for kind in kinds for p in kind(num_heads=heads, d_value=4).named_parameters()]
    optimizer = MuonAdam(named, **OPTIONS)
    assert len(named) >= len(kinds) and [type(part) for part in optimizer._parts] == [Adam]
