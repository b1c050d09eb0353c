"""Random segmentations of text, the same in every process for the same seed.

SentencePiece can sample, but mixes a salt of the process into its seed: a resumed run, or another process, would never
see the same pieces again. Its model is used; the sampling is done here.
"""

import heapq
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from random import Random

from seq2seq.data.model_proto import model_of

SPACE = "▁"
WORD = re.compile(f"{SPACE}?[^{SPACE}]+|{SPACE}")
BPE = 2  # the number of that type of model
UNKNOWN_PENALTY = 10.0
"""By how much an unknown character scores below the worst piece."""


class Segmenter:
    """Samples segmentations of words by a SentencePiece model.

    Args:
        model_proto: of a BPE or unigram model whose pieces hold no space but at their beginning, as by default.
    """

    def __init__(self, model_proto: bytes) -> None:
        model = model_of(model_proto)
        normal = model.pieces[0].NORMAL
        self.scores = {piece.piece: piece.score for piece in model.pieces if piece.type == normal}
        self.ids = {piece.piece: i for i, piece in enumerate(model.pieces) if piece.type == normal}
        self.unknown = next(i for i, piece in enumerate(model.pieces) if piece.type == piece.UNKNOWN)
        self.is_bpe = model.trainer_spec.model_type == BPE
        self._longest = max(map(len, self.scores), default=1)
        self._unknown_score = min(self.scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._whole = lru_cache(1 << 16)(self._count_merges)

    def sample(self, normalized: str, alpha: float, random: Random) -> list[int]:
        """Return the ids of a random segmentation.

        Args:
            normalized: text as SentencePiece normalises it, `▁` for spaces.
            alpha: of BPE the share of merges that is dropped (Provilkov et al. 2020); of unigram the smoothing: pieces
                are drawn with P(segmentation) to the power of alpha (Kudo 2018).
            random: what to draw from.
        """
        draw = self._bpe if self.is_bpe else self._unigram
        ids: list[int] = []
        for word in WORD.findall(normalized):
            for piece in draw(word, alpha, random):
                number = self.ids.get(piece, self.unknown)
                if number != self.unknown or ids[-1:] != [number]:  # neighbours that are unknown are one piece
                    ids.append(number)
        return ids

    def _bpe(self, word: str, drop: float, random: Random) -> tuple[str, ...]:
        """Draw one number for all merges up to the first that is dropped: mostly there is none."""
        whole, merges = self._whole(word)
        if drop <= 0:
            return whole
        if drop >= 1:
            return tuple(word)
        kept = int(math.log(1 - random.random()) / math.log(1 - drop))
        return whole if kept >= merges else tuple(self._merge(word, kept, drop, random))

    def _count_merges(self, word: str) -> tuple[tuple[str, ...], int]:
        pieces = tuple(self._merge(word))
        return pieces, len(word) - len(pieces)

    def _merge(self, word: str, kept: int = 0, drop: float = 0.0, random: Random | None = None) -> Iterator[str]:
        """Yield the pieces after merging the best pair again and again, a dropped one never.

        Args:
            word: what is cut into characters first.
            kept: so many merges are made before one is dropped; from then on chance decides.
            drop: chance of a merge to be dropped.
            random: None: none is dropped.
        """
        symbols: list[str] = list(word)
        left, right = list(range(-1, len(word) - 1)), list(range(1, len(word) + 1))
        agenda: list[tuple[float, int, str]] = []

        def consider(i: int) -> None:
            if i >= 0 and right[i] < len(symbols):
                pair = symbols[i] + symbols[right[i]]
                if pair in self.scores:
                    heapq.heappush(agenda, (-self.scores[pair], i, pair))

        for i in range(len(word)):
            consider(i)
        while agenda:
            _, i, pair = heapq.heappop(agenda)
            j = right[i]
            if not symbols[i] or j >= len(symbols) or symbols[i] + symbols[j] != pair:
                continue  # one of the two has been merged with another
            if random is not None:
                kept -= 1
                if kept == -1 or (kept < -1 and random.random() < drop):
                    continue
            symbols[i], symbols[j] = pair, ""
            right[i] = right[j]
            if right[i] < len(symbols):
                left[right[i]] = i
            consider(left[i])
            consider(i)
        return (symbol for symbol in symbols if symbol)

    def _unigram(self, word: str, alpha: float, random: Random) -> list[str]:
        """Filter forward, sample backward, over all ways to cut the word."""
        ways: list[list[tuple[int, float]]] = [[] for _ in range(len(word) + 1)]  # to each place: from where, how well
        totals = [0.0] + [-math.inf] * len(word)
        for end in range(1, len(word) + 1):
            for start in range(max(0, end - self._longest), end):
                score = self.scores.get(word[start:end])
                if score is None and start == end - 1:
                    score = self._unknown_score
                if score is not None:
                    ways[end].append((start, totals[start] + alpha * score))
            best = max(weight for _, weight in ways[end])
            totals[end] = best + math.log(sum(math.exp(weight - best) for _, weight in ways[end]))
        pieces, end = [], len(word)
        while end:
            starts, weights = zip(*ways[end], strict=True)
            (start,) = random.choices(starts, [math.exp(weight - totals[end]) for weight in weights])
            pieces.append(word[start:end])
            end = start
        return pieces[::-1]
