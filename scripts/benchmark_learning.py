"""Training beside JoeyNMT 2.3 and eole 0.6.4: seconds until the validation set has a given perplexity.

The perplexity is that of all pieces of val.en and val.de with EOS; the time of validating does not count. What JoeyNMT
and eole log there is smoothed like their training's loss, and so no perplexity: they run with their validation told to
smooth nothing, and JoeyNMT's not to translate either. Ours learns with the peer's rate, schedule and Adam, once for
each peer, the same models from the same batches (`peers/models.py`): what is faster only by learning less shows here.

By default every model runs to a perplexity where it has long found its attention: the Transformer to 20, the recurrent
ones to 30. That takes hours. So each run that has ended is kept in --results, a line each: the same command goes on
after the last of them, and prints the table of all.

    python3 -m venv joeynmt
    joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python3 -m venv eole
    eole/bin/pip install torch==2.13.0 eole==0.6.4 aiohttp
    python scripts/benchmark_learning.py --joeynmt joeynmt/bin/python --eole eole/bin/python \\
        --data multi30k/tokenized --results learning.jsonl
"""

import argparse
import re
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from arguments import above_0
from peers import eole, joeynmt
from peers.comparison import add_options, interpreters, models_to_compare, prepared
from peers.kept import Kept
from peers.models import MODELS, NORM_FIRST, Model, Rate, best_setting, our_command
from peers.place import Place, execute, processor


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


def learn_ours(overrides: list[str], rate: Rate, place: Place, goal: Goal) -> Learned:
    arguments = our_command(overrides, place, place.folder / "ours", goal.limit)
    arguments += [f"data.val.source={place.data}/val.en", f"data.val.target={place.data}/val.de"]
    arguments += [f"trainer.val_check_interval={goal.every}", "trainer.check_val_every_n_epoch=null"]
    arguments += ["optimizer=adam", f"optimizer.lr={rate.lr}", "optimizer.betas=[0.9,0.98]", "optimizer.eps=1e-8"]
    arguments += [f"scheduler={rate.scheduler}", f"scheduler.scheduler.warmup_steps={rate.warmup_steps}"]
    arguments += ["trainer.max_epochs=-1", "callbacks.pinned=null", "callbacks.last=null"]
    arguments += ["search=greedy", "search.max_length=1"]  # translations have no part in it
    return learned([sys.executable, "-c", WATCH_OURS, str(goal.perplexity), *arguments], place, goal)


def learn_joeynmt(name: str, place: Place, goal: Goal, *, python: str) -> Learned:
    config = joeynmt.training_config(name, place, MODELS[name].rates["JoeyNMT"], goal.limit, every=goal.every)
    config["data"]["dev"] = str(place.data / "val")
    arguments = joeynmt.training_arguments(config, place)
    return learned([python, "-c", WATCH_JOEYNMT, str(goal.perplexity), *arguments], place, goal)


def learn_eole(name: str, place: Place, goal: Goal, *, python: str) -> Learned:
    config = eole.training_config(place.folder / "whole", MODELS[name].rates["eole"], goal.limit, every=goal.every)
    arguments = eole.training_arguments(config, place)
    return learned([python, "-c", WATCH_EOLE, str(goal.perplexity), *arguments], place, goal)


def learned(command: list[str], place: Place, goal: Goal) -> Learned:
    found = re.findall(r"^learned: (\S+) (\d+) (\S+)$", execute(command, place).text, re.MULTILINE)
    if not found:
        sys.exit(f"no validation in {goal.limit} updates: give --every a smaller number")
    seconds, steps, perplexity = found[-1]
    return Learned(float(seconds), int(steps), float(perplexity), float(perplexity) <= goal.perplexity)


def compare_learning(
    models: dict[str, Model],
    pythons: dict[str, str],
    place: Place,
    goals: dict[str, Goal],
    kept: Kept[Learned],
    *,
    rounds: int,
) -> None:
    """Print a table with a row a model, peer and setting of ours."""
    print(f"seconds until the validation set has a perplexity, median of {rounds} runs;")
    print(f"{processor()}, {place.threads} threads; > : not reached when it was given up\n")
    print(
        "| model | goal | peer | ours | seconds | updates | perplexity | its seconds | updates | perplexity | ratio |"
    )
    print(f"{'|---' * 11}|", flush=True)
    for name, model in models.items():
        goal = goals[name]
        for peer in (peer for peer in pythons if peer in model.rates):
            rate, learn = model.rates[peer], learn_eole if peer == "eole" else learn_joeynmt
            overrides = [*model.overrides, *(NORM_FIRST if peer == "eole" else [])]
            settings = {"float32": overrides}
            if best := best_setting():
                settings[" ".join(best)] = [*overrides, *best]
            ours: dict[str, list[Learned]] = {setting: [] for setting in settings}
            theirs = []
            for i in range(rounds):
                what = {"model": name, "peer": peer, "threads": place.threads, "round": i + 1, **goal._asdict()}
                for setting, changed in settings.items():
                    run = partial(learn_ours, changed, rate, place, goal)
                    ours[setting].append(kept.once({**what, "ours": setting}, run))
                theirs.append(kept.once(what, partial(learn, name, place, goal, python=pythons[peer])))
            slow = statistics.median_low(theirs)
            for setting, runs in ours.items():
                fast = statistics.median_low(runs)
                ratio = f"{slow.seconds / fast.seconds:.2f}" if fast.reached and slow.reached else "–"
                figures = f"{describe(fast)} | {describe(slow)} | {ratio}"
                print(f"| {name} | {goal.perplexity:g} | {peer} | {setting} | {figures} |", flush=True)


def describe(run: Learned) -> str:
    return f"{'' if run.reached else '> '}{run.seconds:,.1f} | {run.steps:,} | {run.perplexity:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    names = ", ".join(f"{name} (to {model.perplexity:g})" for name, model in MODELS.items())
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="MODEL", help=f"{names}; default: all")
    parser.add_argument("--perplexity", type=float, help="to be reached; default: that of each model")
    parser.add_argument("--every", type=above_0, default=100, help="updates between validations (%(default)s)")
    parser.add_argument("--limit", type=above_0, default=6000, help="updates at which to give up (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=1, help="runs of each side, in turns (%(default)s)")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="keeps each run that has ended, for the next call of the same command",
    )
    options = parser.parse_args()
    pythons = interpreters(parser, options)
    models = models_to_compare(parser, options.models, pythons)
    goals = {
        name: Goal(options.perplexity or model.perplexity, options.every, options.limit)
        for name, model in models.items()
    }
    kept = Kept(options.results, Learned)
    with prepared(options.data, threads=options.threads, peers=pythons) as place:
        compare_learning(models, pythons, place, goals, kept, rounds=options.rounds)


if __name__ == "__main__":
    main()
