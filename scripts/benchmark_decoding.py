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
import re
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
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.build import load_model
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizers
from seq2seq.decoding.search import BeamSearch, power_penalty
from seq2seq.decoding.translator import Translator
from seq2seq.export.ctranslate2 import save
from seq2seq.models import EncoderDecoder, TransformerDecoder, TransformerEncoder
from seq2seq.models.embedding import SinusoidalPositions

MAX_LENGTH = 256
MAX_RATIO = 3.0
PEER_POSITIONS = 5000
"""Rows of the table of positions that both peers keep among their weights."""

SPECIALS = {"unk": UNK, "pad": PAD, "bos": BOS, "eos": EOS}


class Pass(NamedTuple):
    """All lines once."""

    seconds: float
    translations: list[str]


Translate = Callable[[], Pass]


class Shape(NamedTuple):
    """What the peers' configurations say of an encoder or a decoder."""

    d_model: int
    d_feedforward: int
    num_layers: int
    num_heads: int
    norm_first: bool
    epsilon: float  # of every LayerNorm


# Names of weights here, as patterns that are replaced one after the other, and there.
JOEYNMT_NAMES = {
    r"^encoder\.embedding\.table": "src_embed.lut",
    r"^decoder\.embedding\.table": "trg_embed.lut",
    r"^(encoder.*)\.self_attention": r"\1.src_src_att",
    r"^(decoder.*)\.self_attention": r"\1.trg_trg_att",
    r"\.cross_attention": ".src_trg_att",
    r"_att\.([qkv])\w+": r"_att.\1_layer",
    r"_att\.output": "_att.output_layer",
    r"^(encoder.*)\.self_residual\.norm": r"\1.layer_norm",
    r"^(decoder.*)\.self_residual\.norm": r"\1.x_layer_norm",
    r"\.cross_residual\.norm": ".dec_layer_norm",
    r"\.feedforward_residual\.norm": ".feed_forward.layer_norm",
    r"\.feedforward\.": ".feed_forward.pwff_layer.",
    r"coder\.norm": "coder.layer_norm",
    r"^output": "decoder.output_layer",
}
EOLE_NAMES = {
    r"^encoder\.embedding\.table": "src_emb.embeddings",
    r"^decoder\.embedding\.table": "tgt_emb.embeddings",
    r"\.layers\.": ".transformer_layers.",
    r"\.self_attention\.": ".self_attn.",
    r"\.cross_attention\.": ".context_attn.",
    r"_attn\.query": "_attn.linear_query",
    r"_attn\.(key|value)": r"_attn.linear_\1s",
    r"_attn\.output": "_attn.final_linear",
    r"\.self_residual\.norm": ".input_layernorm",
    r"\.cross_residual\.norm": ".precontext_layernorm",
    r"\.feedforward_residual\.norm": ".post_attention_layernorm",
    r"\.feedforward\.0": ".mlp.gate_up_proj",
    r"\.feedforward\.3": ".mlp.down_proj",
    r"coder\.norm": "coder.layer_norm",
    r"^output": "generator",
}

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
JOEYNMT = """
from joeynmt.config import parse_global_args
from joeynmt.prediction import predict, prepare
args = parse_global_args(settings["config"], rank=0, mode="translate")
model, _, _, data = prepare(args, rank=0, mode="translate")
for module in model.modules():
    if isinstance(module, torch.nn.LayerNorm):
        module.eps = settings["epsilon"]  # JoeyNMT has no option for it
for line in settings["lines"]:
    data.set_item(line)
def translate(lines):
    return predict(model=model, data=data, device=args.device, n_gpu=0, args=args.test, autocast=args.autocast)[2]
"""
EOLE = """
from eole.config.run import PredictConfig
from eole.inference_engine import InferenceEnginePY
from sentencepiece import SentencePieceProcessor
source, target = (SentencePieceProcessor(model_file=f"{side}.model") for side in ("source", "target"))
engine = InferenceEnginePY(PredictConfig(**settings["config"]))
def translate(lines):
    pieces = source.encode(lines, out_type=str)
    _, _, found = engine.infer_list([" ".join([*line, "</s>"]) for line in pieces])
    return [target.decode(best[0].split()) for best in found]
"""
AFTER = """
for _ in sys.stdin:  # a line, a pass
    begin = time.perf_counter()
    translations = translate(settings["lines"])
    print(json.dumps([time.perf_counter() - begin, translations]), file=answers, flush=True)
"""


def shapes(model: EncoderDecoder) -> tuple[Shape, Shape]:
    """Return the shapes of the encoder and the decoder; end the program if the peers lack a part of them."""
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, TransformerEncoder) and isinstance(decoder, TransformerDecoder)  # or no export before
    return _shape(encoder, encoder.d_model), _shape(decoder, decoder.d_features)


def _shape(side: TransformerEncoder | TransformerDecoder, d_model: int) -> Shape:
    if not isinstance(side.embedding.positions, SinusoidalPositions):
        sys.exit("positions are copied to JoeyNMT and eole as sinusoidal ones alone: leave --joeynmt and --eole out")
    layer = side.layers[0]
    inner, residual = layer.feedforward[0], layer.self_residual
    assert isinstance(inner, nn.Linear)
    heads = layer.self_attention.num_heads
    return Shape(d_model, inner.out_features, len(side.layers), heads, residual.norm_first, residual.norm.eps)


def positions(d_model: int) -> Tensor:
    """Return the table (PEER_POSITIONS, d_model)."""
    return SinusoidalPositions(d_model)(torch.zeros(1, PEER_POSITIONS, d_model))


def renamed(model: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """Return copies of a model's weights under other names; a weight that is shared comes once for each name."""
    weights = {}
    for name, weight in model.state_dict().items():
        for here, there in names.items():
            name = re.sub(here, there, name)
        weights[name] = weight.clone()
    return weights


def write_tokenizers(tokenizers: Tokenizers, folder: Path) -> None:
    """Write SentencePiece models as source.model and target.model, and their pieces, a line each, as .txt."""
    for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        (folder / f"{side}.model").write_bytes(tokenizer.model_proto)
        pieces = tokenizer.pieces(range(len(tokenizer)))
        (folder / f"{side}.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def special_tokens(tokenizers: Tokenizers) -> dict[str, str]:
    """Return what both peers ask to be told of the vocabulary, such as pad_token."""
    pieces = tokenizers.target.pieces(list(SPECIALS.values()))
    return {f"{name}_token": piece for name, piece in zip(SPECIALS, pieces, strict=True)}


def convert_to_joeynmt(
    model: EncoderDecoder, tokenizers: Tokenizers, folder: Path, *, beam: int, tokens: int
) -> dict[str, Any]:
    """Write a model as JoeyNMT reads it, and return its configuration."""
    sides = dict(zip(("encoder", "decoder"), shapes(model), strict=True))
    weights = renamed(model, JOEYNMT_NAMES)
    weights |= {f"{name}.pe.pe": positions(side.d_model)[None] for name, side in sides.items()}
    torch.save({"model_state": weights}, folder / "best.ckpt")
    write_tokenizers(tokenizers, folder)

    data: dict[str, Any] = {"dataset_type": "plain", "test": "unused"}
    for name, side, language in (("src", "source", "en"), ("trg", "target", "de")):
        data[name] = {"lang": language, "level": "bpe", "voc_file": f"{side}.txt", "lowercase": False}
        data[name] |= {"tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": f"{side}.model"}}
    data["special_symbols"] = {f"{name}_id": i for name, i in SPECIALS.items()}
    data["special_symbols"] |= special_tokens(tokenizers)
    transformers = {
        name: {
            "type": "transformer",
            "hidden_size": side.d_model,
            "ff_size": side.d_feedforward,
            "num_layers": side.num_layers,
            "num_heads": side.num_heads,
            "layer_norm": "pre" if side.norm_first else "post",
            "embeddings": {"embedding_dim": side.d_model, "scale": True},
        }
        for name, side in sides.items()
    }
    return {
        "name": "benchmark",
        "model_dir": ".",
        "use_cuda": False,
        "data": data,
        "model": transformers,
        "testing": {
            "load_model": "best.ckpt",
            "beam_size": beam,
            "beam_alpha": 1.0,
            "batch_size": tokens,
            "batch_type": "token",
            "max_output_length": -1,  # its default, 1.5 times the longest source of a batch
            "return_prob": "none",
            "return_attention": False,
        },
        "training": {"batch_size": tokens},  # it must say so
    }


def convert_to_eole(
    model: EncoderDecoder, tokenizers: Tokenizers, folder: Path, *, beam: int, tokens: int, n_best: int = 1
) -> dict[str, Any]:
    """Write a model as eole reads it, and return the configuration of its `predict`."""
    sides = dict(zip(("encoder", "decoder"), shapes(model), strict=True))
    if not all(side.norm_first for side in sides.values()):
        sys.exit("eole's Transformer is pre-norm: leave --eole out, or train with norm_first=true on both sides")
    weights = renamed(model, EOLE_NAMES)
    for name, side in zip(("src_emb", "tgt_emb"), sides.values(), strict=True):
        weights[f"{name}.pe.pe"] = positions(side.d_model)[:, None]
    for i in range(sides["decoder"].num_layers):
        weights[f"decoder.transformer_layers.{i}.layer_scalar"] = torch.ones(1)
    save_file(weights, folder / "model.00.safetensors")
    write_tokenizers(tokenizers, folder)

    source, target = (tokenizer.pieces(range(len(tokenizer))) for tokenizer in tokenizers)
    vocabulary = {"src": source, "tgt": target, "specials": special_tokens(tokenizers)}
    vocabulary["decoder_start_token"] = target[BOS]
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    transformers = {
        name: {
            f"{name}_type": "transformer",
            "hidden_size": side.d_model,
            "transformer_ff": side.d_feedforward,
            "layers": side.num_layers,
            "heads": side.num_heads,
            "norm_eps": side.epsilon,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
            "position_encoding_type": "SinusoidalInterleaved",
        }
        for name, side in sides.items()
    }
    embeddings = {"word_vec_size": sides["encoder"].d_model, "position_encoding_type": "SinusoidalInterleaved"}
    shared = {"share_embeddings": False, "share_decoder_embeddings": False, "generator_bias": False}
    config = {
        "src_vocab": "source.txt",
        "tgt_vocab": "target.txt",
        "data": {},
        "training": {"compute_dtype": "fp32"},
        "model": {"architecture": "transformer", "embeddings": embeddings} | shared | transformers,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return {
        "model_path": str(folder),
        "src": "unused",
        "compute_dtype": "fp32",
        "beam_size": beam,
        "n_best": n_best,
        "length_penalty": "avg",
        "batch_size": tokens,
        "batch_type": "tokens",
        "max_length": MAX_LENGTH,
        "max_length_ratio": MAX_RATIO,
    }


@contextmanager
def peer(python: str, driver: str, settings: dict[str, Any], folder: Path) -> Iterator[Translate]:
    """Yield what has a process of another environment translate all lines; it ends with the context."""
    (folder / "driver.py").write_text(BEFORE + driver + AFTER, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [str(Path(python).absolute()), "-I", "driver.py"]  # not resolved: a virtual environment's is a link
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
        for name, python, driver, convert in (
            ("JoeyNMT", options.joeynmt, JOEYNMT, convert_to_joeynmt),
            ("eole", options.eole, EOLE, convert_to_eole),
            (f"eole, n_best={options.beam}", options.eole, EOLE, partial(convert_to_eole, n_best=options.beam)),
        ):
            if python is None or name == "eole, n_best=1":  # which is the row before
                continue
            place = folder()
            settings = {
                "config": convert(model, tokenizers, place, **search),
                "epsilon": shapes(model)[0].epsilon,
                "lines": lines,
                "threads": options.threads,
            }
            sides[name] = stack.enter_context(peer(python, driver, settings, place))
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
