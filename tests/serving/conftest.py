"""A server of tiny models in a thread of this process, and a client that asks it."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

import seq2seq
from seq2seq.api import Model
from seq2seq.checkpoint import AlignmentChoice

serving = pytest.importorskip("seq2seq.serving.server", reason="install seq2seq[serve] to test the server")

LATIN = ["the old wolf slept", "der alte Wolf schlief", "a house saw the wolf", "ein Haus sah den Wolf"] * 3
LATIN += ["She opens the door .", "Sie macht die Tür auf ."] * 3  # those of the examples
LIMITS = {"bytes": 4096, "lines": 8, "waiting": 100, "seconds": 60.0}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(NamedTuple):
    """Asks a server."""

    port: int
    server: Any

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        raw: bytes | None = None,
        kind: str = "application/json",
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body).encode()
            headers = {} if data is None else {"content-type": kind}
            connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


@contextmanager
def running(models: list[Model], *, wait: float = 0.005, **limits: float) -> Iterator[Client]:
    """Serve models from a thread."""
    service = serving.Service(
        models, engine=None, limits=serving.Limits(**{**LIMITS, **limits}), tokens=4096, wait=wait
    )
    server = serving.Server(service)
    with serving.open_port("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield Client(listening.getsockname()[1], server)
        finally:
            server.stop()
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def models(untrained: Callable[..., Any]) -> list[Model]:
    """Three of random weights: a Transformer, a recurrent one, one without attention."""
    alignment = AlignmentChoice("decoder.layers.0.cross_attention.attention", 1)
    sizes = ("model.num_layers=1", "encoder.num_heads=2", "decoder.num_heads=2")
    files = [
        untrained(LATIN, "model=transformer", *sizes, vocab_size=100, alignment=alignment),
        untrained(LATIN, "model=luong", vocab_size=100, alignment=AlignmentChoice("decoder.attention", None)),
        untrained(LATIN, "model=bottleneck", vocab_size=100),
    ]
    return [seq2seq.load(file) for file in files]


@pytest.fixture
def run() -> Callable[..., Any]:
    """`with run(models, seconds=1) as client`: a server of its own, with limits of its own."""
    return running


@pytest.fixture(scope="module")
def client(models: list[Model]) -> Iterator[Client]:
    """Asks a server of the three, which ends with the file: no thread of it goes on beside other tests."""
    with running(models) as client:
        yield client
