"""A Transformer of Marian's shapes for Hugging Face's transformers: `MarianMTModel` and `MarianTokenizer` load it."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.attention import MultiHeadAttention, ScaledDot, SinusoidalPositions, Softmax
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, Tokenizers
from seq2seq.errors import UserError
from seq2seq.huggingface.layout import (
    LOGITS,
    LOGITS_BIAS,
    OUTPUT,
    SHARED,
    SOURCE_TABLE,
    TARGET_TABLE,
    marian_order,
    parts,
    reorder,
    their_table,
)
from seq2seq.models import EncoderDecoder, TransformerDecoder, TransformerEncoder

ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.GELU: "gelu", nn.SiLU: "swish"}

PLACES = 1024
"""Places that are told of: sinusoids have any number, and this many are made when the model is loaded."""


def save(model: EncoderDecoder, checkpoint: Checkpoint, tokenizers: Tokenizers, folder: Path) -> None:
    """Write a model as `MarianMTModel.from_pretrained` and `MarianTokenizer.from_pretrained` read it.

    Raises:
        UserError: it has parts that Marian has not; the message names the keys of a training that fits.
    """
    encoder, decoder = model.encoder, model.decoder
    misfits = _misfits(model, tokenizers)
    if misfits:
        raise UserError(f"format=huggingface is for models of Marian's shapes; this one needs {', '.join(misfits)}")
    assert isinstance(encoder, TransformerEncoder) and isinstance(decoder, TransformerDecoder)
    ours = model.state_dict()
    d_model = encoder.d_model
    back = marian_order(d_model).argsort()
    shared = encoder.embedding.table.weight is decoder.embedding.table.weight
    tied = model.output.weight is decoder.embedding.table.weight
    made: dict[str, Tensor] = {}
    for part in parts(encoder_layers=len(encoder.layers), decoder_layers=len(decoder.layers), norm_first=False):
        for kind in ("weight", "bias"):
            made[f"{part.theirs}.{kind}"] = reorder(part, kind, ours[f"{part.ours}.{kind}"], back)
    if shared and tied:
        made[SHARED] = ours[SOURCE_TABLE][:, back]
    else:
        made[their_table("encoder")] = ours[SOURCE_TABLE][:, back]
        made[their_table("decoder")] = ours[TARGET_TABLE][:, back]
        if not tied:
            made[LOGITS] = ours[OUTPUT][:, back]
    bias = model.output.bias
    made[LOGITS_BIAS] = torch.zeros(1, len(tokenizers.target)) if bias is None else bias[None]
    save_file({name: tensor.float().contiguous() for name, tensor in made.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    special = {"pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": BOS}
    search = {"bad_words_ids": [[PAD], [BOS]], "num_beams": 5, "early_stopping": True, "max_length": PLACES // 2}
    config = _config(encoder, decoder, checkpoint, tokenizers)
    config |= special | {"share_encoder_decoder_embeddings": shared and tied, "tie_word_embeddings": tied}
    _write(folder / "config.json", config)
    forced = {} if model.first_token is None else {"forced_bos_token_id": model.first_token}
    _write(folder / "generation_config.json", special | {"bos_token_id": BOS} | search | forced)
    _write_tokenizer(folder, tokenizers, longest=checkpoint.max_length)


def _misfits(model: EncoderDecoder, tokenizers: Tokenizers) -> list[str]:
    """Return the keys, with their values, that a training needs for what Marian has not."""
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(encoder, TransformerEncoder) or not isinstance(decoder, TransformerDecoder):
        return ["model=transformer"]
    found = [] if all(tokenizer.sentencepiece for tokenizer in tokenizers) else ["tokenizer=bpe"]
    for side, stack in (("encoder", encoder), ("decoder", decoder)):
        layer, embedding = stack.layers[0], stack.embedding
        if layer.self_residual.norm_first:
            found.append(f"{side}.norm_first=false")
        if type(embedding.positions) is not SinusoidalPositions:
            found.append(f"{side}.positions=sinusoidal")
        if not isinstance(embedding.project, nn.Identity):
            found.append(f"model.d_embedding={embedding.positions.d_model}")
        for name, module in stack.named_modules():
            if isinstance(module, MultiHeadAttention):
                found += _misfits_of_attention(side, module, cross="cross" in name)
    if encoder.d_model != decoder.d_features:
        found.append(f"decoder.d_model={encoder.d_model}")
    if type(encoder.layers[0].feedforward[1]) is not type(decoder.layers[0].feedforward[1]):
        found.append("encoder.activation as decoder.activation")
    if (encoder.embedding.scale == 1.0) != (decoder.embedding.scale == 1.0):
        found.append("encoder.scale_embedding as decoder.scale_embedding")
    return list(dict.fromkeys(found))


def _misfits_of_attention(side: str, module: MultiHeadAttention, *, cross: bool) -> list[str]:
    own, attention = "" if cross else f"{side}.self_", module.attention
    normalizer = attention.normalizer
    needs = {
        f"{own}score=scaled_dot": type(attention.score) is ScaledDot,
        f"{own}normalizer=softmax": type(normalizer) is Softmax and normalizer.temperature == 1,
        "cross_pattern=full" if cross else f"{side}.pattern=full": attention.pattern is None,
        f"{side}.num_key_heads=null": module.heads.total_keys == module.heads.total,
        f"{side}.gate=false": module.gate is None,
        f"{side}.kept_{'cross_' if cross else ''}heads=null": not module.heads.pruned,
    }
    return [key for key, fits in needs.items() if not fits]


def _config(
    encoder: TransformerEncoder, decoder: TransformerDecoder, checkpoint: Checkpoint, tokenizers: Tokenizers
) -> dict[str, Any]:
    options = checkpoint.config
    config = {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "dtype": "float32",
        "d_model": encoder.d_model,
        "vocab_size": len(tokenizers.source),
        "decoder_vocab_size": len(tokenizers.target),
        "max_position_embeddings": PLACES,
        "activation_function": ACTIVATIONS[type(encoder.layers[0].feedforward[1])],
        "scale_embedding": encoder.embedding.scale != 1.0,
        "dropout": options["encoder"]["dropout"],
        "attention_dropout": options["encoder"]["attention_dropout"],
        "activation_dropout": options["encoder"]["feedforward_dropout"],
    }
    for side, stack in (("encoder", encoder), ("decoder", decoder)):
        layer = stack.layers[0]
        config[f"{side}_layers"] = len(stack.layers)
        config[f"{side}_attention_heads"] = layer.self_attention.num_heads
        config[f"{side}_ffn_dim"] = layer.feedforward[0].out_features
    return config


def _write_tokenizer(folder: Path, tokenizers: Tokenizers, *, longest: int) -> None:
    """Write the vocabularies; the SentencePiece models are written as in every format."""
    separate = not tokenizers.one_vocabulary
    _write(folder / "vocab.json", _numbered(tokenizers.source))
    if separate:
        _write(folder / "target_vocab.json", _numbered(tokenizers.target))
    config = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": separate, "model_max_length": longest + 1}
    # With a start of its own, `skip_special_tokens` leaves it out of the text.
    special = {"unk_token": UNK, "pad_token": PAD, "bos_token": BOS, "eos_token": EOS}
    names = dict(zip(special, tokenizers.target.pieces([*special.values()]), strict=True))
    _write(folder / "tokenizer_config.json", config | names)


def _numbered(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the id of each piece; a tag is called `>>tag<<`, which `MarianTokenizer` finds at the start of a text."""
    tags = {i: f">>{name}<<" for name, i in tokenizer.tag_ids.items()}
    return {tags.get(i, piece): i for i, piece in enumerate(tokenizer.pieces(range(len(tokenizer))))}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
