"""Decoding speed beside CTranslate2, JoeyNMT 2.3 and eole 0.6, with the same weights: sentences a second of wall time.

All translate the same lines with the weights of one Transformer, in float32, with the same beam, number of threads and
about as many tokens a batch, in turns: one pass each, again and again; the table shows medians. CTranslate2 is C++
without PyTorch: a limit, not a peer. JoeyNMT and eole are asked for with their interpreters; each runs as a process
that reads the converted weights, waits for its turn, and times its passes itself: text to pieces, search, pieces to
text. The first pass of each, which warms up, is left out.

What is a program's own stays. JoeyNMT ranks by Wu's penalty (alpha 1, the nearest that it has) instead of the mean
log-probability a token, fills batches with lines as they come, and stops at 1.5 times the longest source of a batch:
allowed 256 tokens like the others it would be several times slower. eole ends a search as soon as the best hypothesis
has ended; asked for as many translations as the beam holds, `n_best`, it goes on until as many have ended, as is done
here. `translations that differ` counts what comes of all that, and would show weights that were not the same: with
`--beam 1` next to none differ.

    python3 -m venv joeynmt
    joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python3 -m venv eole
    eole/bin/pip install torch==2.13.0 eole==0.6.4 aiohttp
    seq2seq train experiment=multi30k_transformer_tiny data.root=DIR
    python scripts/benchmark_decoding.py --checkpoint outputs/.../best.ckpt --source DIR/test_2016_flickr.en \\
        --joeynmt joeynmt/bin/python --eole eole/bin/python
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ctranslate2
import torch
from peers import eole, joeynmt
from peers.comparison import interpreter
from peers.weights import MAX_LENGTH, MAX_RATIO, shapes

from seq2seq.build import load_model
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.search import BeamSearch, power_penalty
from seq2seq.decoding.translator import Translator
from seq2seq.export.ctranslate2 import save
from seq2seq.models import EncoderDecoder


class Pass(NamedTuple):
    """All lines once."""

    seconds: float
    translations: list[str]


Translate = Callable[[], Pass]

# What the peers' processes run: a part of their own that defines `translate(lines)`, between these two.
BEFORE = """
import json, os, sys, time
import torch
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # the peers' logs go to standard output
with open("settings.json", encoding="utf-8") as file:
    settings = json.load(file)
torch.set_num_threads(settings["threads"])
"""
AFTER = """
for _ in sys.stdin:  # a line, a pass
    begin = time.perf_counter()
    translations = translate(settings["lines"])
    print(json.dumps([time.perf_counter() - begin, translations]), file=answers, flush=True)
"""


@contextmanager
def peer(python: str, driver: str, settings: dict[str, Any], folder: Path) -> Iterator[Translate]:
    """Yield what has a process of another environment translate all lines; it ends with the context."""
    (folder / "driver.py").write_text(BEFORE + driver + AFTER, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [python, "-I", "driver.py"]
    environment = os.environ | {"OMP_NUM_THREADS": str(settings["threads"])}
    pipe, log = subprocess.PIPE, folder / "log.txt"
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=errors, encoding="utf-8"
        ) as process,
    ):
        asks, answers = process.stdin, process.stdout
        assert asks is not None and answers is not None

        def translate() -> Pass:
            with suppress(BrokenPipeError):
                asks.write("\n")
                asks.flush()
            answer = answers.readline()
            if not answer:
                sys.exit(f"{' '.join(command)}\nfailed:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            return Pass(*json.loads(answer))

        yield translate


def timed(translate: Callable[[], list[str]]) -> Translate:
    def run() -> Pass:
        begin = time.perf_counter()
        translations = translate()
        return Pass(time.perf_counter() - begin, translations)

    return run


def own_search(model: EncoderDecoder, tokenizers: Tokenizers, lines: list[str], *, beam: int, tokens: int) -> Translate:
    """Return what translates with the model's own search."""
    translator = Translator(model, tokenizers, tokens_per_batch=tokens, max_length=MAX_LENGTH)
    search = BeamSearch(
        beam_size=beam, n_best=1, max_length=MAX_LENGTH, max_ratio=MAX_RATIO, length_penalty=power_penalty(1.0)
    )
    return timed(lambda: [found[0].text for found in translator.translate(lines, search)])


def ctranslate2_search(
    model: EncoderDecoder,
    checkpoint: Checkpoint,
    tokenizers: Tokenizers,
    lines: list[str],
    folder: Path,
    *,
    beam: int,
    tokens: int,
    threads: int,
) -> Translate:
    """Return what translates with CTranslate2, in this process."""
    save(model, checkpoint, tokenizers, folder)
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=threads)

    def translate() -> list[str]:
        found = translator.translate_batch(
            [tokenizers.source.pieces(tokenizers.source.encode(line)) for line in lines],
            beam_size=beam,
            length_penalty=1,
            min_decoding_length=0,
            max_decoding_length=MAX_LENGTH,
            max_batch_size=tokens,
            batch_type="tokens",
            suppress_sequences=[["<pad>"], ["<s>"]],
        )
        ids = {piece: i for i, piece in enumerate(tokenizers.target.pieces(range(len(tokenizers.target))))}
        return [tokenizers.target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in found]

    return timed(translate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a Transformer")
    parser.add_argument("--source", required=True, help="a sentence a line")
    parser.add_argument("--joeynmt", metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument("--eole", metavar="PYTHON", help="interpreter of an environment with eole")
    parser.add_argument("--beam", type=int, default=5, help="hypotheses a sentence (%(default)s)")
    parser.add_argument("--tokens", type=int, default=4096, help="padded source tokens a batch (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each side, in turns (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    checkpoint = read_checkpoint(options.checkpoint)
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    lines = [line for line in read_lines(options.source) if line.strip()]  # JoeyNMT takes no empty ones
    search = {"beam": options.beam, "tokens": options.tokens}
    with ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        sides = {
            "here": own_search(model, tokenizers, lines, **search),
            "CTranslate2": ctranslate2_search(
                model, checkpoint, tokenizers, lines, folder(), threads=options.threads, **search
            ),
        }
        all_ended = partial(eole.converted, n_best=options.beam)
        for name, given, driver, convert in (
            ("JoeyNMT", options.joeynmt, joeynmt.TRANSLATE, joeynmt.converted),
            ("eole", options.eole, eole.TRANSLATE, eole.converted),
            (f"eole, n_best={options.beam}", options.eole, eole.TRANSLATE, all_ended),
        ):
            if given is None or name == "eole, n_best=1":  # which is the row before
                continue
            place = folder()
            settings = {
                "config": convert(model, tokenizers, place, **search),
                "epsilon": shapes(model)[0].epsilon,
                "lines": lines,
                "threads": options.threads,
            }
            sides[name] = stack.enter_context(peer(interpreter(parser, given), driver, settings, place))
        passes: dict[str, list[Pass]] = {name: [] for name in sides}
        for _ in range(options.rounds + 1):
            for name, translate in sides.items():
                passes[name].append(translate())

    # The first pass warms up.
    speeds = {name: len(lines) / statistics.median(one.seconds for one in some[1:]) for name, some in passes.items()}
    # Not by spaces: programs differ in how many stand around an unknown token.
    said = {name: [text.split() for text in some[-1].translations] for name, some in passes.items()}
    print(
        f"{len(lines)} sentences, beam {options.beam}, {options.threads} threads, median of {options.rounds} passes\n"
    )
    print("| | sentences/s here | there | ratio | translations that differ |")
    print("|---|---|---|---|---|")
    for name in list(sides)[1:]:
        differ = sum(ours != theirs for ours, theirs in zip(said["here"], said[name], strict=True))
        row = f"{speeds['here']:.1f} | {speeds[name]:.1f} | {speeds['here'] / speeds[name]:.2f} | {differ}"
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    main()
