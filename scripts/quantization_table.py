"""What CTranslate2 gains and loses in fewer bits: size on disk, BLEU and sentences a second of one Transformer.

The checkpoint is exported with each quantization and translates the same lines, in turns: one pass each, again and
again; the table shows medians, without the first pass, which warms up. BLEU is sacreBLEU's on words as they stand.

    python scripts/quantization_table.py --checkpoint outputs/.../best.ckpt --source test.en --target test.de
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
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.export.ctranslate2 import save

KINDS = ("float32", "int16", "int8", "bfloat16")


def translated(
    translator: ctranslate2.Translator, tokenizers: Tokenizers, lines: list[str], *, beam: int
) -> tuple[float, list[str]]:
    """Return the seconds of a pass over all lines, and the translations."""
    begin = time.perf_counter()
    found = translator.translate_batch(
        [tokenizers.source.pieces(tokenizers.source.encode(line)) for line in lines],
        beam_size=beam, length_penalty=1, min_decoding_length=0, max_batch_size=4096, batch_type="tokens",
        suppress_sequences=[["<pad>"], ["<s>"]],
    )  # fmt: skip
    ids = {piece: i for i, piece in enumerate(tokenizers.target.pieces(range(len(tokenizers.target))))}
    said = [tokenizers.target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in found]
    return time.perf_counter() - begin, said


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
    with tempfile.TemporaryDirectory() as place:
        translators, sizes = {}, {}
        for kind in KINDS:
            folder = Path(place) / kind
            folder.mkdir()
            save(model, checkpoint, tokenizers, folder, quantization=kind)
            sizes[kind] = (folder / "model.bin").stat().st_size
            translators[kind] = ctranslate2.Translator(
                str(folder), compute_type="default", intra_threads=options.threads
            )
        passes = {kind: [translated(translators[kind], tokenizers, lines, beam=options.beam)] for kind in KINDS}
        for _ in range(options.rounds):
            for kind, some in passes.items():
                some.append(translated(translators[kind], tokenizers, lines, beam=options.beam))
    metric = bleu_metric("none", lowercase=False)
    print(f"{len(lines)} sentences, beam {options.beam}, {options.threads} threads, {options.rounds} passes\n")
    print("| quantization | computes in | MB | BLEU | sentences/s | translations that differ |")
    print("|---|---|---|---|---|---|")
    whole = passes["float32"][-1][1]
    for kind, some in passes.items():
        said = some[-1][1]
        speed = len(lines) / statistics.median(seconds for seconds, _ in some[1:])
        differ = sum(ours != theirs for ours, theirs in zip(whole, said, strict=True))
        bleu = metric.corpus_score(said, [references]).score
        computes = translators[kind].compute_type
        print(f"| {kind} | {computes} | {sizes[kind] / 1e6:.2f} | {bleu:.1f} | {speed:.0f} | {differ} |")


if __name__ == "__main__":
    main()
