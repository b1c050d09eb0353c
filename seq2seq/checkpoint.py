"""What a checkpoint holds beside Lightning's own state: plain data, enough to use the model anywhere."""

import hashlib
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.errors import UserError
from seq2seq.reading import Reading

KEY = "seq2seq"
FORMAT = 2
MODEL_PREFIX = "model."
BEST = "best.ckpt"
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
"""Names of the checkpoint that a run goes on from, and of the one before it."""
SHOWN = 5
"""How many files a message names at most."""


class AlignmentChoice(NamedTuple):
    """Which head is the model's alignment, and how it is read: chosen on validation data, used everywhere after."""

    layer: str  # a module name, as the recorder reports it
    head: int | None  # None: all heads together: of weights their mean
    row: str = "output"  # as `Reading`; checkpoints from before there were readings have the defaults
    quantity: str = "weights"

    @property
    def reading(self) -> Reading:
        """How the head is read."""
        return Reading(row=self.row, quantity=self.quantity)

    @property
    def head_name(self) -> str:
        """What a title calls the head."""
        if self.head is None:
            return "mean of the heads" if self.quantity == "weights" else "all heads together"
        return f"head {self.head}"

    @property
    def reading_name(self) -> str:
        """What a title adds of how the head is read: nothing for weights at the output."""
        return "" if str(self.reading) == "output_weights" else f", {self.quantity} at the {self.row}"


class Checkpoint(NamedTuple):
    """A trained model as plain data."""

    config: dict[str, Any]  # the composed configuration it was trained with, interpolations resolved
    tokenizers: list[bytes]  # SentencePiece models: of source and target, or a joint one alone
    alignment: AlignmentChoice | None  # None before the first validation, and for models without attention
    weights: dict[str, Tensor]  # of the EncoderDecoder, on the CPU
    path: str  # where it came from, for messages
    trusted: tuple[str, ...] = ()  # packages beside seq2seq whose parts the configuration may name
    averaged_from: tuple[str, ...] = ()  # checkpoints whose mean it is

    @property
    def max_length(self) -> int:
        """The most pieces of a sentence that it was trained with."""
        length: int = self.config["loader"]["max_length"]
        return length

    @property
    def fingerprint(self) -> str:
        """A hash of the weights: an export holds it, too, so that it is not taken for one of another training."""
        found = hashlib.sha256()
        for name, weight in sorted(self.weights.items()):
            found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
            found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()


def pack(config: dict[str, Any], tokenizers: list[bytes], alignment: AlignmentChoice | None) -> dict[str, Any]:
    """Return what to store under `KEY` in a Lightning checkpoint."""
    return {
        "format": FORMAT,
        "config": config,
        "tokenizers": tokenizers,
        "alignment": None if alignment is None else list(alignment),
    }


def read_checkpoint(path: str | Path, *, trusted: Iterable[str] = ()) -> Checkpoint:
    """Return the checkpoint in a file; no code in it is ever run, but that of packages which the user trusts.

    Raises:
        UserError: there is no such file, or it is not whole, or not a checkpoint of this program; or a weight is no
            number.
    """
    content = load_content(path)
    packed = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(packed, dict) or "state_dict" not in content:
        raise UserError(f"{path} is a checkpoint of another program; give one that `seq2seq train` wrote")
    if packed.get("format") != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {packed.get('format')}, this version reads {FORMAT}; train it again"
        )
    try:
        weights = {
            name.removeprefix(MODEL_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(MODEL_PREFIX)
        }
        alignment = None if packed["alignment"] is None else AlignmentChoice(*packed["alignment"])
        if alignment is not None:
            _ = alignment.reading  # which this version must know
        config, tokenizers = packed["config"], packed["tokenizers"]
        averaged_from = tuple(map(str, packed.get("averaged_from", ())))
        fits = all(map(torch.is_tensor, weights.values())) and config.get("loader", {}).get("max_length", 1) > 0
        if not (fits and all(isinstance(tokenizer, bytes) for tokenizer in tokenizers)):
            raise TypeError
    except (AttributeError, KeyError, TypeError, UserError):
        raise UserError(
            f"{path} is not as `seq2seq train` writes it; use another, such as {_other(Path(path))}"
        ) from None
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} holds nan or inf, no number; use another, such as {_other(Path(path))}")
    return Checkpoint(config, tokenizers, alignment, weights, str(path), tuple(trusted), averaged_from)


def checkpoint_of(folder: Path) -> Path:
    """Return the best checkpoint of a run's folder; where no validation has chosen one, the last."""
    best, last = (folder / "checkpoints" / name for name in (BEST, LAST))
    return best if best.exists() else last


def load_content(path: str | Path) -> Any:
    """Return what a checkpoint file holds, all of it plain data. Raises UserError as `read_checkpoint`."""
    if not str(path):
        raise UserError("a checkpoint is given by an empty name, as of a variable of the shell that is not set")
    path = Path(path)
    if path.is_dir():
        places = ("", "checkpoints/", "*/checkpoints/", "*/*/checkpoints/")
        best, last = ([file for place in places for file in path.glob(place + name)] for name in (BEST, LAST))
        inside = sorted(best or last, key=lambda file: file.stat().st_mtime)
        example = inside[-1] if inside else f"<run folder>/checkpoints/{BEST}"
        raise UserError(f"{path} is a folder; give a file, such as {example}")
    if not path.exists() and str(path).startswith("[") and str(path).endswith("]"):
        raise UserError(f"{path} is a list, but one checkpoint is expected here; give a file")
    if not path.exists() and "," in str(path):
        raise UserError(f"there is no checkpoint {path}; several stand in brackets: [FILE,FILE]")
    if not path.exists():
        beside = sorted(file.name for file in path.parent.glob("*.ckpt"))
        more = ", ..." if len(beside) > SHOWN else ""
        there = f"its folder has {', '.join(beside[:SHOWN])}{more}"
        where = there if beside else "runs keep theirs in <run folder>/checkpoints/"
        raise UserError(f"there is no checkpoint {path}; {where}")
    if not path.is_file():
        raise UserError(f"{path} is a pipe, which a checkpoint cannot be read from; give a file")
    try:
        with path.open("rb") as file:  # of a name, what cannot be read would be no archive
            if not zipfile.is_zipfile(file):
                raise UserError(
                    f"{path} is no checkpoint or was cut off while it was written; use another, such as {_other(path)}"
                )
        damaged = zipfile.ZipFile(path).testzip()  # PyTorch would not look at the checksums
        if damaged:
            raise UserError(f"{path} is damaged (at {damaged}); use another, such as {_other(path)}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than plain data, so it is not loaded; give one that `seq2seq train` wrote"
        ) from None
    except Exception as error:  # whatever broken bytes make of an archive, of its names and of what is packed in it
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} cannot be read as a checkpoint ({reason}); use another, such as {_other(path)}"
        ) from None


def _other(path: Path) -> str:
    return BEST if path.name == LAST else LAST
