"""Misspell real overrides, and see whether each is refused with a line that names the key and something valid near.

A key, a choice or a value of the real configuration is taken at random and gets one or two slips of the finger: a
letter left out, doubled, replaced, or two swapped. What happens to be valid again is left out. Nothing is known here of
how overrides are checked: keys, and what their values look like, are read from the composed configuration.

    python scripts/fuzz_overrides.py --count 500
"""

import argparse
import contextlib
import difflib
import io
import re
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple
from unittest import mock

from arguments import above_0
from omegaconf import OmegaConf

from seq2seq.cli.keys.unknown_keys import keys
from seq2seq.cli.main import main as seq2seq
from seq2seq.cli.training import runs
from seq2seq.config_files import config_folder
from seq2seq.options import compose_defaults

BASES: tuple[list[str], ...] = (
    [],
    ["model=transformer"],
    ["data=text"],
    ["search=beam", "callbacks=ema"],
    ["scheduler=noam"],
)
FREE = (
    "label",
    "run_name",
    "output",
    "data.",
    "loader.cache_dir",
    "logger.",
    "folder",
    "filename",
    "dirpath",
    "resume",
)
"""Keys, or parts of them, whose values may be any text."""


class Slip(NamedTuple):
    """An override that is wrong, beside what was meant."""

    kind: str  # key, choice, number, truth value, word
    base: list[str]  # overrides that are right
    override: str
    meant: str  # the key or the value


def slip(word: str, random: Random) -> str:
    """Return a word with one or two slips of the finger."""
    for _ in range(random.choice((1, 1, 2))):
        i = random.randrange(len(word))
        letter = random.choice(string.ascii_lowercase)
        edits = [word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:], word[:i] + letter + word[i + 1 :]]
        if i + 1 < len(word):
            edits.append(word[:i] + word[i + 1] + word[i] + word[i + 2 :])
        word = random.choice(edits) or word
    return word


def slips(random: Random) -> Iterator[Slip]:
    """Yield wrong overrides without end."""
    groups = {
        folder.name: [file.stem for file in folder.glob("*.yaml")]
        for folder in config_folder().iterdir()
        if folder.is_dir()
    }
    known = {tuple(base): compose_defaults("train", base) for base in BASES}
    while True:
        base = random.choice(BASES)
        config = known[tuple(base)]
        names = keys(config)
        kind = random.choice(("key", "choice", "value"))
        if kind == "choice":
            group = random.choice(sorted(groups))
            choice = random.choice(groups[group])
            wrong = slip(choice, random)
            if wrong not in (*groups[group], "null"):
                yield Slip("choice", [], f"{group}={wrong}", choice)
            continue
        key = random.choice(names)
        value = OmegaConf.select(config, key, throw_on_missing=False)
        if kind == "key":
            wrong = slip(key, random)
            whole = value if value is not None and not OmegaConf.is_config(value) else "1"
            if wrong not in names and wrong not in groups and not wrong.startswith("hydra"):
                yield Slip("key", base, f"{wrong}={whole}", key)
            continue
        if value is None or OmegaConf.is_config(value) or any(part in key for part in FREE):
            continue
        wrong = slip(str(value), random)
        if isinstance(value, bool):
            if wrong.lower() not in ("true", "false", "on", "off", "yes", "no", "y", "n", "null"):
                yield Slip("truth value", base, f"{key}={wrong}", key)
        elif isinstance(value, int | float):
            try:
                float(wrong)
            except ValueError:
                yield Slip("number", base, f"{key}={wrong}", key)
        elif wrong != value:
            yield Slip("word", base, f"{key}={wrong}", str(value))


class Accepted(Exception):
    """The override was taken for right."""


def answer(slip: Slip) -> str:
    """Return what the command says; it never trains."""
    said = io.StringIO()
    with (
        mock.patch.object(runs, "_run", side_effect=Accepted),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
        contextlib.chdir(tempfile.gettempdir()),
    ):
        status = seq2seq(["train", *slip.base, slip.override])
    return f"{said.getvalue().strip()} (exit {status})"


def fault(slip: Slip, said: str) -> str | None:
    """Return what is wrong with an answer. Near is what was meant, or what is as near to what was typed."""
    key = slip.override.partition("=")[0]
    if "Accepted" in said:
        return "accepted"
    if "Traceback" in said or "\n" in said or "(exit 1)" not in said:
        return "no single line"
    if key not in said:
        return "does not name the key"
    hint = re.search(r"did you mean (\S+)\?", said)
    wrong = slip.override if slip.kind == "word" else key
    near = [difflib.SequenceMatcher(None, word, wrong).ratio() for word in (hint[1] if hint else "", slip.meant)]
    return None if slip.meant in said or near[0] >= near[1] else "names nothing near"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=above_0, default=500, help="overrides (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    options = parser.parse_args()
    begin = time.perf_counter()
    tried: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for _, wrong in zip(range(options.count), slips(Random(options.seed)), strict=False):
        tried[wrong.kind] += 1
        said = answer(wrong)
        found = fault(wrong, said)
        if found:
            faults[found] += 1
            print(f"{found}: {' '.join([*wrong.base, wrong.override])} (meant {wrong.meant}): {said}")
    print(
        f"{sum(tried.values())} overrides in {time.perf_counter() - begin:.0f} s: {dict(tried)}; faults {dict(faults)}"
    )
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
