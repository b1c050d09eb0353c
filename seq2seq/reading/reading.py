"""A reading: which row is a target word's, and what is read there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.alignment.shares import shares
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions
from seq2seq.reading.norms import ForcedPass, contributions_of, norms

ROWS = ("output", "input")
QUANTITIES = ("weights", "norms")
NAMES = tuple(f"{row}_{quantity}" for quantity in QUANTITIES for row in ROWS)


@dataclass(frozen=True)
class Reading:
    """Turns what cross-attention did in a forced pass into shares of the source for every target word.

    Attributes:
        row: `output`, the step that predicts the word; or `input`, the step after it, where the word is fed in (Chen et
            al. 2020; Kobayashi et al. 2020). A recurrent decoder that asks with the state before knows less of the
            word there.
        quantity: `weights`, as shares; or `norms`, the size of what each source state contributes (`norms`).
    """

    row: str
    quantity: str

    def __post_init__(self) -> None:
        for key, value, known in (("row", self.row, ROWS), ("quantity", self.quantity, QUANTITIES)):
            if value not in known:
                raise UserError(f"reading.{key}={value}: expected {' or '.join(known)}")

    def __str__(self) -> str:
        return f"{self.row}_{self.quantity}"

    @classmethod
    def named(cls, name: str) -> "Reading":
        """Return the reading of a name such as `output_weights`."""
        if name not in NAMES:
            raise UserError(f"there is no reading {name}; choose among {', '.join(NAMES)}")
        row, _, quantity = name.partition("_")
        return cls(row=row, quantity=quantity)

    def of(self, model: nn.Module) -> tuple["Reading", ...]:
        """Return the readings to try: this one.

        Raises:
            UserError: the model cannot be read so.
        """
        if self.quantity == "norms":
            for name in cross_attentions(model):
                contributions_of(model, name)
        return (self,)

    def __call__(self, seen: ForcedPass, name: str, lengths: Tensor) -> Tensor:
        """Return shares (batch, heads, target, source) of the source, of several heads all together first.

        Args:
            seen: of the forced pass, recorded with `norms` where they are read.
            name: of the attention.
            lengths: of the targets with their end, (batch,).
        """
        found = read_quantity(seen, name, self.quantity)
        return fed_in(found, lengths) if self.row == "input" else found


class Best:
    """Several readings, of which validation keeps the one that aligns best. Those a model cannot have are left out.

    Args:
        readings: their names; of equals the first is kept.
    """

    def __init__(self, *, readings: Sequence[str]) -> None:
        if isinstance(readings, str) or not readings:
            raise UserError(f"reading.readings={readings}: expected a list of some of {', '.join(NAMES)}")
        self.readings = tuple(Reading.named(str(name)) for name in dict.fromkeys(readings))

    def of(self, model: nn.Module) -> tuple[Reading, ...]:
        """Return those that the model can have.

        Raises:
            UserError: it can have none.
        """
        found: list[Reading] = []
        fault: UserError | None = None
        for reading in self.readings:
            try:
                found += reading.of(model)
            except UserError as error:
                fault = error
        if not found and fault is not None:
            raise fault
        return tuple(found)


def read_quantity(seen: ForcedPass, name: str, quantity: str) -> Tensor:
    """Return shares (batch, heads, query, key) at the output, of several heads all together first.

    Norms are shared out among the keys, and what a row's weights give to nobody stays nobody's. All heads together are
    of weights the mean, of norms the norm of the sum.
    """
    given = shares(seen.record[name].float())
    if given.shape[1] > 1:
        given = torch.cat((given.mean(1, keepdim=True), given), dim=1)
    return given if quantity == "weights" else norm_shares(norms(seen, name), given)


def norm_shares(sizes: Tensor, given: Tensor) -> Tensor:
    """Return sizes (..., query, key) so that each row sums to what that of given shares does."""
    total = sizes.sum(-1, keepdim=True)
    return sizes * (given.sum(-1, keepdim=True) / total.where(total > 0, 1))


def fed_in(x: Tensor, lengths: Tensor) -> Tensor:
    """Return rows (batch, heads, target, source) of the steps after, where each token is fed in.

    The end of the sentence is never fed in. Its row is the first one, where the beginning is.

    Args:
        x: rows of the steps that predict each token.
        lengths: of the targets with their end, (batch,).
    """
    place = torch.arange(x.shape[-2], device=x.device) + 1
    after = place.where(place < lengths.to(x.device)[:, None], 0)
    return x.gather(-2, after[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[-1]))
