"""Decoding speed beside CTranslate2, with the same weights: sentences a second of wall time, and how many differ.

Both translate the same lines with the same beam, length penalty (the mean log-probability a token), float32, number of
threads and tokens a batch, in turns; the table shows medians. CTranslate2 is C++ without PyTorch: a limit, not a peer.

    seq2seq train experiment=multi30k_transformer_tiny data.root=DIR
    python scripts/benchmark_decoding.py --checkpoint outputs/.../best.ckpt --source DIR/test_2016_flickr.en
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import ctranslate2
import torch

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.decoding.search import BeamSearch, power_penalty
from seq2seq.decoding.translator import Translator
from seq2seq.export.ctranslate2 import save

MAX_LENGTH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a Transformer")
    parser.add_argument("--source", required=True, help="a sentence a line")
    parser.add_argument("--beam", type=int, default=5, help="hypotheses a sentence (%(default)s)")
    parser.add_argument("--tokens", type=int, default=4096, help="padded source tokens a batch (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each side, in turns (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    checkpoint = read_checkpoint(options.checkpoint)
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    lines = list(read_lines(options.source))
    ours = Translator(model, tokenizers, tokens_per_batch=options.tokens, max_length=MAX_LENGTH)
    search = BeamSearch(
        beam_size=options.beam, n_best=1, max_length=MAX_LENGTH, max_ratio=3.0, length_penalty=power_penalty(1.0)
    )
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        save(model, checkpoint, tokenizers, Path(folder))
        theirs = ctranslate2.Translator(folder, compute_type="float32", intra_threads=options.threads)

    def translate_here() -> list[str]:
        return [found[0].text for found in ours.translate(lines, search)]

    def translate_there() -> list[str]:
        found = theirs.translate_batch(
            [tokenizers.source.pieces(tokenizers.source.encode(line)) for line in lines],
            beam_size=options.beam,
            length_penalty=1,
            min_decoding_length=0,
            max_decoding_length=MAX_LENGTH,
            max_batch_size=options.tokens,
            batch_type="tokens",
            suppress_sequences=[["<pad>"], ["<s>"]],
        )
        ids = {piece: i for i, piece in enumerate(tokenizers.target.pieces(range(len(tokenizers.target))))}
        return [tokenizers.target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in found]

    times: dict[str, list[float]] = {"here": [], "CTranslate2": []}
    said: dict[str, list[str]] = {}
    for _ in range(options.rounds + 1):
        for name, translate in (("here", translate_here), ("CTranslate2", translate_there)):
            begin = time.perf_counter()
            said[name] = translate()
            times[name].append(time.perf_counter() - begin)
    # The first pass warms up.
    speeds = {name: len(lines) / statistics.median(seconds[1:]) for name, seconds in times.items()}
    differ = sum(one != other for one, other in zip(*said.values(), strict=True))
    print(
        f"{len(lines)} sentences, beam {options.beam}, {options.threads} threads, median of {options.rounds} passes\n"
    )
    print("| here, sentences/s | CTranslate2 | ratio | translations that differ |")
    print("|---|---|---|---|")
    here, there = speeds.values()
    print(f"| {here:.0f} | {there:.0f} | {here / there:.2f} | {differ} |")


if __name__ == "__main__":
    main()
