"""Training beside JoeyNMT 2.3 and eole 0.6.4: real target tokens a second and peak memory.

All train the same models on the tokenised Multi30k with the same dropout and batches (`peers/models.py`), in turns,
ours once for each peer; the table shows medians, and ours twice: in float32 as the peers, and with the setting that is
fastest here and keeps the loss curve, where that is another: `trainer.precision=auto` says which. What is fast depends
on the processor, so the table names it. Another kind can be imitated: ATEN_CPU_CAPABILITY=avx2,
ONEDNN_MAX_CPU_ISA=AVX2 and MKL_ENABLE_INSTRUCTIONS=AVX2 in the environment make all sides one with AVX2 alone.

Tokens are target pieces with EOS, without padding and BOS: so do all three count. Of JoeyNMT it is the figure that it
logs; eole logs a figure a step, which are added up but for the first, in whose time it reads and sorts its data. Memory
is the peak resident set of the process, in MiB (of its largest child where it has any, and never below that of this
script, from which it starts). "loss" is what each of our settings has at its last step, on the same batches.

    python3 -m venv joeynmt
    joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python3 -m venv eole
    eole/bin/pip install torch==2.13.0 eole==0.6.4 aiohttp
    python scripts/benchmark_training.py --joeynmt joeynmt/bin/python --eole eole/bin/python --data multi30k/tokenized
"""

import argparse
import json
import re
import statistics
import sys
from typing import NamedTuple

from arguments import above_0
from peers import eole, joeynmt
from peers.comparison import add_options, interpreters, models_to_compare, prepared
from peers.models import MODELS, NOAM, NORM_FIRST, NOT_VALIDATED, QUICK, Model, best_setting, our_command
from peers.place import Place, execute, processor

from seq2seq.comparison.curves import read_curves


class Run(NamedTuple):
    parameters: int
    tokens_per_second: float
    mebibytes: float
    loss: float = float("nan")


def train_ours(overrides: list[str], place: Place, steps: int) -> Run:
    """Train with the public command."""
    run = place.folder / "ours"
    command = [sys.executable, "-m", "seq2seq", *our_command(overrides, place, run, steps)]
    log = execute([*command, *NOT_VALIDATED, f"trainer.log_every_n_steps={steps}"], place)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = read_curves(run).scalars.get("train/loss")
    speed = metrics["train/target_tokens_per_second"]
    return Run(metrics["parameters"], speed, log.mebibytes, losses.values[-1] if losses else float("nan"))


def train_joeynmt(name: str, place: Place, *, python: str, steps: int) -> Run:
    """Train with the peer's command; it logs real target tokens a second, over all its steps when told to log once."""
    config = joeynmt.training_config(name, place, QUICK, steps, every=steps)
    config["training"]["validation_freq"] = 100_000 * steps  # never; JoeyNMT wants a multiple of logging_freq
    log = execute([python, "-m", "joeynmt", *joeynmt.training_arguments(config, place)], place)
    (parameters,) = re.findall(r"Total params: (\d+)", log.text)
    (speed,) = re.findall(r"Tokens per Sec: +(\d+)", log.text)
    return Run(int(parameters), float(speed), log.mebibytes)


def train_eole(place: Place, *, python: str, steps: int) -> Run:
    """Train with the peer's command, one step more than measured."""
    config = eole.training_config(place.folder / "val", NOAM, steps + 1, every=100_000)
    log = execute([python, "-m", "eole.bin.main", *eole.training_arguments(config, place)], place)
    (parameters,) = re.findall(r"number of parameters: (\d+)", log.text)
    found = re.findall(r"bsz: +\d+/ *(\d+)/ *\d+; +\d+/ *(\d+) tok/s", log.text)[1:]
    counts, speeds = ([float(step[i]) for step in found] for i in (0, 1))
    seconds = sum(count / speed for count, speed in zip(counts, speeds, strict=True))
    return Run(int(parameters), sum(counts) / seconds, log.mebibytes)


def compare_speed(models: dict[str, Model], pythons: dict[str, str], place: Place, *, steps: int, rounds: int) -> None:
    """Print a table with a row a model and peer."""
    best = best_setting()
    settings = [[], best] if best else [[]]
    print(f"{processor()}: {steps} updates, {place.threads} threads, median of {rounds} runs; all float32", end="")
    print(f" but for our best setting, {' '.join(best)}\n" if best else ", which is also our best setting\n")
    print("| model | peer | parameters | its | tokens/s | its | ratio | best | ratio | MiB | its | best |")
    print(f"{'|---' * 12}|", flush=True)
    notes = []
    for name, model in models.items():
        for peer in (peer for peer in pythons if peer in model.rates):
            overrides = [*model.overrides, *(NORM_FIRST if peer == "eole" else [])]
            runs = []
            for _ in range(rounds):
                ours = [train_ours([*overrides, *setting], place, steps) for setting in settings]
                if peer == "eole":
                    theirs = train_eole(place, python=pythons[peer], steps=steps)
                else:
                    theirs = train_joeynmt(name, place, python=pythons[peer], steps=steps)
                runs.append((theirs, *ours))
            peers, exact, *others = (median(list(side)) for side in zip(*runs, strict=True))
            parameters = f"{exact.parameters:,} | {peers.parameters:,}"
            speeds = f"{exact.tokens_per_second:,.0f} | {peers.tokens_per_second:,.0f}"
            ratio = f"{exact.tokens_per_second / peers.tokens_per_second:.2f}"
            second, memory = "– | –", f"{exact.mebibytes:,.0f} | {peers.mebibytes:,.0f}"
            notes.append(f"loss of {name}, {peer}: {exact.loss:.3f} in float32")
            for run in others:
                second = f"{run.tokens_per_second:,.0f} | {run.tokens_per_second / peers.tokens_per_second:.2f}"
                notes[-1] += f", {run.loss:.3f} with the best setting"
            memory += f" | {others[0].mebibytes:,.0f}" if others else " | –"
            print(f"| {name} | {peer} | {parameters} | {speeds} | {ratio} | {second} | {memory} |", flush=True)
    print("", *notes, sep="\n")


def median(runs: list[Run]) -> Run:
    """Return the median of each figure."""
    parameters, *figures = zip(*runs, strict=True)
    return Run(parameters[0], *map(statistics.median, figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="MODEL", help=f"{', '.join(MODELS)} (all)")
    parser.add_argument("--steps", type=above_0, default=40, help="updates a run (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=3, help="runs of each side, in turns (%(default)s)")
    options = parser.parse_args()
    pythons = interpreters(parser, options)
    models = models_to_compare(parser, options.models, pythons)
    with prepared(options.data, threads=options.threads, peers=pythons) as place:
        compare_speed(models, pythons, place, steps=options.steps, rounds=options.rounds)


if __name__ == "__main__":
    main()
