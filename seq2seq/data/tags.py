"""Tags: symbols of a vocabulary that no text can make, such as `<2de>`, which stand before a sentence."""

import re

from seq2seq.errors import UserError

TAG = re.compile(r"<?((?!(?:unk|pad|s|0x[0-9A-F]{2})>?$)(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_-]+)>?")
"""A tag, with or without the angles in which it is shown. It has a letter: SentencePiece never joins a sign and a
letter, so no piece of text is alike, nor is a byte."""

NO_WORD = -1
"""The word of a piece that belongs to none: of a tag."""


def tag_name(tag: object) -> str:
    """The name of a tag, without its angles, `<2fr>` or `>>fra<<`; raises UserError for what cannot be one."""
    text = str(tag)
    if text.startswith(">>") and text.endswith("<<"):
        text = text[2:-2]
    found = TAG.fullmatch(text)
    if found is None or text.startswith("<") != text.endswith(">"):
        raise UserError(
            f"tag={text} is no name of a tag: use letters, digits, - and _, with a letter, such as 2de; "
            "not unk, pad or s"
        )
    return found[1]
