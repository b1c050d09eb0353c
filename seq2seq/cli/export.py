"""`seq2seq export`: a trained model for another program."""

import importlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import torch

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.command import command_config
from seq2seq.errors import UserError, nearest
from seq2seq.export.card import write_card
from seq2seq.export.loading import how_to_load

log = logging.getLogger(__name__)

FORMATS = ("ctranslate2", "huggingface", "onnx", "safetensors")

QUANTIZATIONS = (
    "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
)  # fmt: skip
"""In how many bits CTranslate2 keeps weights, and after the underscore what it computes the rest in."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("export", arguments, text_keys=("checkpoint", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.format not in FORMATS:
        raise UserError(f"format={config.format} is not known; {nearest(str(config.format), FORMATS)}")
    try:
        exporter = importlib.import_module(f"seq2seq.export.{config.format}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"format={config.format} needs the package {error.name}: pip install 'seq2seq[export]'"
        ) from None
    options = {}
    if config.quantization is not None:
        options["quantization"] = str(config.quantization)
        if config.format != "ctranslate2":
            raise UserError(f"quantization={config.quantization} is for format=ctranslate2; leave it out")
        if config.quantization not in QUANTIZATIONS:
            near = nearest(str(config.quantization), QUANTIZATIONS)
            raise UserError(f"quantization={config.quantization} is not known; {near}")
    output = Path(config.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"output={output} is there already; give a folder that is new or empty")
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    if config.format == "onnx" and checkpoint.alignment and str(checkpoint.alignment.reading) != "output_weights":
        log.warning(
            "the alignment of this model is read as %s; the graphs give output_weights of its head",
            checkpoint.alignment.reading,
        )
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
            folder = Path(temporary) / "export"
            folder.mkdir()
            with torch.no_grad():
                exporter.save(model, checkpoint, tokenizers, folder, **options)
            for side, tokenizer in tokenizers._asdict().items():
                for ending, content in tokenizer.files.items():
                    (folder / f"{side}{ending}").write_bytes(content)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            load = how_to_load(config.format, output.name, tokenizers, model.first_token)
            write_card(checkpoint, folder, form=config.format, parameters=parameters, load=load)
            os.replace(folder, output)
    except OSError as error:
        raise UserError(f"cannot write output={output}: {error.strerror}; give a folder that can be written") from None
    for file in sorted(output.iterdir()):
        print(file)
