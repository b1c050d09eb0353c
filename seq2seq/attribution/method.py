"""What every method of attribution is."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from seq2seq.attribution.forced import Forced
from seq2seq.models import EncoderDecoder


class Contributions(NamedTuple):
    """What a method says of each step, of each unit (a word or a piece) that the model has read until then."""

    source: Tensor  # (steps, source units)
    prefix: Tensor  # (steps, prefix units)
    gap: Tensor | None = None  # (steps,): what the sum of a row misses of what it should be; None: it promises no sum
    remark: str = ""  # what a reader must know of how it was computed


class Method(ABC):
    """Says what each word that was read contributed to each word that is said."""

    name: ClassVar[str]
    """As in `method=`."""
    meaning: ClassVar[str]
    """What a number is, in a few words."""
    of_token: ClassVar[bool]
    """Whether a number is about the log-probability of the very token that is said, in nats and with a sign: then the
    pieces of a word add up, and two tokens can be compared. Else a step's numbers are shares of what its state is made
    of, whatever is said: they sum to 1, and a word has the mean of its pieces."""

    def check(self, model: EncoderDecoder) -> None:  # noqa: B027 most methods refuse nothing
        """Refuse a model that cannot have this method.

        Raises:
            UserError: naming the part that is in the way, and other methods.
        """

    @abstractmethod
    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
