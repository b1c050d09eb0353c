"""Models that are trained here, by JoeyNMT and by eole alike.

All train the same models on the tokenised Multi30k, en-de, with one vocabulary (a joint BPE of 10,000 pieces), the same
dropout, at most about 4,096 padded tokens a batch and the same number of threads. How a batch is filled belongs to what
is compared: JoeyNMT takes sentences as they come, until there are 4,096 tokens; eole sorts them by length, as is done
here. eole is compared on the Transformer, whose norms it puts first.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from peers.place import Place
from seq2seq.training.precision import AUTO, EXACT, choose_precision

TOKENS_PER_BATCH = 4096
VOCAB_SIZE = 10_000


class Rate(NamedTuple):
    """A learning rate's schedule: our name of it, its factor or peak, its warm-up."""

    scheduler: str
    lr: float
    warmup_steps: int


RECURRENT = [
    *(
        "model=luong",
        "model.rnn=GRU",
        "model.d_embedding=256",
        "model.d_model=512",
        "model.num_layers=1",
        "model.dropout=0.3",
    ),
    "model.tie_output=false",
    *("trainer.gradient_clip_val=1.0", "decoder.input_feeding=true"),
]
TRANSFORMER = [
    *("model=transformer", "model.d_model=128", "model.num_layers=4", "model.dropout=0.3"),
    *("model.attention_dropout=0.3", "trainer.gradient_clip_val=null"),
    *(
        f"{side}.{key}"
        for side in ("encoder", "decoder")
        for key in ("num_heads=4", "d_feedforward=256", "norm_first=false")
    ),
]
NOT_VALIDATED = [
    "data.val.source=val.en",
    "data.val.target=val.de",
    "trainer.limit_val_batches=0",
]  # a few sentences do
NORM_FIRST = ["encoder.norm_first=true", "decoder.norm_first=true"]


class Model(NamedTuple):
    """The overrides of `seq2seq train`, what it learns with, and to what validation perplexity it is compared."""

    overrides: list[str]
    rates: dict[str, Rate]  # by peer
    perplexity: float  # past the plateau where attention is found


NOAM = Rate("noam", 2.0, 2000)
RISING, QUICK = Rate("inverse_square_root", 0.005, 2000), Rate("inverse_square_root", 0.002, 200)
MODELS = {
    "transformer": Model(TRANSFORMER, {"JoeyNMT": RISING, "eole": NOAM}, 20.0),
    "additive": Model([*RECURRENT, "score=additive"], {"JoeyNMT": QUICK}, 30.0),
    "general": Model([*RECURRENT, "score=general"], {"JoeyNMT": QUICK}, 30.0),
}


def best_setting() -> list[str]:
    """Return what our fastest setting adds to the overrides: a precision, or nothing where float32 is the fastest."""
    precision = choose_precision(AUTO, "cpu").value
    return [] if precision == EXACT else [f"trainer.precision={precision}"]


def our_command(overrides: list[str], place: Place, run: Path, steps: int) -> list[str]:
    """Return the arguments of `seq2seq`; a run of the same name before is removed, since it would be refused."""
    shutil.rmtree(run, ignore_errors=True)
    arguments = ["train", f"hydra.run.dir={run}", *overrides, "data=text"]
    arguments += [f"data.train.source={place.data}/train.en", f"data.train.target={place.data}/train.de"]
    arguments += ["tokenizer=bpe", "tokenizer.joint=true", f"tokenizer.vocab_size={VOCAB_SIZE}"]
    arguments += [f"loader.tokens_per_batch={TOKENS_PER_BATCH}"]
    arguments += ["trainer=cpu", f"trainer.max_steps={steps}", "training.test_splits=[]", "pinned=[]"]
    return [*arguments, "callbacks.early_stopping=null", "callbacks.best=null"]  # the run is not for its weights
