"""Models that are trained here, by JoeyNMT 2.3 and by eole 0.6.4 alike: what each is told of them, and of the data.

All train the same models on the tokenised Multi30k, en-de, with one vocabulary (a joint BPE of 10,000 pieces), the same
dropout, at most about 4,096 padded tokens a batch and the same number of threads. How a batch is filled belongs to what
is compared: JoeyNMT takes sentences as they come, until there are 4,096 tokens; eole sorts them by length, as is done
here. eole is compared on the Transformer, whose norms it puts first.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.tokenizer import Tokenizer

TOKENS_PER_BATCH = 4096
VOCAB_SIZE = 10_000


class Place(NamedTuple):
    """Where and how everything runs."""

    data: Path
    folder: Path
    threads: int


class Log(NamedTuple):
    """What a program wrote, and the most memory it held."""

    text: str
    mebibytes: float


class Rate(NamedTuple):
    """A learning rate's schedule: our name of it, its factor or peak, its warm-up."""

    scheduler: str
    lr: float
    warmup_steps: int


# What JoeyNMT calls bahdanau and luong are the additive and the bilinear score, both with Luong's order of steps.
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


def joeynmt_recurrent(attention: str) -> dict[str, Any]:
    side = {"type": "recurrent", "rnn_type": "gru", "num_layers": 1, "dropout": 0.3}
    side["embeddings"] = {"embedding_dim": 256, "scale": False}
    return {
        "tied_embeddings": True,
        "tied_softmax": False,
        "encoder": side | {"hidden_size": 256, "bidirectional": True},
        "decoder": side
        | {
            "hidden_size": 512,
            "attention": attention,
            "input_feeding": True,
            "init_hidden": "bridge",
            "hidden_dropout": 0.3,
        },
    }


def joeynmt_transformer() -> dict[str, Any]:
    side = {"type": "transformer", "num_layers": 4, "num_heads": 4, "hidden_size": 128, "ff_size": 256, "dropout": 0.3}
    side |= {"embeddings": {"embedding_dim": 128, "scale": True, "dropout": 0.0}, "layer_norm": "post"}
    return {"tied_embeddings": True, "tied_softmax": True, "encoder": side, "decoder": side}


class Model(NamedTuple):
    """The overrides of `seq2seq train`, what our best setting adds to them, and what JoeyNMT is told of its model."""

    overrides: list[str]
    best: list[str]
    joeynmt: dict[str, Any]
    rates: dict[str, Rate]  # by peer: what it learns with to a perplexity


NOAM = Rate("noam", 2.0, 2000)
FAST, SLOW = Rate("inverse_square_root", 0.005, 2000), Rate("inverse_square_root", 0.0005, 500)
BFLOAT16 = ["trainer.precision=bf16-mixed"]
MODELS = {
    "transformer": Model(TRANSFORMER, BFLOAT16, joeynmt_transformer(), {"JoeyNMT": FAST, "eole": NOAM}),
    "additive": Model([*RECURRENT, "score=additive"], BFLOAT16, joeynmt_recurrent("bahdanau"), {"JoeyNMT": SLOW}),
    "general": Model([*RECURRENT, "score=general"], BFLOAT16, joeynmt_recurrent("luong"), {"JoeyNMT": SLOW}),
}


def our_command(overrides: list[str], place: Place, run: Path, steps: int) -> list[str]:
    """Return the arguments of `seq2seq`; a run of the same name before is removed, since it would be refused."""
    shutil.rmtree(run, ignore_errors=True)
    arguments = ["train", f"hydra.run.dir={run}", *overrides, "data=text"]
    arguments += [f"data.train.source={place.data}/train.en", f"data.train.target={place.data}/train.de"]
    arguments += ["tokenizer=bpe", "tokenizer.joint=true", f"tokenizer.vocab_size={VOCAB_SIZE}"]
    arguments += [f"loader.tokens_per_batch={TOKENS_PER_BATCH}"]
    arguments += ["trainer=cpu", f"trainer.max_steps={steps}", "training.test_splits=[]", "pinned=[]"]
    return [*arguments, "callbacks.early_stopping=null", "callbacks.best=null"]  # the run is not for its weights


def joeynmt_arguments(config: dict[str, Any], place: Place) -> list[str]:
    (place.folder / "joeynmt.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["train", "joeynmt.yaml", "--skip-test"]


def joeynmt_config(model: dict[str, Any], place: Place, rate: Rate, steps: int, *, every: int) -> dict[str, Any]:
    side = {"level": "bpe", "voc_file": "bpe.txt", "max_length": 100, "lowercase": False, "normalize": False}
    side |= {"tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": "bpe.model", "pretokenizer": "none"}}
    symbols: dict[str, Any] = {f"{name}_id": i for i, name in enumerate(("unk", "pad", "bos", "eos"))}
    symbols |= {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return {
        "name": "benchmark",
        "model_dir": "joeynmt",
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": {
            "dataset_type": "plain",
            "train": str(place.data / "train"),
            "dev": "val",
            "src": side | {"lang": "en"},
            "trg": side | {"lang": "de"},
            "special_symbols": symbols,
        },
        "model": {"initializer": "xavier_uniform", "bias_initializer": "zeros", **model},
        "testing": {"beam_size": 5, "batch_size": 1024, "batch_type": "token", "eval_metrics": ["bleu"]},
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "learning_rate": rate.lr,
            "learning_rate_min": 1e-8,
            "learning_rate_warmup": rate.warmup_steps,
            "scheduling": "warmupinversesquareroot",
            "loss": "crossentropy",
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "batch_size": TOKENS_PER_BATCH,
            "batch_type": "token",
            "shuffle": True,
            "overwrite": True,
            "epochs": 10_000,
            "updates": steps,
            "logging_freq": every,
            "validation_freq": every,
            "early_stopping_metric": "bleu",
            **({"clip_grad_norm": 1.0} if model["encoder"]["type"] == "recurrent" else {}),
        },
    }


def eole_arguments(config: dict[str, Any], place: Place) -> list[str]:
    (place.folder / "eole.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["train", "-config", "eole.yaml"]


def eole_config(validation: Path, rate: Rate, steps: int, *, every: int) -> dict[str, Any]:
    return {
        "save_data": "eole",
        "overwrite": True,
        "seed": 1,
        "report_every": 1,
        "src_vocab": "eole.vocab",
        "tgt_vocab": "eole.vocab",
        "src_vocab_size": VOCAB_SIZE,
        "tgt_vocab_size": VOCAB_SIZE,
        "vocab_size_multiple": 8,
        "share_vocab": True,
        "n_sample": 0,
        "data": {
            "train": {"path_src": "train.sp.en", "path_tgt": "train.sp.de"},
            "valid": {"path_src": f"{validation}.sp.en", "path_tgt": f"{validation}.sp.de"},
        },
        "model": {
            "architecture": "transformer",
            "hidden_size": 128,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
            "generator_bias": False,
            "layers": 4,
            "heads": 4,
            "transformer_ff": 256,
            "embeddings": {"word_vec_size": 128, "position_encoding_type": "SinusoidalInterleaved"},
        },
        "training": {
            "model_path": "eole/model",
            "save_checkpoint_steps": 100_000,
            "keep_checkpoint": 1,
            "train_steps": steps,
            "valid_steps": every,
            "bucket_size": 29_000,
            "num_workers": 0,
            "world_size": 1,
            "gpu_ranks": [],
            "batch_type": "tokens",
            "batch_size": TOKENS_PER_BATCH,
            "valid_batch_size": TOKENS_PER_BATCH,
            "accum_count": [1],
            "accum_steps": [0],
            "dropout": [0.3],
            "attention_dropout": [0.3],
            "dropout_steps": [0],
            "compute_dtype": "fp32",
            "optim": "adam",
            "adam_beta2": 0.98,
            "learning_rate": rate.lr,
            "warmup_steps": rate.warmup_steps,
            "decay_method": rate.scheduler,
            "max_grad_norm": 0,
            "label_smoothing": 0.1,
            "param_init_method": "xavier_uniform",
            "normalization": "tokens",
        },
    }


@contextmanager
def prepared(data: Path, *, threads: int, eole: bool) -> Iterator[Place]:
    """Yield a folder with the vocabulary and the data of all sides, so that no measured run has to make them."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(data.resolve(), Path(name), threads)
        _prepare(place, eole=eole)
        yield place


def _prepare(place: Place, *, eole: bool) -> None:
    for language in ("en", "de"):
        lines = (place.data / f"train.{language}").read_text(encoding="utf-8").splitlines()
        (place.folder / f"val.{language}").write_text("\n".join(lines[:10]) + "\n", encoding="utf-8")
    run = place.folder / "ours"
    execute([sys.executable, "-m", "seq2seq", *our_command(TRANSFORMER, place, run, steps=1), *NOT_VALIDATED], place)
    tokenizer = Tokenizer(read_checkpoint(run / "checkpoints" / "last.ckpt").tokenizers[0])
    (place.folder / "bpe.model").write_bytes(tokenizer.model_proto)
    pieces = tokenizer.pieces(range(len(tokenizer)))
    (place.folder / "bpe.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    if not eole:
        return
    files = {"train": place.data / "train", "whole": place.data / "val", "val": place.folder / "val"}
    for name, file in files.items():
        for language in ("en", "de"):
            if not (text := file.with_name(f"{file.name}.{language}")).exists():
                continue  # val.en and val.de are read for a perplexity only
            lines = text.read_text(encoding="utf-8").splitlines()
            encoded = [" ".join(tokenizer.pieces(tokenizer.encode(line))) for line in lines]
            (place.folder / f"{name}.sp.{language}").write_text("\n".join(encoded) + "\n", encoding="utf-8")
    # What `eole build_vocab` would count are the pieces that occur: fewer, and so a smaller model. It adds its symbols.
    (place.folder / "eole.vocab").write_text("".join(f"{piece}\t1\n" for piece in pieces[4:]), encoding="utf-8")


def execute(command: list[str], place: Place) -> Log:
    """Return all that a command wrote; end the program with its last words if it failed."""
    environment = os.environ | {"OMP_NUM_THREADS": str(place.threads)}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(command, cwd=place.folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nfailed:\n{text[-2000:]}")
    return Log(text, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every comparison of trainings asks for."""
    parser.add_argument("--joeynmt", metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument(
        "--eole", metavar="PYTHON", help="interpreter of an environment with eole; one of the two, or both"
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="train.en, train.de, val.* of the tokenised Multi30k"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (%(default)s)")


def interpreters(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, str]:
    """Return the interpreters that were given, by peer; end the program where there is none."""
    given = {"JoeyNMT": options.joeynmt, "eole": options.eole}
    # Not resolved: a virtual environment's interpreter is a link.
    pythons = {peer: str(Path(python).absolute()) for peer, python in given.items() if python}
    if not pythons:
        parser.error("give a peer to compare with: --joeynmt, --eole, or both")
    return pythons


def models_to_compare(
    parser: argparse.ArgumentParser, names: list[str] | None, pythons: dict[str, str]
) -> dict[str, Model]:
    """Return the models of these names, all by default, that at least one peer has too."""
    models = {
        name: model for name, model in MODELS.items() if name in (names or MODELS) and pythons.keys() & model.rates
    }
    if not models:
        parser.error("eole is compared on the transformer only")
    return models
