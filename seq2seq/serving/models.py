"""The models that are served, by name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seq2seq.api import Model
from seq2seq.build_ensemble import shortest_limit
from seq2seq.decoding.translator import Translation
from seq2seq.models import EncoderDecoder

ENSEMBLE = "ensemble"
"""The name of several models that translate together."""


class Engine(Protocol):
    """Another program that searches for translations in place of PyTorch."""

    def translate(self, lines: Sequence[str], *, beam_size: int, n_best: int) -> list[list[Translation]]:
        """Return the n_best translations of each line, best first."""


@dataclass(frozen=True, eq=False)
class Served:
    """A model with the name that requests call it by."""

    name: str
    model: Model
    engine: Engine | None = None  # None: PyTorch

    @property
    def network(self) -> EncoderDecoder:
        """The model's network.

        Raises:
            UserError: it is several together.
        """
        return self.model.alone()

    @property
    def attention(self) -> bool:
        """Whether it has attention to look at: several models together have none."""
        return not self.model.others and self.model.checkpoint.alignment is not None

    @property
    def max_length(self) -> int:
        """Most pieces of a sentence."""
        return shortest_limit((self.model.checkpoint, *self.model.others))


def named(models: Sequence[Model]) -> list[Served]:
    """Return the models, each called as its run or its file; of equal names all but the first are numbered."""
    seen: Counter[str] = Counter()
    found = []
    for model in models:
        name = str(model.checkpoint.config.get("run_name") or Path(model.checkpoint.path).stem)
        name = ENSEMBLE if model.others else name
        seen[name] += 1
        found.append(Served(name if seen[name] == 1 else f"{name} ({seen[name]})", model))
    return found
