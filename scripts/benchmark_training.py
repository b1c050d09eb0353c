"""Training beside JoeyNMT 2.3 and eole 0.6.4: real target tokens a second and peak memory, or seconds to a perplexity.

All train the same models on the tokenised Multi30k, en-de, with one vocabulary (a joint BPE of 10,000 pieces), the same
dropout, at most about 4,096 padded tokens a batch and the same number of threads, in turns; tables show medians, and
ours twice: in float32 as the peers, and with the setting that is fastest here and keeps the loss curve. How a batch is
filled belongs to what is compared: JoeyNMT takes sentences as they come, until there are 4,096 tokens; eole sorts them
by length, as is done here. eole is compared on the Transformer, whose norms it puts first.

Tokens are target pieces with EOS, without padding and BOS: so do all three count. Of JoeyNMT it is the figure that it
logs; eole logs a figure a step, which are added up but for the first, in whose time it reads and sorts its data. Memory
is the peak resident set of the process, in MiB (of its largest child where it has any, and never below that of this
script, from which it starts). "loss" is what each of our settings has at its last logged step, on the same batches.

--perplexity P is the other table: seconds of training until the perplexity on val.en and val.de, over all pieces with
EOS, is at most P, validation not counted. What JoeyNMT and eole log there is smoothed like their training's loss, and
so no perplexity: they run with their validation told to smooth nothing, and JoeyNMT's not to translate either. Ours
learns with the peer's rate, schedule and Adam, once for each peer: what is faster only by learning less shows here.

    python3 -m venv joeynmt
    joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python3 -m venv eole
    eole/bin/pip install torch==2.13.0 eole==0.6.4 aiohttp
    python scripts/benchmark_training.py --joeynmt joeynmt/bin/python --eole eole/bin/python --data multi30k/tokenized
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
from seq2seq.comparison.curves import read_curves
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


class Run(NamedTuple):
    parameters: int
    tokens_per_second: float
    mebibytes: float
    loss: float = float("nan")


class Goal(NamedTuple):
    """A perplexity on the validation set, the updates between validations, and those at which to give up."""

    perplexity: float
    every: int
    limit: int


class Learned(NamedTuple):
    """The last validation; `reached` says whether it met the goal."""

    seconds: float
    steps: int
    perplexity: float
    reached: bool


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
    "transformer": Model(TRANSFORMER, [], joeynmt_transformer(), {"JoeyNMT": FAST, "eole": NOAM}),
    "additive": Model([*RECURRENT, "score=additive"], BFLOAT16, joeynmt_recurrent("bahdanau"), {"JoeyNMT": SLOW}),
    "general": Model([*RECURRENT, "score=general"], BFLOAT16, joeynmt_recurrent("luong"), {"JoeyNMT": SLOW}),
}


# Programs that train as each command does, and tell at each validation what was learned in how long. They run in the
# environment of the toolkit, whose functions they watch; their first argument is the perplexity to reach.
WATCH = """
import os, sys, time

goal, seconds, since = float(sys.argv.pop(1)), 0.0, 0.0

def start():
    global since
    since = time.perf_counter()

def stop():
    global seconds
    seconds += time.perf_counter() - since

def report(steps, perplexity):
    print(f"learned: {seconds:.2f} {steps} {perplexity:.4f}", flush=True)
    if perplexity <= goal:
        os._exit(0)
    start()

def started(train):
    def watched(*arguments, **options):
        start()
        return train(*arguments, **options)
    return watched
"""
WATCH_OURS = f"""{WATCH}
from seq2seq.cli.main import main
from seq2seq.training.callbacks import Throughput, ValidationReport

Throughput.on_train_start = lambda self, trainer, module: start()
Throughput.on_validation_start = lambda self, trainer, module: stop()
ValidationReport.on_validation_end = lambda self, trainer, module: report(
    trainer.global_step, module.evaluation.metrics["perplexity"]
)
sys.exit(main())
"""
WATCH_JOEYNMT = f"""{WATCH}
import torch
from joeynmt.__main__ import main
from joeynmt.loss import XentLoss
from joeynmt.prediction import predict
from joeynmt.training import TrainManager

smoothed = XentLoss.forward

def loss(self, log_probs, **options):
    if torch.is_grad_enabled():
        return smoothed(self, log_probs, **options)
    targets = options["trg"].flatten()
    return torch.nn.functional.nll_loss(
        log_probs.flatten(0, 1), targets, ignore_index=self.pad_index, reduction="sum"
    )

def validate(self, valid_data):
    stop()
    scores, *_ = predict(
        model=self.model, data=valid_data, compute_loss=True, device=self.device, rank=0, n_gpu=0,
        normalization="tokens", args=self.dev_cfg._replace(return_prob="ref", return_attention=True),
        autocast=self.autocast,
    )
    report(self.stats.steps, scores["ppl"])

XentLoss.forward = loss
TrainManager._validate = validate
TrainManager.train_and_validate = started(TrainManager.train_and_validate)
main()
"""
WATCH_EOLE = f"""{WATCH}
from eole.bin.main import main
from eole.trainer import Trainer

smoothed = Trainer.validate

def validate(self, *arguments, **options):
    stop()
    self.valid_loss.criterion.label_smoothing = 0.0
    scores = smoothed(self, *arguments, **options)
    report(self.optim.training_step - 1, scores.ppl())
    return scores

Trainer.validate = validate
Trainer.train = started(Trainer.train)
main()
"""


def our_command(overrides: list[str], place: Place, run: Path, steps: int) -> list[str]:
    """Return the arguments of `seq2seq`; a run of the same name before is removed, since it would be refused."""
    shutil.rmtree(run, ignore_errors=True)
    arguments = ["train", f"hydra.run.dir={run}", *overrides, "data=text"]
    arguments += [f"data.train.source={place.data}/train.en", f"data.train.target={place.data}/train.de"]
    arguments += ["tokenizer=bpe", "tokenizer.joint=true", f"tokenizer.vocab_size={VOCAB_SIZE}"]
    arguments += [f"loader.tokens_per_batch={TOKENS_PER_BATCH}"]
    arguments += ["trainer=cpu", f"trainer.max_steps={steps}", "training.test_splits=[]", "pinned=[]"]
    return [*arguments, "callbacks.early_stopping=null", "callbacks.best=null"]  # the run is not for its weights


def train_ours(overrides: list[str], place: Place, steps: int) -> Run:
    """Train with the public command."""
    run = place.folder / "ours"
    command = [sys.executable, "-m", "seq2seq", *our_command(overrides, place, run, steps)]
    # Nothing is validated: a few sentences do.
    log = execute([*command, "data.val.source=val.en", "data.val.target=val.de", "trainer.limit_val_batches=0"], place)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = read_curves(run).scalars.get("train/loss")
    speed = metrics["train/target_tokens_per_second"]
    return Run(metrics["parameters"], speed, log.mebibytes, losses.values[-1] if losses else float("nan"))


def train_joeynmt(model: Model, place: Place, *, python: str, steps: int) -> Run:
    """Train with the peer's command; it logs real target tokens a second, over all its steps when told to log once."""
    config = joeynmt_config(model.joeynmt, place, Rate("inverse_square_root", 0.002, 200), steps, every=steps)
    config["training"]["validation_freq"] = 100_000 * steps  # never; JoeyNMT wants a multiple of logging_freq
    log = execute([python, "-m", "joeynmt", *joeynmt_arguments(config, place)], place)
    (parameters,) = re.findall(r"Total params: (\d+)", log.text)
    (speed,) = re.findall(r"Tokens per Sec: +(\d+)", log.text)
    return Run(int(parameters), float(speed), log.mebibytes)


def train_eole(place: Place, *, python: str, steps: int) -> Run:
    """Train with the peer's command, one step more than measured."""
    config = eole_config(place.folder / "val", NOAM, steps + 1, every=100_000)
    log = execute([python, "-m", "eole.bin.main", *eole_arguments(config, place)], place)
    (parameters,) = re.findall(r"number of parameters: (\d+)", log.text)
    found = re.findall(r"bsz: +\d+/ *(\d+)/ *\d+; +\d+/ *(\d+) tok/s", log.text)[1:]
    counts, speeds = ([float(step[i]) for step in found] for i in (0, 1))
    seconds = sum(count / speed for count, speed in zip(counts, speeds, strict=True))
    return Run(int(parameters), sum(counts) / seconds, log.mebibytes)


def learn_ours(overrides: list[str], rate: Rate, place: Place, goal: Goal) -> Learned:
    arguments = our_command(overrides, place, place.folder / "ours", goal.limit)
    arguments += [f"data.val.source={place.data}/val.en", f"data.val.target={place.data}/val.de"]
    arguments += [f"trainer.val_check_interval={goal.every}", "trainer.check_val_every_n_epoch=null"]
    arguments += ["optimizer=adam", f"optimizer.lr={rate.lr}", "optimizer.betas=[0.9,0.98]", "optimizer.eps=1e-8"]
    arguments += [f"scheduler={rate.scheduler}", f"scheduler.scheduler.warmup_steps={rate.warmup_steps}"]
    arguments += ["trainer.max_epochs=-1", "callbacks.pinned=null", "callbacks.last=null"]
    arguments += ["search=greedy", "search.max_length=1"]  # translations have no part in it
    return learned([sys.executable, "-c", WATCH_OURS, str(goal.perplexity), *arguments], place, goal)


def learn_joeynmt(model: Model, place: Place, goal: Goal, *, python: str) -> Learned:
    config = joeynmt_config(model.joeynmt, place, model.rates["JoeyNMT"], goal.limit, every=goal.every)
    config["data"]["dev"] = str(place.data / "val")
    arguments = joeynmt_arguments(config, place)
    return learned([python, "-c", WATCH_JOEYNMT, str(goal.perplexity), *arguments], place, goal)


def learn_eole(model: Model, place: Place, goal: Goal, *, python: str) -> Learned:
    config = eole_config(place.folder / "whole", model.rates["eole"], goal.limit, every=goal.every)
    arguments = eole_arguments(config, place)
    return learned([python, "-c", WATCH_EOLE, str(goal.perplexity), *arguments], place, goal)


def learned(command: list[str], place: Place, goal: Goal) -> Learned:
    found = re.findall(r"^learned: (\S+) (\d+) (\S+)$", execute(command, place).text, re.MULTILINE)
    if not found:
        sys.exit(f"no validation in {goal.limit} updates: give --every a smaller number")
    seconds, steps, perplexity = found[-1]
    return Learned(float(seconds), int(steps), float(perplexity), float(perplexity) <= goal.perplexity)


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


def prepare(place: Place, *, eole: str | None) -> None:
    """Leave the vocabulary and the data of all sides in the folder, so that no measured run has to make them."""
    for language in ("en", "de"):
        lines = (place.data / f"train.{language}").read_text(encoding="utf-8").splitlines()
        (place.folder / f"val.{language}").write_text("\n".join(lines[:10]) + "\n", encoding="utf-8")
    train_ours(TRANSFORMER, place, steps=1)
    tokenizer = Tokenizer(read_checkpoint(place.folder / "ours" / "checkpoints" / "last.ckpt").tokenizers[0])
    (place.folder / "bpe.model").write_bytes(tokenizer.model_proto)
    pieces = tokenizer.pieces(range(len(tokenizer)))
    (place.folder / "bpe.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    if eole is None:
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


def compare_speed(chosen: list[str], pythons: dict[str, str], place: Place, *, steps: int, rounds: int) -> None:
    """Print a table with a row a model and peer."""
    print(f"{steps} updates, {place.threads} threads, median of {rounds} runs; all float32 but for our best setting\n")
    print("| model | peer | parameters | its | tokens/s | its | ratio | best | ratio | MiB | its | best |")
    print(f"{'|---' * 12}|", flush=True)
    notes = []
    for name in chosen:
        model = MODELS[name]
        runs: dict[str, list[Run]] = {}
        for _ in range(rounds):
            runs.setdefault("ours", []).append(train_ours(model.overrides, place, steps))
            if model.best:
                runs.setdefault("best", []).append(train_ours([*model.overrides, *model.best], place, steps))
            if "JoeyNMT" in pythons:
                run = train_joeynmt(model, place, python=pythons["JoeyNMT"], steps=steps)
                runs.setdefault("JoeyNMT", []).append(run)
            if "eole" in pythons and "eole" in model.rates:
                runs.setdefault("eole", []).append(train_eole(place, python=pythons["eole"], steps=steps))
        ours, best = (median(runs[side]) for side in ("ours", "best" if model.best else "ours"))
        for peer in (peer for peer in pythons if peer in runs):
            theirs = median(runs[peer])
            parameters = f"{ours.parameters:,} | {theirs.parameters:,}"
            speeds = f"{ours.tokens_per_second:,.0f} | {theirs.tokens_per_second:,.0f}"
            ratio = f"{ours.tokens_per_second / theirs.tokens_per_second:.2f}"
            second = f"{best.tokens_per_second:,.0f} | {best.tokens_per_second / theirs.tokens_per_second:.2f}"
            memory = f"{ours.mebibytes:,.0f} | {theirs.mebibytes:,.0f} | {best.mebibytes:,.0f}"
            print(f"| {name} | {peer} | {parameters} | {speeds} | {ratio} | {second} | {memory} |", flush=True)
        setting = " ".join(model.best) or "float32 itself"
        notes.append(f"best of {name}: {setting}; loss {best.loss:.3f}, in float32 {ours.loss:.3f}")
    print("", *notes, sep="\n")


def median(runs: list[Run]) -> Run:
    """Return the median of each figure."""
    parameters, *figures = zip(*runs, strict=True)
    return Run(parameters[0], *map(statistics.median, figures))


def compare_learning(chosen: list[str], pythons: dict[str, str], place: Place, goal: Goal, *, rounds: int) -> None:
    """Print a table with a row a model, peer and setting of ours."""
    print(f"perplexity {goal.perplexity:g} on the validation set, looked at every {goal.every} updates,")
    print(f"{place.threads} threads, median seconds of {rounds} runs; > : not reached in {goal.limit} updates\n")
    print("| model | peer | ours | seconds | updates | perplexity | its seconds | updates | perplexity | ratio |")
    print(f"{'|---' * 10}|", flush=True)
    for name in chosen:
        model = MODELS[name]
        for peer in (peer for peer in pythons if peer in model.rates):
            overrides = [*model.overrides, *(NORM_FIRST if peer == "eole" else [])]
            settings = {"float32": overrides} | (
                {" ".join(model.best): [*overrides, *model.best]} if model.best else {}
            )
            ours: dict[str, list[Learned]] = {setting: [] for setting in settings}
            theirs = []
            for _ in range(rounds):
                for setting, changed in settings.items():
                    ours[setting].append(learn_ours(changed, model.rates[peer], place, goal))
                learn = learn_eole if peer == "eole" else learn_joeynmt
                theirs.append(learn(model, place, goal, python=pythons[peer]))
            slow = statistics.median_low(theirs)
            for setting, runs in ours.items():
                fast = statistics.median_low(runs)
                ratio = f"{slow.seconds / fast.seconds:.2f}" if fast.reached and slow.reached else "–"
                print(f"| {name} | {peer} | {setting} | {describe(fast)} | {describe(slow)} | {ratio} |", flush=True)


def describe(run: Learned) -> str:
    return f"{'' if run.reached else '> '}{run.seconds:,.1f} | {run.steps:,} | {run.perplexity:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joeynmt", metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument(
        "--eole", metavar="PYTHON", help="interpreter of an environment with eole; one of the two, or both"
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="train.en, train.de, val.* of the tokenised Multi30k"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="MODEL", help=f"{', '.join(MODELS)} (all)")
    parser.add_argument("--steps", type=int, default=40, help="updates a run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, in turns (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (%(default)s)")
    parser.add_argument(
        "--perplexity",
        type=float,
        metavar="P",
        help="measure seconds to it instead, by default of the transformer only",
    )
    parser.add_argument("--every", type=int, default=100, help="updates between its validations (%(default)s)")
    parser.add_argument("--limit", type=int, default=3000, help="updates at which to give it up (%(default)s)")
    options = parser.parse_args()
    given = {"JoeyNMT": options.joeynmt, "eole": options.eole}
    # Not resolved: a virtual environment's interpreter is a link.
    pythons = {peer: str(Path(python).absolute()) for peer, python in given.items() if python}
    if not pythons:
        parser.error("give a peer to compare with: --joeynmt, --eole, or both")
    goal = Goal(options.perplexity, options.every, options.limit) if options.perplexity else None
    chosen = [name for name in MODELS if name in (options.models or (["transformer"] if goal else MODELS))]
    chosen = [name for name in chosen if pythons.keys() & MODELS[name].rates.keys()]
    if not chosen:
        parser.error("eole is compared on the transformer only")
    with tempfile.TemporaryDirectory() as name:
        place = Place(options.data.resolve(), Path(name), options.threads)
        prepare(place, eole=pythons.get("eole"))
        if goal:
            compare_learning(chosen, pythons, place, goal, rounds=options.rounds)
        else:
            compare_speed(chosen, pythons, place, steps=options.steps, rounds=options.rounds)


if __name__ == "__main__":
    main()
