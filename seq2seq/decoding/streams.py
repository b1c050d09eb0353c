"""Random numbers that belong to a sentence: the same whatever is searched beside it, before it, or on what device.

The generator is SplitMix64 (Steele et al. 2014): a number is a hash of where it stands, so there is no state that
others could change.
"""

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


class Streams:
    """Random numbers from 0 to below 1 by seed, sentence, sample and step.

    Args:
        seed: of all.
        numbers: of the sentences in their text.
        samples: of each sentence.
    """

    def __init__(self, seed: int, numbers: list[int], samples: int) -> None:
        start = _mixed(np.array([seed % (1 << 64)], dtype=np.uint64) + _STEP)
        of_sentence = _mixed(start + np.array(numbers, dtype=np.uint64)[:, None] * _STEP)
        self._keys = _mixed(of_sentence + np.arange(1, samples + 1, dtype=np.uint64) * _STEP)

    def at(self, step: int) -> NDArray[np.float64]:
        """Return the numbers (sentence, sample) of a step, counted from 0."""
        hashed = _mixed(self._keys + np.array([step + 1], dtype=np.uint64) * _STEP)  # an array wraps around, silently
        return (hashed >> np.uint64(12)).astype(np.float64) * 2.0**-52
