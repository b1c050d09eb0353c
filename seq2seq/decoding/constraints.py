"""What a translation must say and must not say: words, as pieces.

A required phrase is met where its pieces, in their usual segmentation, stand side by side as whole words. A forbidden
one is looked for in the text, whatever pieces spell it; `Hund` does not forbid `Hunde`. A word ends at a space, at a
sign, at the end, and anywhere in scripts that set no spaces.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from seq2seq.data.tokenizer import EOS
from seq2seq.decoding.vocabulary import SPACE, Vocabulary, is_glued

Phrase = tuple[int, ...]
"""Pieces side by side."""


class State(NamedTuple):
    """How far a hypothesis is with its constraints."""

    met: frozenset[int]  # constraints
    ending: frozenset[int]  # those that are met if a word ends here
    tail: tuple[int, ...]  # the last tokens


class Constraints:
    """What is required and forbidden of one translation.

    Args:
        required: for each constraint its alternatives, one of which must come.
        forbidden: what must not come, as pieces spell it, without `▁` before its first word.
        vocabulary: of the target.
    """

    def __init__(self, required: Sequence[Sequence[Phrase]], forbidden: Sequence[str], vocabulary: Vocabulary) -> None:
        self.required = tuple(tuple(alternatives) for alternatives in required)
        self.forbidden = tuple(forbidden)
        self.vocabulary = vocabulary
        self.all = frozenset(range(len(self.required)))
        # Where a space is a piece of its own, the first word stands as if one were before it.
        self.start = State(frozenset(), frozenset(), tuple(vocabulary.exactly(SPACE)))
        self._least = [min(map(len, alternatives)) for alternatives in self.required]
        self._longest = max((len(phrase) for alternatives in self.required for phrase in alternatives), default=0)

    @cached_property
    def word_ends(self) -> frozenset[int]:
        """Tokens before which a word ends."""
        spellings = enumerate(self.vocabulary.spellings)
        return frozenset([EOS, *(i for i, piece in spellings if piece.startswith(SPACE) or is_glued(piece))])

    def advance(self, state: State, token: int) -> State:
        """Return the state after one more token."""
        met = state.met | state.ending if token in self.word_ends else state.met
        tail = (*state.tail, token)[-self._longest :]
        ending = {i for i in self.all - met if any(tail[-len(phrase) :] == phrase for phrase in self.required[i])}
        whole = ending if is_glued(self.vocabulary.spellings[token], end=True) else set()
        return State(met | whole, frozenset(ending - whole), tail)

    def may_end(self, state: State) -> bool:
        """Whether everything required has been said."""
        return state.met | state.ending == self.all

    def continuations(self, state: State) -> dict[int, int]:
        """Return the tokens that bring what is required nearer, and how many tokens are needed with each, itself too.

        The rest is counted as if it came phrase by phrase.
        """
        found: dict[int, int] = {}
        open_if_word_goes_on = sum(self._least[i] for i in state.ending)
        missing = self.all - state.met - state.ending
        total = sum(self._least[i] for i in missing)
        for i in missing | state.ending:
            for phrase in self.required[i]:
                for place in range(min(len(phrase) - 1, len(state.tail)), -1, -1):
                    if state.tail[len(state.tail) - place :] != phrase[:place]:
                        continue
                    if i in state.ending and phrase[place] in self.word_ends:
                        continue  # it is met then
                    needed = total + len(phrase) - place - (self._least[i] if i in missing else 0)
                    if phrase[place] not in self.word_ends:
                        needed += open_if_word_goes_on - (self._least[i] if i in state.ending else 0)
                    found[phrase[place]] = min(needed, found.get(phrase[place], needed))
        return found

    def needed(self, state: State) -> int:
        """Return with how many tokens, EOS not counted, all that is required can be said."""
        if self.may_end(state):
            return 0
        return min(self.continuations(state).values())

    def needed_after(self, state: State, *, word_end: bool) -> int:
        """Return the same after a token that is part of nothing required."""
        missing = self.all - state.met - (state.ending if word_end else frozenset())
        return sum(self._least[i] for i in missing)

    def ruled_out(self, said: Sequence[int], room: int) -> set[int]:
        """Return the tokens by which something forbidden would be said.

        Args:
            said: ids so far.
            room: how many tokens may still come, the next one and EOS counted.
        """
        found: set[int] = set()
        text = self.vocabulary.spell(said)
        text = text if text.startswith(SPACE) else SPACE + text
        at_start = not said
        for phrase in self.forbidden:
            if not is_glued(phrase, end=True) and _ends_with_words(text, phrase):
                found |= self.word_ends
            for n in range(len(phrase)):
                if n and not _ends_with_words(text, phrase[:n]):
                    continue
                begins = [phrase[n:]] if n else [SPACE + phrase]
                if not n and (at_start or is_glued(phrase) or is_glued(text, end=True) or text.endswith(SPACE)):
                    begins.append(phrase)
                for rest in begins:
                    if is_glued(phrase, end=True):
                        found.update(self.vocabulary.beginning_with(rest))
                    elif room <= 2:  # the end would have to follow
                        found.update(self.vocabulary.exactly(rest))
        return found


def _ends_with_words(text: str, phrase: str) -> bool:
    """Whether a text ends with a phrase at whose beginning a word begins."""
    if not text.endswith(phrase):
        return False
    before = text[: -len(phrase)]
    return is_glued(phrase) or not before or before.endswith(SPACE) or is_glued(before, end=True)


def says(text: str, phrase: str, *, ended: bool) -> bool:
    """Whether a text says a phrase as whole words; both as pieces spell them.

    Args:
        text: with `▁` for spaces.
        phrase: likewise, without one before its first word.
        ended: whether a word ends where the text does.
    """
    text = text if text.startswith(SPACE) else SPACE + text
    at = text.find(phrase)
    while at >= 0:
        after = text[at + len(phrase) :]
        ends = after.startswith(SPACE) or is_glued(after) or is_glued(phrase, end=True) or (ended and not after)
        if ends and _ends_with_words(text[: at + len(phrase)], phrase):
            return True
        at = text.find(phrase, at + 1)
    return False
