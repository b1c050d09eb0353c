"""An explanation in a terminal: a line a target word, with the words that contributed most."""

import unicodedata
from collections.abc import Sequence
from itertools import accumulate, takewhile

from torch import Tensor

from seq2seq.attribution.explanation import Explanation

WIDTH = 100
LABEL = 16
"""Columns that a word may take."""
LEAST = 0.04
"""The share of its row that a contribution must have to be named."""
BAR = 8


def table(explanation: Explanation, *, width: int = WIDTH) -> str:
    """Return lines of at most `width` columns, one for each target word, or for a contrast one for each word read.

    A target word has its log-probability, the source's share, and the words of each side that contributed most, those
    with the largest numbers first.
    """
    if explanation.contrast:
        return "\n".join([_head(explanation), "", *_contrast(explanation)])
    return "\n".join([_head(explanation), "", *_rows(explanation, width)])


def _head(made: Explanation) -> str:
    remark = f"\n{made.remark}" if made.remark else ""
    return f"{made.method}: {made.meaning}{remark}"


def _rows(made: Explanation, width: int) -> list[str]:
    words = [_fit(word, LABEL) for word in made.target]
    first = max(map(_columns, (*words, "target")))
    begin = first + 2 + 7 + 2 + BAR + 5 + 2
    half = (width - begin - 2) // 2
    head = f"{_pad('target', first)}  {'log p':>7}  {_pad('of the source', BAR + 5)}  "
    lines = [f"{head}{_pad('source words', half)}  words before"]
    sides = (made.from_source, made.source, made.relative[0]), (made.from_prefix, made.prefix, made.relative[1])
    shares, logs = made.source_share.tolist(), made.log_probability.tolist()
    for row, word in enumerate(words):
        most = [_pad(_most(values[row], labels, relative[row], half), half) for values, labels, relative in sides]
        bar = _bar(shares[row], BAR)
        line = f"{_pad(word, first)}  {logs[row]:7.2f}  {_pad(bar, BAR)} {shares[row]:4.0%}  {most[0]}  {most[1]}"
        lines.append(line.rstrip())
    return lines


def _contrast(made: Explanation) -> list[str]:
    share = made.source_share[0].item()
    lines = [f"{made.target[0]}: {made.log_probability[0].item():+.2f} nats, of the source {share:.0%}", ""]
    found = [
        (value, label, side)
        for values, labels, side in (
            (made.from_source[0].tolist(), made.source, "source"),
            (made.from_prefix[0].tolist(), made.prefix, "before"),
        )
        for value, label in zip(values, labels, strict=True)
    ]
    largest = max(abs(value) for value, _, _ in found) or 1.0
    first = max(_columns(_fit(label, LABEL)) for _, label, _ in found)
    for value, label, side in sorted(found, key=lambda one: -one[0]):
        bar = _bar(abs(value) / largest, 4 * BAR)
        lines.append(f"{side}  {_pad(_fit(label, LABEL), first)}  {value:+7.2f}  {bar}".rstrip())
    return lines


def _most(values: Tensor, labels: Sequence[str], relative: Tensor, width: int) -> str:
    """Return as many words with their numbers as fit, those that matter most first."""
    line = ""
    for i in relative.abs().argsort(descending=True, stable=True).tolist():
        if abs(relative[i].item()) < LEAST:
            break
        more = f"{'  ' if line else ''}{_fit(labels[i], LABEL)} {_number(values[i].item())}"
        if _columns(line + more) > width:
            break
        line += more
    return line


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 9.95 else f"{value:.1f}"


def _bar(share: float, width: int) -> str:
    """Return a bar in eighths of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character two, a mark none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)
    return len(text) + wide - marks


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _fit(text: str, width: int) -> str:
    """Return a text that is not wider, and no character of which moves the cursor."""
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if _columns(text) <= width:
        return text
    ends = accumulate(_columns(character) for character in text)  # once through: a word may have 5,000 characters
    return f"{text[: sum(1 for _ in takewhile(lambda end: end < width, ends))]}…"
