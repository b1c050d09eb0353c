"""Their vocabularies as tokenizers of ours, and which row of their embeddings each id of ours has.

Ours have the same four special ids everywhere, so the vocabulary is put in another order: `<unk>`, `<pad>`, the token
that a translation starts with, `</s>`, and then all others in the order that they had. Where theirs starts with the
padding (Marian) or the end (M2M100), which keep their own rows, the start is a row more; an export of ours has its own.
"""

import base64
import json
import re
from typing import Any, NamedTuple

import sentencepiece

from seq2seq.data.foreign import CODE, UNUSED, ForeignTokenizer, pack_foreign
from seq2seq.data.model_proto import ModelProto, bytes_of
from seq2seq.data.tokenizer import SPECIAL, Tokenizers
from seq2seq.errors import UserError
from seq2seq.huggingface.folder import Folder
from seq2seq.huggingface.languages import M2M100_LANGUAGES, WMT21_LANGUAGES
from seq2seq.huggingface.options import MARIAN, Model

LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
"""How NLLB calls a language: `deu_Latn`."""

SENTENCEPIECE = "sentencepiece.bpe.model"


class Vocabularies(NamedTuple):
    """Both sides of a model."""

    tokenizers: Tokenizers
    source_rows: list[int]  # of their embeddings, for each id of ours
    target_rows: list[int]

    @property
    def stored(self) -> list[bytes]:
        """What a checkpoint holds of the tokenizers."""
        return [tokenizer.model_proto for tokenizer in self.tokenizers]


class Pieces(NamedTuple):
    """A vocabulary of theirs."""

    ids: dict[str, int]
    size: int  # rows of the embeddings: there may be more than pieces
    file: str  # for messages


def read_vocabularies(folder: Folder, model: Model, *, source_language: str, target_language: str) -> Vocabularies:
    """Return tokenizers that cut text and count ids as a model of theirs does.

    Args:
        folder: of the model.
        model: its configuration.
        source_language: of the text, for a model that is told it; else "".
        target_language: of the translation, likewise.

    Raises:
        UserError: a file is missing or damaged, sizes do not fit, or a language is missing or not known.
    """
    if model.kind == MARIAN:
        return _marian(folder, model, source_language, target_language)
    return _m2m100(folder, model, source_language, target_language)


def _marian(folder: Folder, model: Model, source_language: str, target_language: str) -> Vocabularies:
    """Text is cut by a model a side; `>>fra<<` before the source is the language to translate to."""
    if source_language:
        raise UserError(f"source_language={source_language}: a {MARIAN} model is not told it; leave it out")
    special = folder.read_json("tokenizer_config.json", optional=True)
    both = [Pieces(_ids(folder, "vocab.json"), model.keys["vocab_size"], "vocab.json")] * 2
    if special.get("separate_vocabs", not model.one_vocabulary):  # else embeddings alone are separate
        size = model.keys.get("decoder_vocab_size") or model.keys["vocab_size"]
        both[1] = Pieces(_ids(folder, "target_vocab.json"), size, "target_vocab.json")
    tags = {piece[2:-2]: piece for piece in both[0].ids if CODE.fullmatch(piece)}
    if target_language and target_language not in tags:
        known = f"it knows {_some(tags)}" if tags else "it knows one alone; leave it out"
        raise UserError(f"target_language={target_language} is none of this model's; {known}")
    made, rows = [], []
    for side, pieces, names in zip(("source", "target"), both, (tags, {}), strict=True):
        order = _order(pieces, model, special)
        vocabulary = _named(pieces, order)
        ids = {name: vocabulary.index(piece) for name, piece in names.items()}
        tag = target_language if side == "source" else ""
        made.append(ForeignTokenizer(pack_foreign(_segmenting(folder, f"{side}.spm"), vocabulary, tags=ids, tag=tag)))
        rows.append(order)
    return Vocabularies(Tokenizers(*made), *rows)


def _m2m100(folder: Folder, model: Model, source_language: str, target_language: str) -> Vocabularies:
    """One model cuts all text; a language stands before the source, and before the translation."""
    special = folder.read_json("tokenizer_config.json", optional=True)
    size = model.keys["vocab_size"]
    if special.get("legacy_behaviour"):
        raise UserError(
            "tokenizer_config.json has legacy_behaviour=true, the language after the text; here it stands before it"
        )
    if folder.has("vocab.json"):
        ids = _ids(folder, "vocab.json")
        codes = WMT21_LANGUAGES if special.get("language_codes") == "wmt21" else M2M100_LANGUAGES
        tags = {code: f"__{code}__" for code in codes}
        ids = {**ids, **{piece: len(ids) + i for i, piece in enumerate(tags.values())}}
        pieces, proto = Pieces(ids, size, "vocab.json and the languages"), _segmenting(folder, SENTENCEPIECE)
    else:
        file = folder.read_json("tokenizer.json")
        try:
            added = {str(token["content"]): int(token["id"]) for token in file["added_tokens"]}
            pieces = Pieces({**file["model"]["vocab"], **added}, size, "tokenizer.json")
            proto = folder.read(SENTENCEPIECE) if folder.has(SENTENCEPIECE) else _rebuilt(file, set(added))
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{folder.path / 'tokenizer.json'} is not as transformers writes it; fetch it again"
            ) from None
        tags = {piece: piece for piece in pieces.ids if LANGUAGE.fullmatch(piece)}
    for key, language in (("source_language", source_language), ("target_language", target_language)):
        if not language:
            raise UserError(f"{key} is needed: this model knows {len(tags)} languages, {_some(tags)}")
        if language not in tags:
            raise UserError(f"{key}={language} is none of this model's {len(tags)} languages; it knows {_some(tags)}")
    order = _order(pieces, model, special)
    vocabulary = _named(pieces, order)
    places = {piece: i for i, piece in enumerate(vocabulary)}
    names = {name: places[piece] for name, piece in tags.items()}
    made = (
        ForeignTokenizer(pack_foreign(proto, vocabulary, tags=names, tag=language))
        for language in (source_language, target_language)
    )
    return Vocabularies(Tokenizers(*made), order, order)


def _ids(folder: Folder, name: str) -> dict[str, int]:
    found = folder.read_json(name)
    numbered = all(type(i) is int and i >= 0 for i in found.values())
    if not (found and numbered and len(set(found.values())) == len(found)):
        raise UserError(f"{folder.path / name} does not give each piece a number of its own; fetch it again")
    return found


def _segmenting(folder: Folder, name: str) -> bytes:
    content = folder.read(name)
    try:
        sentencepiece.SentencePieceProcessor(model_proto=content)
    except RuntimeError:
        raise UserError(f"{folder.path / name} is no SentencePiece model, or was cut off; fetch it again") from None
    return content


def _order(pieces: Pieces, model: Model, special: dict[str, Any]) -> list[int]:
    """Return their id for each of ours."""
    if max(pieces.ids.values()) >= pieces.size:
        raise UserError(
            f"{pieces.file} has ids up to {max(pieces.ids.values())}, but config.json says vocab_size={pieces.size}: "
            "they are not of one model"
        )
    unknown = special.get("unk_token") or "<unk>"
    unknown = unknown.get("content") if isinstance(unknown, dict) else unknown
    if unknown not in pieces.ids:
        raise UserError(f"{pieces.file} has no {unknown}, the unknown piece; fetch it again")
    keys = ("pad_token_id", "decoder_start_token_id", "eos_token_id")
    for key in keys:
        if not 0 <= model.keys[key] < pieces.size:
            raise UserError(f"config.json has {key}={model.keys[key]}, but {pieces.size} pieces; fetch it again")
    pad, start, end = (model.keys[key] for key in keys)
    first = (pieces.ids[unknown], pad, start, end)
    return [*first, *(i for i in range(pieces.size) if i not in first)]


def _named(pieces: Pieces, order: list[int]) -> list[str]:
    """Return the pieces by our ids; a row without one, or with one called as a special one, gets another name."""
    names = {i: piece for piece, i in pieces.ids.items()}
    rest = (names.get(i, "") for i in order[len(SPECIAL) :])
    free = (piece if piece and piece not in SPECIAL else f"{UNUSED}{i}>" for i, piece in enumerate(rest))
    return [*SPECIAL, *free]


def _rebuilt(file: dict[str, Any], added: set[str]) -> bytes:
    """Return the SentencePiece model that a `tokenizer.json` was made from: the order of its pieces is their score."""
    model = ModelProto()
    model.pieces.add(piece="<unk>", score=0.0, type=model.SentencePiece.UNKNOWN)
    vocabulary = sorted(file["model"]["vocab"].items(), key=lambda entry: entry[1])
    for i, (piece, _) in enumerate(entry for entry in vocabulary if entry[0] not in added):
        model.pieces.add(piece=piece, score=float(-i), type=model.SentencePiece.NORMAL)
    model.trainer_spec.model_type = model.trainer_spec.BPE
    model.normalizer_spec.name = "nmt_nfkc"
    rules = json.dumps(file.get("normalizer"))
    if found := re.search(r'"precompiled_charsmap": "([^"]*)"', rules):
        model.normalizer_spec.precompiled_charsmap = base64.b64decode(found[1])
    return bytes_of(model)


def _some(names: dict[str, Any]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:8]) + (f" ... {listed[-1]}" if len(listed) > 8 else "")
