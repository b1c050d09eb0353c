"""Programs that translate the same lines with the same weights, a pass at a time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import ctranslate2

from peers.kinds import MAX_LENGTH, Kind
from seq2seq.build import build_search
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.requests import requests_of
from seq2seq.decoding.translator import Translator
from seq2seq.export.ctranslate2 import save
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults


class Work(NamedTuple):
    """What a pass translates."""

    kind: str
    lines: list[str]
    beginnings: list[str] | None  # of the translations
    number: int  # of the pass: another one draws other samples


class Pass(NamedTuple):
    """All lines once."""

    seconds: float
    cpu_seconds: float
    translations: list[str]


Translate = Callable[[Work], Pass]

# What the peers' processes run: a part of their own that defines `translate(kind, lines, beginnings)`, between these.
BEFORE = """
import json, os, sys, time
import torch
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # the peers' logs go to standard output
with open("settings.json", encoding="utf-8") as file:
    settings = json.load(file)
torch.set_num_threads(settings["threads"])
torch.manual_seed(1)
"""
AFTER = """
for line in sys.stdin:  # a line, a pass
    begin, cpu = time.perf_counter(), time.process_time()
    translations = translate(*json.loads(line)[:3])
    took = [time.perf_counter() - begin, time.process_time() - cpu]
    print(json.dumps([*took, translations]), file=answers, flush=True)
"""


@contextmanager
def peer(python: str, driver: str, settings: dict[str, Any], folder: Path) -> Iterator[Translate]:
    """Yield what has a process of another environment translate; it ends with the context."""
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

        def translate(work: Work) -> Pass:
            with suppress(BrokenPipeError):
                asks.write(json.dumps(work) + "\n")
                asks.flush()
            answer = answers.readline()
            if not answer:
                sys.exit(f"{' '.join(command)}\nfailed:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            return Pass(*json.loads(answer))

        yield translate


def timed(translate: Callable[[], list[str]]) -> Pass:
    """Translate, and note how long it took this process."""
    begin, cpu = time.perf_counter(), time.process_time()
    translations = translate()
    return Pass(time.perf_counter() - begin, time.process_time() - cpu, translations)


def own_search(model: EncoderDecoder, tokenizers: Tokenizers, kinds: dict[str, Kind], *, tokens: int) -> Translate:
    """Return what translates with the model's own searches."""
    translator = Translator(model, tokenizers, tokens_per_batch=tokens, max_length=MAX_LENGTH)

    def translate(work: Work) -> Pass:
        kind = kinds[work.kind]
        seed = [f"search.seed={work.number}"] if kind.drawn else []
        search = build_search(compose_defaults("translate", [*kind.here, *seed]).search)

        def found() -> list[str]:
            begun, requests = work.beginnings, None
            if begun is not None:
                requests = requests_of(tokenizers.target, search=search, prefixes=begun)
            return [found[0].text for found in translator.translate(work.lines, search, requests=requests)]

        return timed(found)

    return translate


def ctranslate2_search(
    model: EncoderDecoder,
    checkpoint: Checkpoint,
    tokenizers: Tokenizers,
    kinds: dict[str, Kind],
    folder: Path,
    *,
    tokens: int,
    threads: int,
) -> Translate:
    """Return what translates with CTranslate2, in this process."""
    save(model, checkpoint, tokenizers, folder)
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=threads)
    source, target = tokenizers
    ids = {piece: i for i, piece in enumerate(target.pieces(range(len(target))))}

    def translate(work: Work) -> Pass:
        ctranslate2.set_random_seed(work.number)
        return timed(lambda: translated(work))

    def translated(work: Work) -> list[str]:
        begun = work.beginnings
        found = translator.translate_batch(
            [source.pieces(source.encode(line)) for line in work.lines],
            None if begun is None else [target.pieces(target.encode(text)) for text in begun],
            length_penalty=1,
            min_decoding_length=0,
            max_decoding_length=MAX_LENGTH,
            max_batch_size=tokens,
            batch_type="tokens",
            suppress_sequences=[["<pad>"], ["<s>"]],
            **kinds[work.kind].ctranslate2 or {},
        )
        return [target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in found]

    return translate
