"""Training through the command line: seeds, settings, and what each of them changes."""

import math
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from seq2seq import composition

Train = Callable[..., Any]


def weights(run: Any, name: str = "last") -> dict[str, Tensor]:
    return torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(run: Any) -> dict[str, float]:
    """Return the metrics but those of time and memory."""
    timed = ("second", "memory", "waiting")
    return {name: value for name, value in run.metrics.items() if not any(part in name for part in timed)}


def curve(run: Any, tag: str) -> list[float]:
    board = EventAccumulator(str(run.folder), size_guidance={"scalars": 0}).Reload()
    return [event.value for event in board.Scalars(tag)]


def test_seed_alone_decides_weights_and_scores(train_briefly: Train) -> None:
    a, again, other = (train_briefly(f"seed={seed}", folder=folder) for folder, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert same(weights(a), weights(again)) and scores(a) == scores(again)
    assert not same(weights(a), weights(other))


# What has nothing to do with each other shares a run.
VARIANTS = [
    ["model=bottleneck", "optimizer=adamw"],
    ["model=luong", "scheduler=plateau"],
    ["model=luong", "decoder.input_feeding=false", "score=location"],
    ["model=luong", "encoder=transformer", "tokenizer.sampling=0.1"],
    ["model=transformer", "encoder=recurrent", "normalizer=entmax15"],
    ["normalizer=sparsemax", "optimizer=muon"],
    ["score=cosine", "trainer.gradient_clip_val=null", "scheduler=cosine"],
    ["encoder.rnn._target_=seq2seq.models.LSTM", "decoder.rnn._target_=seq2seq.models.LSTM", "callbacks=ema"],
    ["scheduler=noam", "optimizer.lr=1"],
    ["optimizer=sgd", "scheduler=halving"],
    ["training.r_drop=5", "search=beam", "search.beam_size=2"],
    ["trainer.precision=bf16-mixed"],
    ["trainer.precision=bf16-true", "training.guided_alignment.weight=0.05", "search=beam", "callbacks=ema"],
    ["trainer.precision=64-true", "training.guided_alignment.weight=0.05", "model=luong", "optimizer=muon"],
    ["tokenizer=unigram", "tokenizer.vocab_size=120"],
    ["tokenizer.joint=false", "model.tie_embeddings=false", "tokenizer.vocab_size=100"],
    ["tokenizer=byte", "tokenizer.vocab_size=260", "tokenizer.joint=false"],
    ["~logger", "callbacks.learning_rate=null", "data.train.links=null", "data.val.links=null"],
]


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_variant_trains(train_briefly: Train, overrides: list[str]) -> None:
    run = train_briefly(*overrides)
    trained = weights(run)
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    assert run.metrics["steps"] == 2 and math.isfinite(run.metrics["val/loss"])
    assert (run.folder / "checkpoints" / "best.ckpt").exists()


def test_every_weight_of_the_network_is_trained(train_briefly: Train) -> None:
    before, after = (train_briefly(f"optimizer.lr={rate}", folder=f"lr {rate}") for rate in (0, 0.003))
    still = [name for name, tensor in weights(before).items() if torch.equal(tensor, weights(after)[name])]
    assert still == []


@pytest.mark.filterwarnings("ignore")  # what the compiler warns of itself
def test_compiled_model_learns_the_same(train_briefly: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)  # no kernel is compiled
    calls: Counter[str] = Counter()
    read = torch._dynamo.lookup_backend("aot_eager")  # all of the compiler but the kernels, which take minutes

    def noting(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        calls.update(str(getattr(node.target, "__name__", node.target)) for node in graph.graph.nodes)
        return read(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=noting))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    options = ["model=transformer", "model.num_layers=3", "model.dropout=0"]
    plain = train_briefly(*options, folder="plain")
    counters = torch._dynamo.utils.counters
    assert not counters["stats"]["unique_graphs"]
    compiled = train_briefly(*options, "training.compile=true", folder="compiled")
    assert torch._dynamo.eval_frame._stance.stance == "default"  # what a process does after the run is compiled again
    # One for the layers of each side, another where a batch's lengths are equal, and the loss: none for a single layer,
    # for the validation or for a step of search; and none is broken.
    assert 3 <= counters["stats"]["unique_graphs"] <= 6
    assert not counters["graph_break"]
    # Attention is still one kernel, whose weights never exist, and nothing parts the passes over the logits.
    assert calls["scaled_dot_product_attention"] >= 3 and calls["log_softmax"]
    assert not any("scatter" in name or name in {"softmax", "exp"} for name in calls), calls
    expected = weights(plain)
    for name, tensor in weights(compiled).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # what the compiler warns of itself
def test_runs_of_a_process_do_not_share_the_forms_that_are_compiled(
    train_briefly: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one function there may be eight; a ninth variant would not be compiled, without an error."""
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for kind in ("t5", "shaw"):
            options = ["model=transformer", "model.num_layers=1", f"positions={kind}", "training.compile=true"]
            train_briefly(*options, folder=kind)


def test_command_line_is_afterwards_what_it_was(train_briefly: Train) -> None:
    """The next of several variants begins with it, and so do the processes that Lightning starts for that."""
    before = list(sys.argv)
    train_briefly()
    assert sys.argv == before


def test_choices_of_a_run_are_composed_once_and_its_values_are_not(
    train_briefly: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[list[str]] = []
    load = ConfigLoaderImpl.load_configuration

    def noting(self: Any, *given: Any, **options: Any) -> Any:
        loaded.append(options["overrides"])
        return load(self, *given, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", noting)
    composition._composed.cache_clear()
    train_briefly("score=dot", "optimizer.lr=0.01")
    assert [overrides for overrides in loaded if "optimizer.lr=0.01" in overrides] == []
    assert sum("score=dot" in overrides for overrides in loaded) == 1 and len(loaded) <= 2  # these, and the default


def test_accumulated_batches_make_one_step(train_briefly: Train) -> None:
    assert train_briefly("trainer.accumulate_grad_batches=2").metrics["steps"] == 1


def test_average_of_the_weights_is_what_is_kept(train_briefly: Train) -> None:
    plain = train_briefly("optimizer.lr=0.1", folder="plain")
    still = train_briefly("optimizer.lr=0", folder="still")
    averaged = train_briefly("optimizer.lr=0.1", "callbacks=ema", folder="averaged")
    start = weights(still)
    moved, near = (
        sum((tensor - start[name]).abs().sum().item() for name, tensor in weights(run).items())
        for run in (plain, averaged)
    )
    assert 0 < near < 0.95 * moved
    assert averaged.metrics["val/loss"] != plain.metrics["val/loss"]


def test_best_of_several_checkpoints_is_what_is_tested_and_kept_as_the_best(train: Train) -> None:
    worst = ["callbacks.best.monitor=val/loss", "callbacks.best.mode=max"]  # the first: other than the last
    run = train("trainer.max_epochs=3", "callbacks.best.save_top_k=2", "callbacks.best.filename=best-{step}", *worst)
    kept = [path.stem for path in (run.folder / "checkpoints").glob("best-*.ckpt")]
    first, second = sorted(kept, key=lambda name: int(name.rpartition("=")[2]))
    assert same(weights(run, "best"), weights(run, first)) and not same(weights(run, "best"), weights(run, second))
    assert run.metrics["val/loss"] == pytest.approx(max(curve(run, "val/loss")), rel=1e-5)


def test_rate_rises_over_the_warmup_then_falls(train: Train) -> None:
    brief = ["callbacks.pinned=null", "training.test_splits=[]", "trainer.log_every_n_steps=1", "optimizer.lr=0.01"]
    rates = curve(train(*brief, "scheduler=inverse_square_root", "scheduler.scheduler.warmup_steps=4"), "lr-Adam")
    falling = [0.01 * math.sqrt(4 / step) for step in range(4, len(rates) + 1)]
    assert len(falling) > 2 and rates == pytest.approx([0.0025, 0.005, 0.0075, *falling], rel=1e-5)


def test_cosine_reaches_zero_a_step_after_the_last(train: Train) -> None:
    brief = ["callbacks.pinned=null", "training.test_splits=[]", "trainer.log_every_n_steps=1", "scheduler=cosine"]
    rates = curve(train(*brief, "scheduler.scheduler.warmup_steps=2", "optimizer.lr=0.01"), "lr-Adam")
    assert max(rates) == pytest.approx(rates[1]) == pytest.approx(0.01)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert 0 < rates[-1] < 0.05 * 0.01  # it reaches 0 a step after the last: no update is made in vain


def test_overfitting_one_batch_brings_its_loss_to_about_zero(train: Train) -> None:
    run = train(
        "debug=overfit",
        "loader.tokens_per_batch=100",
        "model.d_model=32",
        "model.d_embedding=32",
        "optimizer.lr=0.02",
        "scheduler=constant",
        "trainer.max_epochs=100",
        "trainer.check_val_every_n_epoch=100",
        "callbacks.pinned=null",
        "callbacks.last=null",
    )
    assert curve(run, "train/loss")[-1] < 0.05
    told = re.search(r"training loss +([\d.]+)", (run.folder / "train.log").read_text(encoding="utf-8"))
    assert told and float(told[1]) < 0.05


def test_limited_run_takes_three_batches_an_epoch(train: Train) -> None:
    assert train("debug=limit", "trainer.max_epochs=2", "callbacks.pinned=null").metrics["steps"] == 6


def test_profiled_run_leaves_a_table_of_where_the_time_went(train_briefly: Train) -> None:
    run = train_briefly("debug=profiler")
    assert run.metrics["steps"] == 2
    assert "run_training_batch" in (run.folder / "fit-profile.txt").read_text(encoding="utf-8")


def test_run_that_stops_before_its_first_validation_is_whole(train: Train) -> None:
    run = train("trainer.max_steps=2", "callbacks.pinned=null")
    assert run.metrics["steps"] == 2 and "test/bleu" in run.metrics
    assert (run.folder / "checkpoints" / "last.ckpt").exists()


def test_report_names_the_files_and_says_what_to_do_next(
    command: Callable[..., Any], text: list[str], tmp_path: Path
) -> None:
    brief = ["trainer.max_epochs=1", "callbacks.pinned=null", "hydra.run.dir=my run"]
    said = command("train", *text, *brief)
    assert said.status == 0 and said.err == ""
    best = Path("my run") / "checkpoints" / "best.ckpt"
    assert (tmp_path / best).exists()
    for name in ("visualize", "translate", "compare", "tensorboard"):
        line = next(line for line in said.out.splitlines() if f"seq2seq {name} " in line)
        arguments = shlex.split(line)  # as a shell reads what a person pastes
        assert (f"checkpoint={best}" if name in ("visualize", "translate") else "runs=.") in arguments
    assert sum(line.startswith(("val ", "test ")) for line in said.out.splitlines()) == 2
    assert said.out.count("  hypothesis  ") == 5


def test_streamed_training_pairs_train(train: Any, command: Any, text: list[str]) -> None:
    options = ["data.streaming=true", "trainer.max_epochs=1", "callbacks.pinned=null", "training.test_splits=[]"]
    said = command("train", *text, *options, "hydra.run.dir=refused")
    assert said.status == 1
    assert "this schedule falls until the last step, which is not known: set trainer.max_steps" in said.err
    refused = ["scheduler=constant", "loader.max_length=1", "loader.num_workers=1", "hydra.run.dir=refused too"]
    said = command("train", *text, *options, *refused)
    assert said.err == (
        "error: the filters leave no train pair, after 40 by length were dropped: raise loader.max_length\n"
    )
    run = train(*options, "scheduler=inverse_square_root")
    assert run.metrics["epochs"] == 1
    steps = run.metrics["steps"]
    assert 1 < steps < 40
    seldom = ["scheduler=inverse_square_root", "trainer.val_check_interval=1000", "trainer.max_epochs=2"]
    said = command("train", *text, *options, *seldom, "hydra.run.dir=seldom")
    assert said.status == 0
    warning = (
        f"trainer.val_check_interval=1000: the epoch had {steps} batches, so nothing is validated; stop, and go on"
    )
    assert said.out.count(warning) == 1 and said.out.index(warning) < said.out.index("no validation chose")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("val_check_interval=0.5", "how many batches a stream has is not known; give a number of them"),
        ("limit_train_batches=0.5", "how many batches a stream has is not known; give a number of them"),
        ("val_check_interval=3", "an epoch has 2 batches; give at most that"),
    ],
)
def test_limits_of_a_stream_that_cannot_be_are_refused_at_its_start(
    command: Any, text: list[str], given: str, says: str
) -> None:
    options = ["data.streaming=true", "scheduler=constant", "trainer.limit_train_batches=2", "hydra.run.dir=run"]
    said = command("train", *text, *options, f"trainer.{given}")
    assert said.status == 1 and said.err.startswith(f"error: trainer.{given}: {says}") and said.err.count("\n") == 1


def test_events_of_something_else_in_the_folder_are_left_alone(train_briefly: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1.other").write_bytes(b"of another program")
    run = train_briefly()
    assert (run.folder / "events.out.tfevents.1.other").read_bytes() == b"of another program"
