"""What fewer bits gain and lose: size, BLEU, chrF and speed of one Transformer, with CTranslate2 and here.

The checkpoint is exported with each quantization and translates the same lines, in turns: one pass each, again and
again; the table shows medians of processor time, since other work may share the machine. Our own search has its weights
in float32 and in bfloat16. BLEU is sacreBLEU's on words as they stand.

    python scripts/quantization_table.py --checkpoint outputs/.../best.ckpt --source test.en --target test.de
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import ctranslate2
import torch
from arguments import above_0, mistakes_in_a_line
from peers.decoding import Pass, Work, own_search, timed
from peers.kinds import kinds
from peers.place import processor

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.evaluation.metrics import score_translations
from seq2seq.export.ctranslate2 import save

KINDS = ("float32", "int8", "int16", "bfloat16")
"""What is compared. What a processor does not compute fast, CTranslate2 turns into another when it loads the model."""

OWN = ("float32", "bfloat16")
"""What our own search is compared in: `precision=` of `seq2seq translate`."""

TOKENS = 4096
"""Padded source tokens a batch."""


def translated(folder: Path, tokenizers: Tokenizers, lines: list[str], *, beam: int, threads: int) -> tuple[Pass, str]:
    """Translate all lines, after a few that warm up; also return what CTranslate2 computes in on this device.

    No other translator is open: they would wait for each other.
    """
    translator = ctranslate2.Translator(str(folder), compute_type="default", intra_threads=threads)
    pieces = [tokenizers.source.pieces(tokenizers.source.encode(line)) for line in lines]
    ids = {piece: i for i, piece in enumerate(tokenizers.target.pieces(range(len(tokenizers.target))))}
    options: dict[str, object] = {
        "beam_size": beam,
        "length_penalty": 1,
        "min_decoding_length": 0,
        "max_batch_size": TOKENS,
    }
    options |= {"batch_type": "tokens", "suppress_sequences": [["<pad>"], ["<s>"]]}
    translator.translate_batch(pieces[:5], **options)

    def found() -> list[str]:
        results = translator.translate_batch(pieces, **options)
        return [tokenizers.target.decode([ids[piece] for piece in result.hypotheses[0]]) for result in results]

    return timed(found), translator.compute_type


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a Transformer")
    parser.add_argument("--source", required=True, help="a sentence a line")
    parser.add_argument("--target", required=True, help="its translations")
    parser.add_argument("--beam", type=above_0, default=5, help="hypotheses a sentence (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=3, help="passes of each kind, in turns (%(default)s)")
    parser.add_argument("--threads", type=above_0, default=1, help="CPU threads (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint = read_checkpoint(options.checkpoint)
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    lines, references = (list(read_lines(path)) for path in (options.source, options.target))
    megabytes: dict[str, float] = {}
    passes: dict[str, list[Pass]] = {}
    computed_in: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:
            folder = Path(place) / kind
            folder.mkdir()
            save(model, checkpoint, tokenizers, folder, quantization=kind)
            megabytes[f"CTranslate2, {kind}"] = (folder / "model.bin").stat().st_size / 1e6
        own = {}
        for kind in OWN:
            mine = load_model(checkpoint, torch.device("cpu"))[0].to(getattr(torch, kind))
            own[f"here, {kind}"] = own_search(mine, tokenizers, kinds(options.beam), tokens=TOKENS)
            size = sum(weight.numel() * weight.element_size() for weight in mine.parameters())
            megabytes[f"here, {kind}"], computed_in[f"here, {kind}"] = size / 1e6, kind
        for _ in range(options.rounds):
            for name, translate in own.items():
                translate(Work("beam", lines[:5], None, 1))
                passes.setdefault(name, []).append(translate(Work("beam", lines, None, 1)))
            for kind in KINDS:
                search = {"beam": options.beam, "threads": options.threads}
                name = f"CTranslate2, {kind}"
                one, computed_in[name] = translated(Path(place) / kind, tokenizers, lines, **search)
                passes.setdefault(name, []).append(one)
    passes_of = f"beam {options.beam}, {options.threads} threads, {options.rounds} passes"
    print(f"{processor()}; {len(lines)} sentences, {passes_of}\n")
    print("| weights | computes in | MB | BLEU | chrF | sentences a CPU second | lowest, highest | differ |")
    print("|---|---|---|---|---|---|---|---|")
    whole = passes["here, float32"][-1].translations
    for name, some in passes.items():
        said = some[-1].translations
        scores = score_translations(said, references, tokenize="none", with_ter=False)
        seconds = [one.cpu_seconds for one in some]
        speed, slowest, fastest = (len(lines) / of(seconds) for of in (statistics.median, max, min))
        differ = sum(ours.split() != theirs.split() for ours, theirs in zip(whole, said, strict=True))
        row = f"{megabytes[name]:.2f} | {scores.bleu:.1f} | {scores.chrf:.1f} | {speed:.1f}"
        print(f"| {name} | {computed_in[name]} | {row} | {slowest:.1f} to {fastest:.1f} | {differ} |")


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
