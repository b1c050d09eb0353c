"""The models that are served, the queue before them, and what is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException

from seq2seq.api import Model
from seq2seq.errors import UserError
from seq2seq.serving.batching import Batcher, Full, Stopped, Task
from seq2seq.serving.guard import RETRY, Limits, Measurements
from seq2seq.serving.models import Engine, Served, named
from seq2seq.serving.searches import compose_all


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
        compose_all()
        self.limits = limits
        self.measurements = Measurements()
        self.batcher = Batcher(tokens=tokens, wait=wait, room=limits.waiting, observe=self.measurements.of_call)
        self.stopping = False
        self._tagged: dict[tuple[str, str], Served] = {}

    @property
    def names(self) -> list[str]:
        """What the models are called."""
        return [served.name for served in self.models]

    def find(self, name: str | None, tag: str | None) -> Served:
        """Return the model of a name, None being the first, with a tag before every source.

        Raises:
            UserError: there is no model of that name, or it does not know the tag.
        """
        found = next((served for served in self.models if name in (None, served.name)), None)
        if found is None:
            raise UserError(f"there is no model {name!r}; there are {', '.join(self.names)}")
        if tag is None:
            return found
        key = (found.name, tag)
        if key not in self._tagged:  # once each, so that requests with the same tag share a call
            self._tagged[key] = replace(found, model=found.model.tagged(tag), engine=None)
        return self._tagged[key]

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
