"""`seq2seq import`: a model of Hugging Face's transformers as a checkpoint of ours."""

import importlib
from pathlib import Path

import torch

from seq2seq.build import build_model
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.checkpoint_writing import check_new_file, write_model
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.model_proto import type_of
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions
from seq2seq.options import compose_defaults, plain_data


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("import", arguments, text_keys=("from", "output", "source_language", "target_language"))
    output = Path(config.output)
    check_new_file(output, [], example="model.ckpt")
    try:
        importing = importlib.import_module("seq2seq.huggingface.importing")
    except ModuleNotFoundError as error:
        raise UserError(f"import needs the package {error.name}: pip install 'seq2seq[export]'") from None
    found = importing.read(
        Path(config["from"]),
        source_language=config.source_language or "",
        target_language=config.target_language or "",
    )
    (overrides,) = expand(found.overrides)
    target = found.vocabularies.tokenizers.target
    units = [f"tokenizer.vocab_size={len(target)}", f"tokenizer.normalization={target.normalization}"]
    if (cut := type_of(target.sentencepiece)) in ("bpe", "unigram", "char"):  # what a vocabulary of ours can be
        units.append(f"tokenizer.model_type={cut}")
    composed = compose_defaults("train", [*overrides, *units, "output=null", "data=text"])
    composed.run_name, composed.data = output.stem, None  # it was trained elsewhere
    plain = plain_data(composed)
    with torch.device("meta"):
        like = build_model(composed, found.vocabularies.tokenizers)
    shapes = {name: tensor.shape for name, tensor in like.state_dict().items()}
    weights = importing.convert(found, shapes)
    # Nobody has measured which head aligns best: the mean of the last layer but one does well (Garg et al. 2019, 3.1).
    layer = cross_attentions(like)[-2:][0]
    alignment = AlignmentChoice(layer, None)
    write_model(output, weights, config=plain, tokenizers=found.vocabularies.stored, alignment=alignment)
    parameters = sum(parameter.numel() for parameter in like.parameters())
    sizes = " and ".join(f"{size:,}" for size in dict.fromkeys(map(len, found.vocabularies.tokenizers)))
    print(f"{found.model.kind}, {parameters:,} parameters, {sizes} pieces; written to {output}")
    languages = found.vocabularies.tokenizers.source
    if languages.tag_ids and not languages.tag:
        some = ", ".join(sorted(languages.tag_ids)[:5])
        print(
            f"it translates to several languages; say which: tag=..., of {some}{', ...' * (len(languages.tag_ids) > 5)}"
        )
    print("to search as transformers does by its configuration:")
    print(f"  seq2seq translate checkpoint={output} {' '.join(found.model.search)}")
    print("to train it further:")
    print(f"  seq2seq train begin_with={output} data=text ... {' '.join(found.overrides)}")
