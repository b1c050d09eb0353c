"""The models that are served, the queue before them, and what is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException

from seq2seq.api import Model
from seq2seq.serving.batching import Batcher, Full, Stopped, Task
from seq2seq.serving.guard import Limits, Measurements
from seq2seq.serving.models import Engine, named

RETRY = {"Retry-After": "1"}


class Service:
    """Models, the queue before them, and what is counted.

    Args:
        models: at least one.
        engine: what translates in place of the first; None: the model itself.
        limits: of requests.
        tokens: pieces that go through a model together.
        wait: seconds that the first request of a batch waits for others.
    """

    def __init__(
        self, models: Sequence[Model], *, engine: Engine | None, limits: Limits, tokens: int, wait: float
    ) -> None:
        self.models = named(models)
        if engine is not None:
            self.models[0] = replace(self.models[0], engine=engine)
        self.limits = limits
        self.measurements = Measurements()
        self.batcher = Batcher(tokens=tokens, wait=wait, room=limits.waiting, observe=self.measurements.of_call)
        self.stopping = False

    @property
    def names(self) -> list[str]:
        """What the models are called."""
        return [served.name for served in self.models]

    async def ask(self, task: Task, items: Sequence[Any], *, pieces: int) -> list[Any]:
        """Return what a task makes of some items, when their turn has come."""
        if self.stopping:
            raise HTTPException(503, "the server stops; ask again in a moment", headers=RETRY)
        try:
            return await asyncio.wrap_future(self.batcher.submit(task, items, pieces=pieces))
        except Full:
            raise HTTPException(503, "too many sentences wait; ask again in a moment", headers=RETRY) from None
        except Stopped:
            raise HTTPException(503, "the server stops; ask again in a moment", headers=RETRY) from None
