"""Training throughput beside JoeyNMT 2.3: real target tokens, EOS included, a second of wall time.

Both train the same models on the tokenised Multi30k, en-de, with one vocabulary (a joint BPE of 10,000 pieces), the
same dropout, 4,096 padded tokens a batch, float32 and the same number of threads, in turns; the table shows medians.
How a batch is filled belongs to what is compared: JoeyNMT takes sentences as they come, until there are 4,096 tokens.

    python3 -m venv peer
    peer/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python scripts/benchmark_training.py --joeynmt peer/bin/python --data multi30k/tokenized
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.tokenizer import Tokenizer

TOKENS_PER_BATCH = 4096
VOCAB_SIZE = 10_000


class Run(NamedTuple):
    parameters: int
    tokens_per_second: float


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


# Name: the overrides of `seq2seq train`, and what JoeyNMT is told of its model.
MODELS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "transformer": (TRANSFORMER, joeynmt_transformer()),
    "additive": ([*RECURRENT, "score=additive"], joeynmt_recurrent("bahdanau")),
    "general": ([*RECURRENT, "score=general"], joeynmt_recurrent("luong")),
}


def train_ours(overrides: list[str], data: Path, folder: Path, *, steps: int, threads: int) -> Run:
    """Train with the public command, and leave its vocabulary in `folder` for the peer."""
    run = folder / "ours"
    shutil.rmtree(run, ignore_errors=True)  # of the round before: a folder with a run in it is refused
    command = [sys.executable, "-m", "seq2seq", "train", f"hydra.run.dir={run}", *overrides]
    command += ["data=text", f"data.train.source={data}/train.en", f"data.train.target={data}/train.de"]
    command += ["data.val.source=val.en", "data.val.target=val.de"]
    command += ["tokenizer=bpe", "tokenizer.joint=true", f"tokenizer.vocab_size={VOCAB_SIZE}"]
    command += [f"loader.tokens_per_batch={TOKENS_PER_BATCH}"]
    command += ["trainer=cpu", f"trainer.max_steps={steps}", "trainer.limit_val_batches=0", "training.test_splits=[]"]
    # Nothing is validated, so there is nothing to choose by.
    command += ["callbacks.early_stopping=null", "callbacks.best=null"]
    execute(command, folder, threads)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(read_checkpoint(run / "checkpoints" / "last.ckpt").tokenizers[0])
    (folder / "bpe.model").write_bytes(tokenizer.model_proto)
    (folder / "bpe.txt").write_text("\n".join(tokenizer.pieces(range(len(tokenizer)))) + "\n", encoding="utf-8")
    return Run(metrics["parameters"], metrics["train/target_tokens_per_second"])


def train_joeynmt(model: dict[str, Any], data: Path, folder: Path, *, python: str, steps: int, threads: int) -> Run:
    """Train with the peer's command; it logs real target tokens a second, over all its steps when told to log once."""
    config = folder / "joeynmt.yaml"
    config.write_text(yaml.safe_dump(joeynmt_config(model, data, steps)), encoding="utf-8")
    log = execute([python, "-m", "joeynmt", "train", str(config), "--skip-test"], folder, threads)
    (parameters,) = re.findall(r"Total params: (\d+)", log)
    (speed,) = re.findall(r"Tokens per Sec: +(\d+)", log)
    return Run(int(parameters), float(speed))


def joeynmt_config(model: dict[str, Any], data: Path, steps: int) -> dict[str, Any]:
    side = {"level": "bpe", "voc_file": "bpe.txt", "max_length": 100, "lowercase": False, "normalize": False}
    side |= {"tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": "bpe.model", "pretokenizer": "none"}}
    symbols = {f"{name}_id": i for i, name in enumerate(("unk", "pad", "bos", "eos"))}
    symbols |= {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return {
        "name": "benchmark",
        "model_dir": "joeynmt",
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": {
            "dataset_type": "plain",
            "train": str(data / "train"),
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
            "learning_rate": 0.002,
            "learning_rate_min": 1e-8,
            "learning_rate_warmup": 200,
            "scheduling": "warmupinversesquareroot",
            "loss": "crossentropy",
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "batch_size": TOKENS_PER_BATCH,
            "batch_type": "token",
            "shuffle": True,
            "overwrite": True,
            "epochs": 100,
            "updates": steps,
            "logging_freq": steps,
            "validation_freq": 100_000 * steps,  # never; JoeyNMT wants a multiple of logging_freq
            "early_stopping_metric": "bleu",
            **({"clip_grad_norm": 1.0} if model["encoder"]["type"] == "recurrent" else {}),
        },
    }


def write_validation_set(data: Path, folder: Path) -> None:
    """Both want a validation set, which has no part in the measurement: a few sentences do."""
    for language in ("en", "de"):
        lines = (data / f"train.{language}").read_text(encoding="utf-8").splitlines()
        (folder / f"val.{language}").write_text("\n".join(lines[:10]) + "\n", encoding="utf-8")


def execute(command: list[str], folder: Path, threads: int) -> str:
    """Return all that a command wrote; end the program with its last words if it failed."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nfailed:\n{done.stdout[-2000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joeynmt", required=True, metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="train.en and train.de of the tokenised Multi30k"
    )
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL", help=", ".join(MODELS)
    )
    parser.add_argument("--steps", type=int, default=40, help="updates a run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, in turns (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (%(default)s)")
    options = parser.parse_args()
    joeynmt = str(Path(options.joeynmt).absolute())  # not resolved: a virtual environment's interpreter is a link
    limits = {"steps": options.steps, "threads": options.threads}

    print(f"{options.steps} updates, {options.threads} threads, median of {options.rounds} runs\n")
    print("| model | parameters | tokens/s | JoeyNMT's parameters | tokens/s | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_validation_set(options.data, folder)
        for model, (overrides, peer) in MODELS.items():
            if model not in options.models:
                continue
            ours, theirs = [], []
            for _ in range(options.rounds):
                ours.append(train_ours(overrides, options.data.resolve(), folder, **limits))
                theirs.append(train_joeynmt(peer, options.data.resolve(), folder, python=joeynmt, **limits))
            fast, slow = (statistics.median(run.tokens_per_second for run in runs) for runs in (ours, theirs))
            counts = f"{ours[0].parameters:,} | {fast:,.0f} | {theirs[0].parameters:,} | {slow:,.0f}"
            print(f"| {model} | {counts} | {fast / slow:.2f} |", flush=True)


if __name__ == "__main__":
    main()
