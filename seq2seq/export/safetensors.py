"""The weights as safetensors, with the configuration that says what they are: for any program that reads tensors."""

import json
from pathlib import Path

from safetensors.torch import save_model

from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder


def save(model: EncoderDecoder, checkpoint: Checkpoint, tokenizers: Tokenizers, folder: Path) -> None:
    """Write `model.safetensors`, each shared tensor once, and `config.json`."""
    save_model(model, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(checkpoint.config, indent=2, ensure_ascii=False), encoding="utf-8")
