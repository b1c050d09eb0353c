"""What a folder of `save_pretrained` holds; whatever is missing or damaged is said by its name."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from seq2seq.errors import UserError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where weights may be: whole, or in parts that an index names."""


class Folder:
    """A folder of `save_pretrained`.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            what = "is a file" if path.exists() else "is not there"
            raise UserError(f"from={path} {what}; give a folder that `save_pretrained` of transformers wrote")
        self.path = path

    def has(self, name: str) -> bool:
        """Return whether a file is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises UserError where it is not there."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.path} has no {name}; give the whole folder that `save_pretrained` wrote") from None
        except OSError as error:
            raise UserError(f"{self.path / name} cannot be read: {error.strerror}") from None

    def read_json(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        """Return the object in a file; an optional one that is not there is empty."""
        if optional and not self.has(name):
            return {}
        content = self.read(name)
        try:
            found = json.loads(content)
        except ValueError:
            raise UserError(f"{self.path / name} is no JSON, or was cut off; fetch it again") from None
        if not isinstance(found, dict):
            raise UserError(f"{self.path / name} is not as transformers writes it; fetch it again")
        return found

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name, on the CPU, as they are stored."""
        name = next((name for name in WEIGHTS if self.has(name)), None)
        if name is None:
            raise UserError(f"{self.path} has no weights; one of these is needed: {', '.join(WEIGHTS)}")
        if not name.endswith(".index.json"):
            return self._tensors(name)
        parts = self.read_json(name).get("weight_map")
        if not isinstance(parts, dict):
            raise UserError(f"{self.path / name} has no weight_map; fetch it again")
        found: dict[str, Tensor] = {}
        for part in sorted(set(map(str, parts.values()))):
            if Path(part).name != part:
                raise UserError(f"{self.path / name} names a file elsewhere, {part}; fetch it again")
            found |= self._tensors(part)
        return found

    def _tensors(self, name: str) -> dict[str, Tensor]:
        if not self.has(name):
            raise UserError(f"{self.path} has no {name}, a part of its weights; fetch it")
        path = self.path / name
        try:
            if name.endswith(".safetensors"):
                return load_file(path)
            found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise UserError(f"{path} holds more than tensors, so it is not loaded; save it as safetensors") from None
        except (SafetensorError, RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path} cannot be read ({reason}); fetch it again") from None
        if not (isinstance(found, dict) and all(map(torch.is_tensor, found.values()))):
            raise UserError(f"{path} holds no tensors by name; save the model with `save_pretrained`")
        return found
