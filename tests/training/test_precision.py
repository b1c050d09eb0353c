"""The precision of a run: by what the device does well, and never one that cannot train."""

import random
from collections.abc import Callable, Iterator

import pytest
import torch

from seq2seq.errors import UserError
from seq2seq.options import compose_defaults
from seq2seq.training import precision
from seq2seq.training.precision import Precision, bfloat16_speed, choose_inference, choose_precision, relative_speed

AMX, AVX512_BF16, AVX2 = 5.0, 1.8, 0.1
"""How many times as fast as in float32 a product in bfloat16 is on these."""


def choose(
    asked: str, *, speed: float = AMX, device: str = "cpu", lstm: bool = False, stored: str | None = None
) -> Precision:
    return choose_precision(asked, device, lstm=lstm, stored=stored, speed=lambda: speed)


@pytest.fixture
def no_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which oneDNN has no LSTM in half precision."""
    monkeypatch.setattr(precision, "lstm_runs_in", lambda _: False)


@pytest.mark.parametrize(
    ("speed", "expected"), [(AMX, "bf16-mixed"), (AVX512_BF16, "bf16-mixed"), (1.1, "32-true"), (AVX2, "32-true")]
)
def test_processor_that_is_clearly_faster_in_bfloat16_trains_in_it(speed: float, expected: str) -> None:
    chosen = choose("auto", speed=speed)
    assert chosen.value == expected and f"{speed:.2g} times as fast" in chosen.reason and not chosen.warning


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_gpu_trains_in_bfloat16_where_it_has_it(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: native or including_emulation)
    assert choose("auto", device="cuda").value == expected
    assert bool(choose("bf16-mixed", device="cuda").warning) == (not native)
    assert choose("16-mixed", device="cuda") == Precision("16-mixed")


def test_other_devices_train_in_float32() -> None:
    assert choose("auto", device="mps").value == "32-true"


@pytest.mark.parametrize(("found", "expected"), [(None, "cpu"), (torch.device("mps"), "mps")])
def test_device_is_found_as_lightning_finds_it(
    monkeypatch: pytest.MonkeyPatch, found: torch.device | None, expected: str
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
    assert choose("auto", device="auto") == choose("auto", device=expected)


@pytest.mark.parametrize("asked", ["32-true", "64-true", "bf16-mixed", "bf16-true"])
def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setattr(precision, "lstm_runs_in", lambda _: True)
    assert choose(asked, lstm=True) == Precision(asked)


@pytest.mark.parametrize("asked", ["bf16-mixed", "bf16-true"])
def test_slow_choice_is_taken_and_warned_of(asked: str) -> None:
    chosen = choose(asked, speed=AVX2)
    assert chosen.value == asked and "\n" not in chosen.warning
    assert chosen.warning.startswith(f"trainer.precision={asked}: slow") and "10 times as long" in chosen.warning


@pytest.mark.usefixtures("no_lstm")
@pytest.mark.parametrize(
    ("asked", "device", "lstm"),
    [("bf16-mixed", "cpu", True), ("16-mixed", "cpu", False), ("16-true", "cuda", False), ("64-true", "mps", False)],
)
def test_precision_that_cannot_train_is_refused_with_the_remedy(asked: str, device: str, lstm: bool) -> None:
    with pytest.raises(UserError) as error:
        choose(asked, device=device, lstm=lstm)
    assert str(error.value).startswith(f"trainer.precision={asked}: ")
    assert "trainer.precision=auto" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.usefixtures("no_lstm")
def test_models_without_lstm_and_true_half_precision_need_no_lstm_of_onednn() -> None:
    assert choose("bf16-mixed").value == "bf16-mixed"
    assert choose("bf16-true", lstm=True).value == "bf16-true"
    assert choose("auto", speed=AVX2, lstm=True).value == "32-true"


@pytest.mark.parametrize("stored", ["32-true", "bf16-mixed", "64-true"])
def test_run_goes_on_in_its_precision_where_that_is_well(stored: str) -> None:
    assert choose("auto", stored=stored) == Precision(stored, "as the run was begun")
    assert choose("32-true", stored=stored) == Precision("32-true")


@pytest.mark.usefixtures("no_lstm")
@pytest.mark.parametrize(
    ("asked", "stored", "lstm"),
    [
        ("auto", "bf16-mixed", False),  # slow
        ("auto", "bf16-mixed", True),  # impossible
        ("auto", "16-mixed", False),  # of a GPU
        ("16-mixed", "16-mixed", False),
        ("bf16-mixed", "32-true", True),  # for the second time
    ],
)
def test_run_of_another_machine_goes_on_in_float32_and_says_so(asked: str, stored: str, lstm: bool) -> None:
    chosen = choose(asked, speed=AVX2, stored=stored, lstm=lstm)
    assert chosen.value == "32-true" and chosen.warning.endswith("the run goes on in 32-true")


@pytest.mark.parametrize(("dtype", "wild"), [(torch.float16, True), (torch.float32, False)])
def test_what_is_said_of_float16_is_so(dtype: torch.dtype, wild: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(1, dtype=dtype))
    options = compose_defaults("train", []).optimizer
    adam = torch.optim.Adam([weight], lr=options.lr, betas=tuple(options.betas), eps=options.eps, fused=options.fused)
    for gradient in (1e-3, 0.0):
        weight.grad = torch.full((1,), gradient, dtype=dtype)
        adam.step()
    assert (abs(weight.item() - 1) > 100) == wild  # two steps at a rate of 0.004


class Machine:
    """A clock that calls move on: each takes its seconds, and now and then is interrupted."""

    def __init__(self, *, interrupted: float) -> None:
        self.now, self.calls, self.random, self.interrupted = 0.0, 0, random.Random(7), interrupted

    def work(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.calls += 1
            self.now += seconds + (0.02 if self.random.random() < self.interrupted else 0)

        return call

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("interrupted", [0.0, 0.3])
@pytest.mark.parametrize(("one", "other"), [(4e-4, 2e-4), (4e-4, 4e-4), (4e-4, 8e-4)])
def test_speed_is_that_of_calls_that_were_not_interrupted(one: float, other: float, interrupted: float) -> None:
    machine = Machine(interrupted=interrupted)
    found = relative_speed(machine.work(one), machine.work(other), clock=machine.clock)
    assert found == pytest.approx(one / other)


def test_what_is_clearly_slower_is_called_a_few_times_only() -> None:
    machine = Machine(interrupted=0)
    found = relative_speed(machine.work(4e-4), machine.work(4e-2), clock=machine.clock)
    assert found == pytest.approx(0.01) and machine.calls == 12


@pytest.fixture
def measured_anew() -> Iterator[None]:
    bfloat16_speed.cache_clear()
    yield
    bfloat16_speed.cache_clear()


@pytest.mark.usefixtures("measured_anew")
def test_this_processor_is_measured_once() -> None:
    assert 0 < bfloat16_speed() == bfloat16_speed()
    assert bfloat16_speed.cache_info().misses == 1


@pytest.mark.usefixtures("measured_anew")
def test_one_thread_measures_and_all_compute_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads each waits for the other, which hides what the processor does well."""
    before, seen = torch.get_num_threads(), []

    def measure(*_: object) -> float:
        seen.append(torch.get_num_threads())
        return 1.8

    monkeypatch.setattr(precision, "relative_speed", measure)
    torch.set_num_threads(2)
    try:
        assert bfloat16_speed() == 1.8
        seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("asked", "speed", "value", "said"),
    [
        ("float32", 9.0, "float32", ""),
        ("auto", 2.0, "bfloat16", "precision=bfloat16: a product in bfloat16 is 2 times as fast as in float32 here"),
        ("auto", 0.5, "float32", "precision=float32: a product in bfloat16 is 0.5 times as fast as in float32 here"),
        ("bfloat16", 2.0, "bfloat16", ""),
        (
            "bfloat16",
            0.1,
            "bfloat16",
            "precision=bfloat16: slow, since a product in bfloat16 takes 10 times as long as in float32 here; "
            "precision=auto takes float32",
        ),
    ],
)
def test_weights_that_are_only_used_are_in_what_the_device_is_fast_in(
    asked: str, speed: float, value: str, said: str
) -> None:
    found = choose_inference(asked, "cpu", speed=lambda: speed)
    assert found.value == value and (found.warning or found.reason) == said


def test_unknown_precision_of_use_is_refused() -> None:
    with pytest.raises(UserError, match="precision=int8 is not known; use float32, bfloat16 or auto"):
        choose_inference("int8", "cpu")
