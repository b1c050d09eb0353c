"""`begin_with`, `freeze`, `tokenizer.grow` and `tokenizer.checkpoint`: trainings that start from other weights."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.build import tokenizers_of
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.growth import parts_of_new
from tests.cli.conftest import ONE_STEP

Command = Callable[..., Any]
FIXED_RATE = ["optimizer.lr=0.0", "scheduler=constant"]  # by which weights stay as they begin
NEW_WORD = "lynxes"


@pytest.fixture(scope="session")
def new_text(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides for the same text with a word in every line that the vocabulary has to cut small, and a new sign."""
    folder = tmp_path_factory.mktemp("new")
    overrides = []
    for split in ("train", "val"):
        for side in ("source", "target"):
            lines = (text_folder / f"{split}.{side}").read_text(encoding="utf-8").splitlines()
            file = folder / f"{split}.{side}"
            file.write_text("".join(f"{line[:-1]}{NEW_WORD} ?\n" for line in lines), encoding="utf-8")
            overrides.append(f"data.{split}.{side}={file}")
        overrides.append(f"data.{split}.links=null")
    return overrides


def weights(path: str | Path) -> dict[str, Tensor]:
    return read_checkpoint(path).weights


def best(folder: Path) -> Path:
    return folder / "checkpoints" / "best.ckpt"


def log_of(folder: Path) -> str:
    return (folder / "train.log").read_text(encoding="utf-8")


def test_same_model_begins_with_all_weights_and_the_vocabulary(train_briefly: Any, bahdanau: Any) -> None:
    begun = train_briefly(f"begin_with={bahdanau.best}", *FIXED_RATE, "tokenizer.sampling=0.1")
    before, after = weights(bahdanau.best), weights(begun.best)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert "all its weights are taken" in log_of(begun.folder)
    assert read_checkpoint(begun.best).tokenizers == read_checkpoint(bahdanau.best).tokenizers


def test_what_does_not_fit_is_new_and_named_part_by_part(train_briefly: Any, bahdanau: Any) -> None:
    given = ["model=luong", "model.rnn=LSTM", "model.tie_output=false", "model.d_model=24"]
    begun = train_briefly(f"begin_with={bahdanau.best}", *given, *FIXED_RATE)
    before, after, said = weights(bahdanau.best), weights(begun.best), log_of(begun.folder)
    assert torch.equal(before["encoder.table.weight"], after["encoder.table.weight"])
    for line in (
        r"begin_with=.*: 1 of \d+ weights are taken",
        r"changed: model\.d_model is 24, was 16",
        r"changed: model\.rnn is LSTM, was GRU",
        r"changed: decoder is LuongDecoder, was BahdanauDecoder",
        r"changed: score is General, was Additive",
        r"new: decoder\.combine \(1,152 parameters\)",
        r"new, since of another shape: decoder\.bridge\.weight is 24 × 12, was 16 × 8",
        r"new, since of another kind: encoder\.forwards \(1,440 parameters\)",
        r"not used: decoder\.readout",
    ):
        assert re.search(rf"^ *{line}", said, re.MULTILINE), line
    assert "encoder.d_model is" not in said  # it follows from the model's


def test_configuration_of_a_run_that_has_something_of_a_checkpoint_is_shown(command: Command, bahdanau: Any) -> None:
    said = command("train", f"tokenizer.checkpoint={bahdanau.best}", "--cfg", "job")
    assert said.status == 0 and f"checkpoint: {bahdanau.best}" in said.out, said.err
    assert "there is no checkpoint absent" in command("train", "begin_with=absent", "--cfg", "job").err


def test_another_score_of_the_same_shape_is_new(train_briefly: Any, transformer: Any) -> None:
    same = ["model=transformer", "model.num_layers=2", "encoder.num_heads=2", "decoder.num_heads=2"]
    begun = train_briefly(f"begin_with={transformer.best}", *same, "score=qk_norm", *FIXED_RATE)
    assert "changed: score is Cosine, was ScaledDot" in log_of(begun.folder)
    before, after = weights(transformer.best), weights(begun.best)
    new = after.keys() - before.keys()
    assert new and all(".cross_attention." in name and ".score." in name for name in new)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize("joint", ["true", "false"])
def test_grown_vocabulary_keeps_old_rows_and_begins_new_ones_from_their_parts(
    train_briefly: Any, bahdanau: Any, new_text: list[str], joint: str
) -> None:
    source = bahdanau.best
    separate = ["tokenizer.joint=false", "model.tie_embeddings=false", "model.tie_output=false"]
    if joint == "false":
        source = train_briefly("tokenizer.vocab_size=100", *separate, folder="separate").best
    given = [f"begin_with={source}", *FIXED_RATE, *new_text, *(separate if joint == "false" else [])]
    begun = train_briefly(*given, "tokenizer.grow=true", "tokenizer.vocab_size=215", folder="grown")
    before, after = weights(source), weights(begun.best)
    old, new = (tokenizers_of(read_checkpoint(path)) for path in (source, begun.best))
    sizes = [(len(o), len(n)) for o, n in zip(old, new, strict=True)]
    assert all(o < n <= 215 for o, n in sizes)
    for tokenizer, o in zip(new, old, strict=True):
        assert tokenizer.pieces(range(len(o))) == o.pieces(range(len(o)))
        assert tokenizer.decode(tokenizer.encode(f"a {NEW_WORD} ?")) == f"a {NEW_WORD} ?"
        assert len(tokenizer.encode(NEW_WORD)) < len(o.encode(NEW_WORD))
    tables = {name for name, tensor in before.items() if len(tensor) in dict(sizes) and name.endswith("weight")}
    assert {"encoder.table.weight", "decoder.table.weight", "output.weight"} <= tables
    for name, tensor in before.items():
        rows = len(tensor) if tensor.ndim else None
        assert torch.equal(tensor, after[name][:rows]), name
    added = zip(parts_of_new(old.target, new.target), after["output.weight"][len(old.target) :], strict=True)
    with_parts = [(ids, row) for ids, row in added if ids]
    assert all(torch.allclose(row, before["output.weight"][ids].mean(0)) for ids, row in with_parts) and with_parts
    assert "grown: " in log_of(begun.folder)


@pytest.mark.parametrize(("units", "size", "more"), [("word", 150, 400), ("char", 100, 100), ("byte", 300, 300)])
def test_other_units_begin_with_what_they_have_and_grow_by_what_they_lack(
    train_briefly: Any, new_text: list[str], units: str, size: int, more: int
) -> None:
    base = train_briefly(f"tokenizer={units}", f"tokenizer.vocab_size={size}", folder="base")
    given = [f"begin_with={base.best}", *FIXED_RATE, *new_text, "tokenizer.grow=true", f"tokenizer.vocab_size={more}"]
    begun = train_briefly(*given, folder="grown")
    old, new = (tokenizers_of(read_checkpoint(path)).source for path in (base.best, begun.best))
    before, after = (weights(path)["output.weight"] for path in (base.best, begun.best))
    assert torch.equal(before, after[: len(old)]) and len(after) == len(new)
    assert new.decode(new.encode(f"{NEW_WORD} ?")) == f"{NEW_WORD} ?"
    assert (len(new) == len(old)) == (units == "byte")
    assert ("says the training text already, and stays as it is" in log_of(begun.folder)) == (units == "byte")


def test_vocabulary_of_a_checkpoint_without_its_weights(train_briefly: Any, bahdanau: Any, new_text: list[str]) -> None:
    begun = train_briefly(f"tokenizer.checkpoint={bahdanau.best}", *new_text, "model=luong", "tokenizer.vocab_size=200")
    assert read_checkpoint(begun.best).tokenizers == read_checkpoint(bahdanau.best).tokenizers
    assert "weights are taken" not in log_of(begun.folder)


FROZEN = "freeze=[encoder.forwards,encoder.backwards,decoder.rnn]"


@pytest.mark.parametrize("options", [["callbacks=ema"], ["optimizer=muon"], ["optimizer=adamw", "optimizer.lr=0.01"]])
def test_frozen_parts_stay_bit_for_bit_and_have_no_state(train_briefly: Any, bahdanau: Any, options: list[str]) -> None:
    begun = train_briefly(f"begin_with={bahdanau.best}", FROZEN, *options)
    before, after = weights(bahdanau.best), weights(begun.best)
    frozen = {name for name in before if name.startswith(("encoder.forwards", "encoder.backwards", "decoder.rnn"))}
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert all(not torch.equal(before[name], after[name]) for name in before.keys() - frozen if before[name].ndim > 1)
    content = torch.load(begun.folder / "checkpoints" / "last.ckpt", weights_only=True)
    kept = {name: tensor for name, tensor in before.items() if name not in frozen}
    sizes = sorted({tensor.data_ptr(): tensor.numel() for tensor in kept.values()}.values())
    learnt = sum(len(group["params"]) for group in content["optimizer_states"][0]["param_groups"])
    assert learnt == len(kept) - 2 and sizes  # one table under three names
    assert "frozen: encoder.forwards, encoder.backwards, decoder.rnn: " in log_of(begun.folder)


def test_frozen_run_that_was_stopped_ends_like_one_that_was_not(train_briefly: Any, bahdanau: Any) -> None:
    given = [f"begin_with={bahdanau.best}", FROZEN, "trainer.limit_train_batches=3", "scheduler=constant"]
    whole = train_briefly(*given, "trainer.max_epochs=2", folder="whole")
    part = train_briefly(*given, "trainer.max_epochs=1", folder="part")
    rest = train_briefly(*given, "trainer.max_epochs=2", f"resume={part.folder}", folder="part")
    one, other = (
        torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (whole, rest)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("begin", ["begin_with", "tokenizer.checkpoint"])
def test_run_goes_on_without_the_file_that_it_began_with(
    command: Command,
    train_briefly: Any,
    text: list[str],
    bahdanau: Any,
    new_text: list[str],
    tmp_path: Path,
    begin: str,
) -> None:
    base = Path(shutil.copy(bahdanau.best, tmp_path / "base.ckpt"))
    given = [f"{begin}={base}", *new_text, "tokenizer.grow=true", "tokenizer.vocab_size=215", "scheduler=constant"]
    part = train_briefly(*given, folder="outputs/text/bahdanau-additive-s1/a")
    longer = ["trainer.max_epochs=2", f"resume={part.folder}"]
    base.unlink()
    assert train_briefly(*given, *longer, folder="outputs/text/bahdanau-additive-s1/a").metrics["steps"] == 4
    (part.folder / "metrics.json").unlink()
    newer = shutil.copytree(part.folder, part.folder.with_name("b"))  # another run of the name, which is no matter
    settings = (newer / "config.yaml").read_text(encoding="utf-8")
    (newer / "config.yaml").write_text(re.sub("(?m)^seed: 1$", "seed: 2", settings), encoding="utf-8")
    for checkpoint in (newer / "checkpoints").iterdir():
        checkpoint.write_bytes(b"damaged")
    said = command("train", *text, *ONE_STEP, *given, "trainer.max_epochs=2", "resume=true")
    assert said.status == 0 and part.metrics["steps"] == 4, said.err
    # What begins anew needs the file.
    (part.folder / "metrics.json").unlink()
    shutil.rmtree(part.folder / "checkpoints")
    for other in (["resume=true"], ["resume=auto", "seed=2"], [f"resume={part.folder}"]):
        said = command("train", *text, *ONE_STEP, *given, "trainer.max_epochs=2", *other)
        assert said.status == 1 and said.err.startswith(f"error: there is no checkpoint {base}"), said.err
    assert [folder.name for folder in (tmp_path / "outputs" / "text").iterdir()] == ["bahdanau-additive-s1"]


@pytest.mark.parametrize("given, says", [
    (["begin_with={best}", "model=luong", "model.rnn=LSTM", "model.num_layers=2", "freeze=[encodr]"],
     "freeze: there is no parameter or part encodr; did you mean encoder"),
    (["freeze=encoder"], "freeze=encoder: expected a list, such as freeze=[encoder]"),
    (['freeze=["*"]'], "that is the whole model, and nothing is left to train"),
    (["begin_with={best}", "model=luong"], "its model.rnn is GRU, not LSTM; give the overrides"),
    (["begin_with={best}", "model=luong"], ": its decoder is BahdanauDecoder, not LuongDecoder, its model.rnn is GRU"),
    (["begin_with={best}", "model=transformer", "model.d_model=48"],
     ": its encoder is RecurrentEncoder, not TransformerEncoder, its decoder is .*, its model.num_layers is 1, not 3"),
    (["begin_with={best}", "model=luong", "model.rnn=LSTM", "model.d_model=32", "model.num_layers=1",
      "tokenizer.joint=false"], r"the vocabulary is that of .*, with tokenizer.joint=true; leave that key out"),
    (["begin_with={best}", "tokenizer=unigram"], "the vocabulary is that of .*, with tokenizer=bpe; leave"),
    (["begin_with={best}", "tokenizer.vocab_size=300"], "with tokenizer.vocab_size=200; .* tokenizer.grow=true"),
    (["begin_with={best}", "tokenizer.grow=true"], "has 200 pieces already, so tokenizer.vocab_size=200 leaves no"),
    (["tokenizer.grow=true"], "there is no vocabulary to grow; give begin_with=FILE, or tokenizer.checkpoint=FILE"),
    (["begin_with={best}", "tokenizer.checkpoint={best}"], "brings its own vocabulary; leave one of them out"),
    (["tokenizer.checkpoint=none.ckpt"], "there is no checkpoint none.ckpt"),
])  # fmt: skip
def test_mistakes_are_said_in_one_line_before_anything_is_written(
    command: Command, text: list[str], bahdanau: Any, tmp_path: Path, given: list[str], says: str
) -> None:
    said_size = any(override.startswith("tokenizer.vocab_size=") for override in given)
    base = [o for o in text if not (o.startswith("tokenizer.vocab_size=") and (said_size or "=unigram" in str(given)))]
    said = command("train", *base, *(override.format(best=bahdanau.best) for override in given))
    assert said.status == 1 and len(said.err.splitlines()) == 1, said.err
    assert re.search(says.replace("[", r"\["), said.err), said.err
    assert not list(tmp_path.iterdir())
