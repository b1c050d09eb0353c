"""What stands between the port and the addresses: limits of size and time, measurements, and a browser's limits."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GONE = 499
"""How a request is counted whose client left before its answer; nginx calls it so, too."""

RETRY = {"Retry-After": "1"}
"""Beside a refusal that is over in a moment."""

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SENTENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Of every answer. That none allows other origins leaves CORS off."""


class Limits(NamedTuple):
    """What requests may ask for; what goes beyond is refused."""

    bytes: int  # of its body
    lines: int  # sentences
    waiting: int  # sentences in the queue
    seconds: float  # from its first byte to its answer


class Measurements:
    """What /metrics tells, in a registry of its own: two servers in a process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "seq2seq_requests", "Requests by address and status.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "seq2seq_request_seconds", "From a request to its answer.", ["path"], registry=registry, buckets=SECONDS
        )
        self.batch = Histogram(
            "seq2seq_batch_sentences", "Sentences in a call of a model.", registry=registry, buckets=SENTENCES
        )
        self.busy = Counter("seq2seq_busy_seconds", "Time within calls of a model.", registry=registry)
        self.waiting = Gauge("seq2seq_waiting_sentences", "Sentences in the queue.", registry=registry)

    def of_call(self, items: int, seconds: float) -> None:
        """Count a call of a model."""
        self.batch.observe(items)
        self.busy.inc(seconds)


class Guard:
    """An ASGI application around another.

    Args:
        app: the other.
        limits: what one request may ask for.
        measured: what is counted.
        paths: addresses that are counted by name; all others are together, so that nobody can invent a million.
        stopping: whether the server is about to end: then each answer asks the client to close the connection.
        crowded: whether there are too many connections: then each request is refused.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits,
        measured: Measurements,
        paths: Collection[str],
        stopping: Callable[[], bool],
        crowded: Callable[[], bool],
    ) -> None:
        self.app = app
        self.limits = limits
        self.measured = measured
        self.paths = frozenset(paths)
        self.stopping = stopping
        self.crowded = crowded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status, crowded = time.monotonic(), 0, self.crowded()

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                if self.stopping() or crowded:
                    ours.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", []), *ours]}
            await send(message)

        try:
            if crowded:
                await _refuse(send_on, 503, "there are too many connections; ask again in a moment")
                return
            if scope["method"] == "HEAD":  # as watchers ask; the answer of GET, of which the port leaves out the body
                scope = {**scope, "method": "GET"}
            async with asyncio.timeout(self.limits.seconds):
                await self._while_wanted(scope, receive, send_on)
        except TimeoutError:
            if not status:
                await _refuse(send_on, 504, f"no answer within {self.limits.seconds:g} seconds; ask for less, or later")
        except asyncio.CancelledError:  # of a server that ends at once
            if not status:
                await _refuse(send_on, 503, "the server stops; ask again in a moment")
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.measured.requests.labels(path, str(status or GONE)).inc()
            self.measured.seconds.labels(path).observe(time.monotonic() - begin)

    async def _while_wanted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves before: then what waits for the model is taken back."""
        read = asyncio.Event()  # the body, to its end

        async def left() -> None:
            await read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        work = asyncio.ensure_future(self.app(scope, self._limited(receive, read), send))
        gone = asyncio.ensure_future(left())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    def _limited(self, receive: Receive, ended: asyncio.Event) -> Receive:
        """Return what receives a body of no more than the bytes allowed, and tells when it has ended."""
        read = 0

        async def receive_limited() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limits.bytes:
                raise HTTPException(413, f"the request has more than {self.limits.bytes} bytes; send less at once")
            if not message.get("more_body"):
                ended.set()
            return message

        return receive_limited


async def _refuse(send: Send, status: int, detail: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 503:
        headers += [(name.lower().encode(), value.encode()) for name, value in RETRY.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})
