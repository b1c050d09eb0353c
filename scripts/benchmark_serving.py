"""Load on `seq2seq serve`: many clients at once, beside the same lines through `translate`; memory; a stop under load.

Each client sends a sentence, waits for the answer, and sends the next, over a connection that stays open. The clients
are threads of this process, on the same machine as the server, so they take a part of its processors. A table tells
sentences a second, the middle and the 95th percentile of the time to an answer, and the server's memory as it goes on.
At the end the server gets SIGTERM while all clients ask. Every request that it has taken must have an answer, 200 or
503; later ones find nobody listening (ConnectionRefusedError). Any other error would be a lost request.

    python scripts/benchmark_serving.py --checkpoint outputs/.../best.ckpt --requests 20000
"""

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from arguments import above_0, mistakes_in_a_line

import seq2seq
from seq2seq.data.files import read_lines
from seq2seq.data.grammar import generate

REPORTS = 10
"""How often memory is looked at."""


class Served(NamedTuple):
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    @property
    def memory(self) -> float:
        """Its memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


@contextmanager
def server(checkpoint: str, options: list[str]) -> Iterator[Served]:
    """Start a server in a process of its own, and end it."""
    command = [sys.executable, "-m", "seq2seq", "serve", f"checkpoint={checkpoint}", "port=0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+) \(", process.stdout.readline())
        if found is None:
            raise SystemExit("error: the server did not start")
        try:
            yield Served(process, int(found[1]))
        finally:
            process.terminate()


class Clients:
    """Clients that share out lines among them until all are answered, or the server refuses.

    Args:
        count: how many.
        port: of the server.
        lines: to translate, a request each.
        beam: beam size.
    """

    def __init__(self, count: int, port: int, lines: list[str], *, beam: int) -> None:
        self.port = port
        self.lines = lines
        self.beam = beam
        self.answers = [""] * len(lines)
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self._next = iter(range(len(lines)))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(count)]

    def start(self) -> None:
        """Start them all."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have ended."""
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while True:
            with self._lock:
                i = next(self._next, None)
            if i is None:
                break
            body = json.dumps({"text": self.lines[i], "beam_size": self.beam})
            begin = time.perf_counter()
            try:
                connection.request("POST", "/translate", body, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException) as error:
                self._count(type(error).__name__)
                break
            self._count(str(response.status))
            if response.status != 200:
                break
            with self._lock:
                self.seconds.append(time.perf_counter() - begin)
                self.answers[i] = answer["translations"][0]["text"]
        connection.close()

    def _count(self, status: str) -> None:
        with self._lock:
            self.statuses[status] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of the model that is served")
    parser.add_argument("--source", help="a file of sentences; without one: those of the grammar's validation set")
    parser.add_argument("--clients", type=above_0, default=50, help="at once")
    parser.add_argument("--requests", type=above_0, default=2000, help="how many in all; the lines again and again")
    parser.add_argument("--beam", type=above_0, default=5, help="beam size")
    parser.add_argument("options", nargs="*", help="of the server, such as batching.milliseconds=0")
    given = parser.parse_args()
    sentences = list(read_lines(given.source)) if given.source else [pair.source for pair in generate("val")]
    lines = [sentences[i % len(sentences)] for i in range(given.requests)]

    begin = time.perf_counter()
    model = seq2seq.load(given.checkpoint)
    some = sentences[: min(len(sentences), given.requests)]
    model.translate(some[:50], beam_size=given.beam)
    begin = time.perf_counter()
    expected = model.translate(some, beam_size=given.beam)
    alone = len(some) / (time.perf_counter() - begin)
    print(f"translate: {alone:.1f} sentences a second, {len(some)} of them at once")

    with server(given.checkpoint, given.options) as served:
        warm = Clients(given.clients, served.port, some[:200], beam=given.beam)
        warm.start()
        warm.join()
        memory = [served.memory]
        seconds: list[float] = []
        different = 0
        begin = time.perf_counter()
        for part in range(REPORTS):
            first, last = (len(lines) * i // REPORTS for i in (part, part + 1))
            clients = Clients(given.clients, served.port, lines[first:last], beam=given.beam)
            clients.start()
            clients.join()
            if set(clients.statuses) != {"200"}:
                raise SystemExit(f"error: answers were {dict(clients.statuses)}")
            seconds += clients.seconds
            different += sum(text != expected[(first + i) % len(some)] for i, text in enumerate(clients.answers))
            memory.append(served.memory)
        rate = len(lines) / (time.perf_counter() - begin)
        cuts = statistics.quantiles(seconds, n=100)
        print(f"serve, {given.clients} clients: {rate:.1f} sentences a second, {rate / alone:.2f} of translate")
        print(f"to an answer: {1000 * cuts[49]:.0f} ms in the middle, {1000 * cuts[94]:.0f} ms at the 95th percentile")
        print(f"answers: {len(seconds)}, {different} of them other than translate's")
        print(f"memory, MiB: {' '.join(f'{each:.0f}' for each in memory)}")

        clients = Clients(given.clients, served.port, lines * 1000, beam=given.beam)
        clients.start()
        time.sleep(2)
        served.process.send_signal(signal.SIGTERM)
        clients.join()
        print(f"stopped under load: {dict(clients.statuses)}, exit status {served.process.wait(60)}")


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
