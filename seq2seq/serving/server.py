"""The port, and how the server stops: what was taken is finished, and nothing more is taken."""

import errno
import logging
import signal
import socket
import time
from types import FrameType
from typing import Any, NamedTuple

import uvicorn

from seq2seq.errors import UserError, interrupt
from seq2seq.serving.app import create_app
from seq2seq.serving.guard import Limits
from seq2seq.serving.service import Service

__all__ = ["Limits", "Server", "Service", "address_of", "open_port"]

log = logging.getLogger(__name__)

FAREWELL = 1.0
"""Seconds in which requests are still answered, by a refusal: without them a client would see a broken connection."""

CONNECTIONS = 1024
"""Most of them at once, those that are idle counted; more are refused with 503."""


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: the address is not one of this machine, or the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"port={port}: expected 0 (any that is free) to 65535, such as 8000")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UserError(_no_host(host)) from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(CONNECTIONS)
    except OSError as error:
        listening.close()
        if isinstance(error, PermissionError):
            raise UserError(f"port={port} is not allowed to you; give one from 1024 up, such as port=8000") from None
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port={port} of {host} is in use; give another, or port=0 for any that is free") from None
        raise UserError(_no_host(host)) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Return what to type into a browser."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _no_host(host: str) -> str:
    return (
        f"host={host} is no address of this machine; give 127.0.0.1 (this machine alone) or 0.0.0.0 (all networks "
        "that it is in)"
    )


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a record is no advice on upgrades of a connection, of which there are none here: nothing is missing."""
    return not record.getMessage().startswith(("Unsupported upgrade request", "No supported WebSocket library"))


class Idle(NamedTuple):
    """A connection that waits for its client: while this stays the same, nothing comes of it."""

    request: object  # the last one; None: none has come yet
    unread: int  # bytes of answers that its client has not taken
    since: float


class Server(uvicorn.Server):
    """Uvicorn, but for its end, and for clients that keep a connection and neither ask nor read.

    Args:
        service: what is served.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        logging.getLogger("uvicorn.error").addFilter(_is_no_advice)
        self._idle: dict[Any, Idle] = {}  # by connection
        self._end: float | None = None  # when to close the connections
        self.cut_off: int | None = None  # the number of a second signal, if one came
        super().__init__(
            uvicorn.Config(
                create_app(service, crowded=lambda: len(self.server_state.connections) > CONNECTIONS),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=int(service.limits.seconds) + 1,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal or `stop`; return when what was taken is answered, or at a second signal."""
        # Uvicorn listens to Ctrl-C and SIGTERM alone. Another, as from a terminal that is closed, would end this by an
        # error in the midst of a request.
        for number in signal.valid_signals():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, self.handle_exit)
        super().run(sockets)
        if not self.force_exit:
            self.service.batcher.stop()

    def stop(self) -> None:
        """Finish what was taken, refuse what comes, and end."""
        self.service.stopping = True
        self._end = self._end or time.monotonic() + FAREWELL

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal; at a second one without waiting."""
        if self.service.stopping:
            self.should_exit = self.force_exit = True
            self.cut_off = sig
        else:
            self.stop()  # before a word is said: another signal may come meanwhile
            log.info("%s: finishing what was taken", "Ctrl-C" if sig == signal.SIGINT else signal.Signals(sig).name)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end. Is called ten times a second, and once a second closes idle connections."""
        ended = await super().on_tick(counter)
        if counter % 10 == 0:
            self._close_idle()
        return ended or (self._end is not None and time.monotonic() >= self._end)

    def _close_idle(self) -> None:
        """Close connections on which nothing has happened for too long: uvicorn waits for a whole request for ever."""
        now, before, self._idle = time.monotonic(), self._idle, {}
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            request, unread = connection.cycle, connection.transport.get_write_buffer_size()
            if request and not request.response_complete and not unread:
                continue  # the guard measures its time; it cannot end one that waits for the client to read another
            idle = Idle(request, unread, now)
            if connection in before and before[connection][:2] == idle[:2]:
                idle = before[connection]
            if now - idle.since > self.service.limits.seconds:
                connection.transport.abort()
            else:
                self._idle[connection] = idle
