"""Learning curves from TensorBoard events.

TensorBoard's own reader is silent about a file that was cut off, and checks the sums of all pictures in Python, which
takes minutes over many runs; the records are framed simply enough to skip through them.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tensorboard.compat.proto.event_pb2 import Event

HEADER = struct.Struct("<QI")  # length of the record, checksum of the length
FOOTER = 4  # checksum of the record


class Curve(NamedTuple):
    """The values that a scalar took."""

    steps: list[int]
    seconds: list[float]  # of wall time since the first event; the pause before a run was resumed does not count
    values: list[float]


class Curves(NamedTuple):
    """What the event files of a run hold."""

    scalars: dict[str, Curve]
    damage: str | None  # what is wrong with a file, whose part before the damage still counts


def read_curves(folder: Path) -> Curves:
    """Return the scalars that were logged while a run trained, by tag, over all files: a resumed run begins another."""
    points: dict[str, list[tuple[int, float, float]]] = {}
    damage, begin = None, 0.0
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: (_created(path), path.name)):
        scalars: list[tuple[str, int, float, float]] = []
        first = last = None
        try:
            for event in _events(path):
                first = event.wall_time if first is None else first
                last = event.wall_time
                scalars += [
                    (scalar.tag, event.step, begin + last - first, scalar.simple_value)
                    for scalar in event.summary.value
                    if scalar.HasField("simple_value")
                ]
        except ValueError as error:
            damage = f"{path.name}: {error}"
        if not any(tag == "epoch" for tag, *_ in scalars):
            continue  # hyperparameters with the final scores: what belongs to training, Lightning logs with its epoch
        for tag, step, seconds, value in scalars:
            points.setdefault(tag, []).append((step, seconds, value))
        if first is not None and last is not None:
            begin += last - first
    return Curves({tag: Curve(*map(list, zip(*known, strict=True))) for tag, known in points.items()}, damage)


def _created(path: Path) -> int:
    """Return the time in the name of an event file."""
    part = path.name.split(".")[3]
    return int(part) if part.isdigit() else 0


def _events(path: Path) -> Iterator[Event]:
    """Yield the events of a file.

    Raises:
        ValueError: after the last whole event of a file that was cut off, or at one that is no event.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(HEADER.size):
            length = HEADER.unpack(header)[0] if len(header) == HEADER.size else size
            if file.tell() + length + FOOTER > size:
                raise ValueError("cut off")
            try:
                event = Event.FromString(file.read(length))
            except Exception as error:  # protobuf's own, which is tensorboard's business
                raise ValueError("it holds something else than events") from error
            file.seek(FOOTER, 1)
            yield event
