"""Sweep with Hydra's launchers and Optuna's sweeper, installed into a throw-away environment; check every run of it.

A run that a launcher spread has to have the scores of the same run alone, to the last digit. The environment sees the
packages of this one. Needs a package index; for the launcher of SLURM also what slurm_check.py needs, else it is left
out. A run is six steps of a tiny model, so most of the time goes to the start of the processes: all takes about four
minutes of one core.

    python scripts/launchers_check.py
    python scripts/launchers_check.py joblib optuna     # some of the checks
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from crash_test import write_text
from omegaconf import OmegaConf
from slurm_check import PROGRAMS, slurm
from two_hosts import Verdict, need, report

PLUGINS = """
hydra-joblib-launcher==1.2.0 hydra-submitit-launcher==1.2.0 hydra-optuna-sweeper==1.3.0 sqlalchemy<2
""".split()  # noqa: SIM905
"""With SQLAlchemy 2 the sweeper's Optuna, which is of 2022, cannot keep a study in a file."""

SMALL = """
data=text debug=limit model.d_model=16 tokenizer.vocab_size=300 callbacks.pinned=null search.max_length=10
scheduler.scheduler.warmup_steps=2
""".split()  # noqa: SIM905
SEEDS = [1, 2, 3, 4]
PATIENCE = 900
"""Seconds that a sweep may take."""


def environment(folder: Path) -> Path:
    """Make one that sees the packages of this one and this checkout, with the plugins; return its Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "seen.pth").write_text(f"{Path(__file__).parents[1]}\n{sysconfig.get_path('purelib')}\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", *PLUGINS]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cannot install {', '.join(PLUGINS)}: {done.stderr.strip().splitlines()[-1]}")
    return python


def sweep(python: Path, folder: Path, overrides: list[str]) -> list[Path]:
    """Train with --multirun in a folder of its own; return the runs that are whole."""
    folder.mkdir(exist_ok=True)
    command = [str(python), "-m", "seq2seq", "train", "--multirun", *overrides]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=alone, timeout=PATIENCE)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line]
        raise ValueError(f"exit {done.returncode}: {said[-1] if said else done.stderr[-300:]}")
    return [file.parent for file in sorted(folder.glob("outputs/text/*/*/metrics.json"))]


def metrics(run: Path) -> dict[str, float]:
    """Return the scores of a run, without what was measured in seconds or bytes."""
    found = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in found.items() if "second" not in name and name.count("train/") == 0}


def timed(check: Callable[[], Verdict]) -> Callable[[], Verdict]:
    """Let a check say how long it took."""

    def run() -> Verdict:
        begin = time.monotonic()
        passed, numbers = check()
        return Verdict(passed, f"{numbers}; {time.monotonic() - begin:.0f} s")

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["joblib", "submitit_local", "submitit_slurm", "optuna", "optuna-two", "optuna-stored"]
    parser.add_argument("checks", nargs="*", metavar="check", help=f"some of {', '.join(names)}; all by default")
    wanted = parser.parse_args().checks or names
    if unknown := set(wanted) - set(names):
        parser.error(f"{min(unknown)} is no check; there are {', '.join(names)}")
    need({}, root=False)
    with_slurm = "submitit_slurm" in wanted and os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))
    with tempfile.TemporaryDirectory(prefix="launchers-") as name:
        folder = Path(name)
        python = environment(folder / "environment")
        settings = [*SMALL, *write_text(folder, 1), f"loader.cache_dir={folder / 'cache'}"]
        seeds = f"seed={','.join(map(str, SEEDS))}"
        alone = {run["seed"]: run for run in map(metrics, sweep(python, folder / "alone", [*settings, seeds]))}

        def spread(name: str, *overrides: str) -> Verdict:
            runs = sweep(python, folder / name, [*settings, f"hydra/launcher={name}", seeds, *overrides])
            found = {run["seed"]: run for run in map(metrics, runs)}
            seconds = {run.name[:19] for run in runs}
            same = found == alone and len(runs) == len(SEEDS)
            return Verdict(
                same, f"{len(runs)} runs, {len(seconds)} different seconds, scores {'alike' if same else 'DIFFER'}"
            )

        def on_slurm() -> Verdict:
            if not with_slurm:
                return Verdict(True, f"left out: needs root and {', '.join(sorted(set(PROGRAMS.values())))}")
            return spread("submitit_slurm", "hydra.launcher.timeout_min=60")

        def search(name: str, objective: str, direction: str, *overrides: str) -> Verdict:
            place = ["hydra/sweeper=optuna", f"hydra.sweeper.direction={direction}", "hydra.sweeper.n_trials=4"]
            rates = [f"objective={objective}", "optimizer.lr=tag(log, interval(0.001, 0.1))"]
            runs = sweep(python, folder / name, [*settings, *place, *rates, *overrides])
            best = OmegaConf.load(folder / name / "outputs" / "optimization_results.yaml")
            if "solutions" in best:
                return Verdict(len(runs) == 4, f"{len(runs)} runs, {len(best.solutions)} best: {best.solutions[0]}")
            right = (max if direction == "maximize" else min)(metrics(run)[objective] for run in runs)
            return Verdict(
                len(runs) == 4 and best.best_value == right,
                f"{len(runs)} runs, best {objective} {best.best_value:.5f}, of all {right:.5f}, at {best.best_params}",
            )

        checks: dict[str, Callable[[], Verdict]] = {
            "joblib": lambda: spread("joblib", "hydra.launcher.n_jobs=2"),
            "submitit_local": lambda: spread("submitit_local", "hydra.launcher.timeout_min=60"),
            "submitit_slurm": on_slurm,
            "optuna": lambda: search("optuna", "val/chrf", "maximize"),
            "optuna-two": lambda: search("optuna-two", "[val/loss,parameters]", "[minimize,minimize]"),
            "optuna-stored": lambda: search(
                "optuna-stored", "val/loss", "minimize",
                "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2",
                "hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=rates",
            ),
        }  # fmt: skip
        with slurm(folder) if with_slurm else nullcontext():
            return report({name: timed(check) for name, check in checks.items() if name in wanted})


if __name__ == "__main__":
    sys.exit(main())
