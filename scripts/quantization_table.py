"""What CTranslate2 gains and loses in fewer bits: size on disk, BLEU and sentences a second of one Transformer.

The checkpoint is exported with each quantization and translates the same lines, in turns: one pass each, again and
again; the table shows medians. BLEU is sacreBLEU's on words as they stand.

    python scripts/quantization_table.py --checkpoint outputs/.../best.ckpt --source test.en --target test.de
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import ctranslate2
import torch
from sacrebleu.metrics import BLEU

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.export.ctranslate2 import save

KINDS = ("float32", "int8", "int16", "bfloat16")
"""What is compared. What a processor does not compute fast, CTranslate2 turns into another when it loads the model."""


class Pass(NamedTuple):
    """All lines once."""

    seconds: float
    translations: list[str]
    compute_type: str  # what CTranslate2 computes in on this device


def translated(folder: Path, tokenizers: Tokenizers, lines: list[str], *, beam: int, threads: int) -> Pass:
    """Translate all lines, after a few that warm up. No other translator is open: they would wait for each other."""
    translator = ctranslate2.Translator(str(folder), compute_type="default", intra_threads=threads)
    pieces = [tokenizers.source.pieces(tokenizers.source.encode(line)) for line in lines]
    options: dict[str, object] = {
        "beam_size": beam,
        "length_penalty": 1,
        "min_decoding_length": 0,
        "max_batch_size": 4096,
    }
    options |= {"batch_type": "tokens", "suppress_sequences": [["<pad>"], ["<s>"]]}
    translator.translate_batch(pieces[:5], **options)
    begin = time.perf_counter()
    found = translator.translate_batch(pieces, **options)
    seconds = time.perf_counter() - begin
    ids = {piece: i for i, piece in enumerate(tokenizers.target.pieces(range(len(tokenizers.target))))}
    said = [tokenizers.target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in found]
    return Pass(seconds, said, translator.compute_type)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a Transformer")
    parser.add_argument("--source", required=True, help="a sentence a line")
    parser.add_argument("--target", required=True, help="its translations")
    parser.add_argument("--beam", type=int, default=5, help="hypotheses a sentence (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each kind, in turns (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    options = parser.parse_args()
    checkpoint = read_checkpoint(options.checkpoint)
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    lines, references = (list(read_lines(path)) for path in (options.source, options.target))
    sizes: dict[str, int] = {}
    passes: dict[str, list[Pass]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:
            folder = Path(place) / kind
            folder.mkdir()
            save(model, checkpoint, tokenizers, folder, quantization=kind)
            sizes[kind] = (folder / "model.bin").stat().st_size
        for _ in range(options.rounds):
            for kind, some in passes.items():
                search = {"beam": options.beam, "threads": options.threads}
                some.append(translated(Path(place) / kind, tokenizers, lines, **search))
    metric = BLEU(tokenize="none", force=True)  # it warns of text whose words are set apart
    print(f"{len(lines)} sentences, beam {options.beam}, {options.threads} threads, {options.rounds} passes\n")
    print("| quantization | computes in | MB | BLEU | sentences/s | translations that differ |")
    print("|---|---|---|---|---|---|")
    whole = passes["float32"][-1].translations
    for kind, some in passes.items():
        said = some[-1].translations
        speed = len(lines) / statistics.median(one.seconds for one in some)
        differ = sum(ours != theirs for ours, theirs in zip(whole, said, strict=True))
        bleu = metric.corpus_score(said, [references]).score
        row = f"{sizes[kind] / 1e6:.2f} | {bleu:.1f} | {speed:.0f} | {differ}"
        print(f"| {kind} | {some[-1].compute_type} | {row} |")


if __name__ == "__main__":
    main()
