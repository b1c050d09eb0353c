"""Which installed fonts can write a text, so that no label of a heatmap is a row of empty boxes."""

import logging
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

from matplotlib import get_cachedir
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from seq2seq.data.text import visible

log = logging.getLogger(__name__)

FAMILY = "DejaVu Sans"  # comes with matplotlib
MISSING = "\ufffd"
UNSEEN = ("Cf", "Zs")
"""Categories of characters that leave no ink: joiners, marks of direction, spaces."""


class Writable(NamedTuple):
    """Texts with `�` for what cannot be drawn, and the font families that have all the rest."""

    texts: list[str]
    families: list[str]


def make_writable(texts: list[str]) -> Writable:
    """Return the texts with `�` for control characters and for those that no installed font has, and the families.

    A text in which nothing could be seen, such as the joiner of two emoji alone, is written as Python escapes it.
    What no font has is named in a warning, once a process for the same characters.
    """
    texts = [visible(text) if text.strip(" ") and _is_unseen(text) else text for text in texts]
    region = _region("".join(texts))
    families = {character: _family_of(character, region) for character in sorted(set("".join(texts)))}
    absent = [character for character, family in families.items() if family is None and character.isprintable()]
    if absent:
        _warn_absent("".join(absent))
    written = ["".join(character if families[character] else MISSING for character in text) for text in texts]
    return Writable(written, [FAMILY, *sorted({family for family in families.values() if family} - {FAMILY})])


def _region(text: str) -> str:
    """Return how the names of font families end whose shapes of Chinese characters suit the text."""
    scripts = {unicodedata.name(character, "").partition(" ")[0] for character in text}
    return "JP" if scripts & {"HIRAGANA", "KATAKANA"} else "KR" if "HANGUL" in scripts else "SC"


def _is_unseen(text: str) -> bool:
    return all(unicodedata.category(character) in UNSEEN for character in text)


@cache
def _family_of(character: str, region: str) -> str | None:
    """Return the first family that has the character; None for a control character or when no font has it."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return None
    found = (family for family, path, face in _fonts(region) if _open(path, face).get_char_index(ord(character)))
    return next(found, None)


@cache
def _fonts(region: str) -> list[tuple[str, str, int]]:
    """Return family, file and face of each upright regular font, the most suitable first."""
    fonts = {
        entry.name: (entry.fname, entry.index)
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular", "book")
    }

    def rank(family: str) -> tuple[bool | str, ...]:
        return family != FAMILY, not family.endswith(region), "Sans" not in family, "Mono" in family, family

    # matplotlib's Last Resort font has a box for every character, which says less than a missing one.
    return [(family, *fonts[family]) for family in sorted(fonts, key=rank) if not family.startswith("Last Resort")]


@lru_cache(maxsize=64)
def _open(path: str, face: int) -> FT2Font:
    return FT2Font(path, face_index=face)


@cache
def _warn_absent(characters: str) -> None:
    log.warning(
        "no installed font has %s: heatmaps show %s instead; install a font that has them (Noto Sans covers most "
        "scripts), then delete matplotlib's list of fonts in %s",
        characters,
        MISSING,
        get_cachedir(),
    )
