"""A trained model written for another program: a folder that is there whole, or not at all."""

import importlib
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import torch

from seq2seq.build import load_model
from seq2seq.checkpoint import Checkpoint
from seq2seq.errors import UserError, nearest, unwritable
from seq2seq.export.card import write_card
from seq2seq.export.loading import how_to_load
from seq2seq.unfinished import part_of

log = logging.getLogger(__name__)

FORMATS = ("ctranslate2", "huggingface", "onnx", "safetensors")

QUANTIZATIONS = (
    "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
)  # fmt: skip
"""In how many bits CTranslate2 keeps weights, and after the underscore what it computes the rest in."""


def check_export(output: Path, *, form: str, quantization: str | None) -> None:
    """Refuse what cannot be exported, before a checkpoint is read.

    Raises:
        UserError: there is no such format or quantisation, a package is missing, or something is at the place.
    """
    if form not in FORMATS:
        raise UserError(f"format={form} is not known; {nearest(form, FORMATS)}")
    try:
        importlib.import_module(f"seq2seq.export.{form}")
    except ModuleNotFoundError as error:
        raise UserError(f"format={form} needs the package {error.name}: pip install 'seq2seq[export]'") from None
    if quantization is not None and form != "ctranslate2":
        raise UserError(f"quantization={quantization} is for format=ctranslate2; leave it out")
    if quantization not in (None, *QUANTIZATIONS):
        raise UserError(f"quantization={quantization} is not known; {nearest(str(quantization), QUANTIZATIONS)}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"output={output} is there already; give a folder that is new or empty")


def export(checkpoint: Checkpoint, output: Path, *, form: str, quantization: str | None = None) -> None:
    """Write the model of a checkpoint, its vocabularies and a model card.

    Args:
        checkpoint: of the model.
        output: a folder that is new or empty.
        form: a module beside this one.
        quantization: of CTranslate2; None: float32.

    Raises:
        UserError: as `check_export`, or the format cannot hold this model, or the folder cannot be written.
    """
    check_export(output, form=form, quantization=quantization)
    exporter = importlib.import_module(f"seq2seq.export.{form}")
    if form == "onnx" and checkpoint.alignment and str(checkpoint.alignment.reading) != "output_weights":
        log.warning(
            "the alignment of this model is read as %s; the graphs give output_weights of its head",
            checkpoint.alignment.reading,
        )
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    options = {} if quantization is None else {"quantization": quantization}
    folder = part_of(output.absolute())
    new = [parent for parent in output.absolute().parents if not parent.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # of a killed process of the same number
        folder.mkdir()
        with torch.no_grad():
            exporter.save(model, checkpoint, tokenizers, folder, **options)
        for side, tokenizer in tokenizers._asdict().items():
            for ending, content in tokenizer.files.items():
                (folder / f"{side}{ending}").write_bytes(content)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        load = how_to_load(form, output.name, tokenizers, model.first_token)
        write_card(checkpoint, folder, form=form, parameters=parameters, load=load)
        os.replace(folder, output)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in new:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise unwritable(f"output={output}", error) from None
        raise
