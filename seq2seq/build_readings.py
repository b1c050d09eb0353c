"""How the attention of a model is read: from a `reading` group, and what counts as the alignment then."""

from omegaconf import DictConfig
from torch import nn

from seq2seq.build import instantiated
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.errors import UserError
from seq2seq.reading import Best, Reading


def build_readings(options: DictConfig, model: nn.Module) -> tuple[Reading, ...]:
    """Return how the attention of a model is read: in the way of a `reading` group, or in several.

    Raises:
        UserError: the model cannot be read so.
    """
    made: Reading | Best = instantiated(options)
    return made.of(model)


def read_as(choice: AlignmentChoice, options: DictConfig | None, model: nn.Module) -> AlignmentChoice:
    """Return a choice of layer and head, read in the way of a `reading` group; without one, as it was chosen.

    Raises:
        UserError: the model cannot be read so, or the group is of several ways.
    """
    if options is None:
        return choice
    readings = build_readings(options, model)
    if len(readings) > 1:
        raise UserError(
            f"reading={', '.join(map(str, readings))}: here one is used; say which, such as reading={readings[0]}"
        )
    return choice._replace(row=readings[0].row, quantity=readings[0].quantity)


def how_to_read(
    options: DictConfig | None, alignment: AlignmentChoice | None, model: nn.Module
) -> tuple[tuple[Reading, ...], AlignmentChoice | None]:
    """Return the readings of a `reading` group, and what counts as the alignment, of which one of them is.

    The layer and head are those that validation chose, in any reading: to choose them here would be to look at what is
    to be scored.
    """
    readings = () if options is None else build_readings(options, model)
    if alignment is None:
        return readings or (Reading(row="output", quantity="weights"),), None
    if len(readings) == 1:
        alignment = read_as(alignment, options, model)
    return tuple(dict.fromkeys((*readings, alignment.reading))), alignment
