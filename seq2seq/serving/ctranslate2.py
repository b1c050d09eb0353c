"""A folder of `seq2seq export format=ctranslate2` as what searches for translations."""

import json
from collections.abc import Sequence
from pathlib import Path

import ctranslate2

from seq2seq.api import Model
from seq2seq.data.text import is_blank
from seq2seq.decoding.translator import Translation
from seq2seq.errors import UserError
from seq2seq.export.ctranslate2 import FINGERPRINT

MAX_LENGTH = 256
"""Most target tokens, as in `configs/search`."""


class CTranslate2Engine:
    """Searches with CTranslate2 as `configs/search` says, in pieces of a model's own vocabulary.

    Args:
        folder: of the export.
        model: what was exported.

    Raises:
        UserError: there is no such folder, or it is of another model.
    """

    def __init__(self, folder: str, model: Model) -> None:
        if not Path(folder, "model.bin").is_file():
            raise UserError(
                f"export={folder} holds no model.bin; give a folder that `seq2seq export format=ctranslate2` wrote"
            )
        for side, tokenizer in model.tokenizers._asdict().items():
            for ending, content in tokenizer.files.items():
                file = Path(folder, f"{side}{ending}")
                if not file.is_file() or file.read_bytes() != content:
                    raise UserError(
                        f"export={folder} has another vocabulary than {model.checkpoint.path}; export that again"
                    )
        if _fingerprint(folder) not in (None, model.checkpoint.fingerprint):
            raise UserError(f"export={folder} is of another training than {model.checkpoint.path}; export that again")
        self.tokenizers = model.tokenizers
        target = model.tokenizers.target
        self.ids = {piece: i for i, piece in enumerate(target.pieces(range(len(target))))}
        first = model.alone().first_token
        self.begin = None if first is None else target.pieces([first])  # of every translation, such as a language
        try:
            device = next(model.network.parameters()).device
            self.translator = ctranslate2.Translator(folder, device="cuda" if device.type == "cuda" else "cpu")
        except (RuntimeError, ValueError) as error:
            raise UserError(f"export={folder} cannot be read ({error}); export the checkpoint again") from None

    def translate(self, lines: Sequence[str], *, beam_size: int, n_best: int) -> list[list[Translation]]:
        """Return the n_best translations of each line, no two alike, best first; an empty line has an empty one."""
        source, target = self.tokenizers
        said = [i for i, line in enumerate(lines) if not is_blank(line) and source.encode(line)]
        found = self.translator.translate_batch(
            [source.pieces(source.encode(lines[i])) for i in said],
            target_prefix=None if self.begin is None else [[*self.begin] for _ in said],
            beam_size=beam_size,
            num_hypotheses=n_best,
            return_scores=True,
            length_penalty=1 if beam_size > 1 else 0,
            max_decoding_length=MAX_LENGTH - 1,  # ours counts the end
            min_decoding_length=0,
            suppress_sequences=[["<pad>"], ["<s>"]],
        )
        results = [[Translation("", 0.0)] for _ in lines]
        for i, result in zip(said, found, strict=True):
            texts = [target.decode([self.ids[piece] for piece in pieces]) for pieces in result.hypotheses]
            best: dict[str, float] = {}
            for text, score in zip(texts, result.scores, strict=True):
                best.setdefault(text, score)
            results[i] = [Translation(text, score) for text, score in best.items()]
        return results


def _fingerprint(folder: str) -> str | None:
    """Return of which weights an export is; None: it does not say, as those of an earlier version do not."""
    try:
        found = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))[FINGERPRINT]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(found)
