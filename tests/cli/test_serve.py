"""`seq2seq serve` refuses in one line what it cannot serve, and ends when it is asked to, without losing an answer."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import seq2seq.serving
from seq2seq.cli.main import main

pytest.importorskip("fastapi", reason="install seq2seq[serve] to test the server")

Command = Callable[..., Any]


def refused(said: Any, *parts: str) -> None:
    assert (said.status, said.out) == (1, "")
    assert said.err.count("\n") == 1 and said.err.startswith("error: ")
    assert all(part in said.err for part in parts), said.err


def test_port_in_use_is_refused_before_the_model_is_read(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(command("serve", "checkpoint=absent.ckpt", f"port={port}"), f"port={port}", "in use", "port=0")


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7", "a b", "x" * 300, "127.0.0.1:8000"])
def test_host_that_is_no_address_of_this_machine_is_refused(command: Command, host: str) -> None:
    refused(command("serve", "checkpoint=absent.ckpt", f"host={host}", "port=0"), f"host={host}", "127.0.0.1")


@pytest.mark.parametrize("port", ["-1", "65536", "80.5", "eighty"])
def test_port_that_is_none_is_refused(command: Command, port: str) -> None:
    refused(command("serve", "checkpoint=absent.ckpt", f"port={port}"), f"port={port}")


def test_checkpoint_that_is_missing_or_none_is_refused(command: Command, tmp_path: Path) -> None:
    refused(command("serve", "port=0"), "checkpoint", "not given")
    refused(command("serve", "checkpoint=absent.ckpt", "port=0"), "there is no checkpoint absent.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    refused(command("serve", "checkpoint=[text.ckpt,absent.ckpt]", "port=0"), "text.ckpt")


@pytest.mark.parametrize("key", ["limits.bytes", "limits.lines", "limits.waiting", "limits.seconds", "batching.tokens"])
def test_limits_are_above_0(command: Command, key: str) -> None:
    for value in ("0", "-3", "many", "null"):
        refused(command("serve", "checkpoint=absent.ckpt", f"{key}={value}"), key)


def test_wait_for_others_is_shorter_than_the_time_of_a_request(command: Command) -> None:
    for value in ("3000", "9" * 23):
        said = command("serve", "checkpoint=absent.ckpt", "limits.seconds=3", f"batching.milliseconds={value}")
        refused(said, f"batching.milliseconds={value}", "limits.seconds=3")


def test_mean_of_an_ensemble_is_checked_before_anything_is_read(command: Command) -> None:
    refused(command("serve", "checkpoint=[a.ckpt,b.ckpt]", "ensemble=median"), "ensemble=median", "log or linear")
    refused(command("serve", "checkpoint=a.ckpt", "ensemble=log"), "ensemble=log", "checkpoint=[FILE,FILE]")


def test_package_that_is_missing_is_named_with_its_extra(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seq2seq, "serving", seq2seq.serving)  # read anew below; other tests have this one
    for name in [name for name in sys.modules if name.startswith("seq2seq.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    refused(command("serve", "checkpoint=absent.ckpt"), "fastapi", "pip install 'seq2seq[serve]'")


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, "-m", "seq2seq", "serve", *arguments, "port=0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield process, int(found[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_under_load_loses_no_answer(bahdanau: Any, tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, f"checkpoint={bahdanau.best}") as (process, port):
        statuses: list[list[int]] = [[] for _ in range(8)]
        clients = [threading.Thread(target=ask_until_refused, args=(port, said)) for said in statuses]
        for client in clients:
            client.start()
        while min(map(len, statuses)) < 3:
            assert process.poll() is None and all(client.is_alive() for client in clients)
            time.sleep(0.01)
        process.send_signal(number)
        for client in clients:
            client.join(60)
        assert all(set(said[:-1]) == {200} and said[-1] == 503 for said in statuses)
        assert process.wait(60) == 0
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert process.stderr is not None and process.stderr.read() == f"{name}: finishing what was taken\n"


def test_second_signal_ends_at_once_and_says_so_to_who_waits(bahdanau: Any, tmp_path: Path) -> None:
    with started(tmp_path, f"checkpoint={bahdanau.best}", "batching.tokens=64") as (process, port):
        statuses: list[int] = []
        ask = {"text": ["the wolf slept ."] * 64, "beam_size": 16, "n_best": 16}  # takes long
        clients = [threading.Thread(target=ask_once, args=(port, ask, statuses)) for _ in range(8)]
        for client in clients:
            client.start()
        while ask_waiting(port) < 2 * 64:  # each has a call of its own
            assert process.poll() is None and any(client.is_alive() for client in clients)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None and process.stderr.readline() == "SIGTERM: finishing what was taken\n"
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(60)
        assert len(statuses) == 8 and set(statuses) <= {200, 503} and 503 in statuses
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stderr.read() == "a second signal: ended at once\n"


def ask_once(port: int, ask: Any, statuses: list[int]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/translate", json.dumps(ask), {"content-type": "application/json"})
        response = connection.getresponse()
        if response.status == 200 or list(json.loads(response.read())) == ["detail"]:
            statuses.append(response.status)


def ask_waiting(port: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/health")
        waiting: int = json.loads(connection.getresponse().read())["waiting"]
        return waiting


def ask_until_refused(port: int, statuses: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not statuses or statuses[-1] == 200:
        body = json.dumps({"text": "the wolf", "search": "greedy"})
        connection.request("POST", "/translate", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()


@pytest.fixture(scope="module")
def exported(transformer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of `seq2seq export format=ctranslate2` of that run."""
    folder = tmp_path_factory.mktemp("export") / "made"
    assert main(["export", f"checkpoint={transformer.best}", "format=ctranslate2", f"output={folder}"]) == 0
    return str(folder)


def test_export_translates_as_the_model_does(exported: str, transformer: Any, text_folder: Path) -> None:
    engine_of = pytest.importorskip("seq2seq.serving.ctranslate2", reason="install seq2seq[export]")
    model = seq2seq.load(transformer.best)
    lines = [*(text_folder / "test.source").read_text(encoding="utf-8").splitlines(), "", " "]
    engine = engine_of.CTranslate2Engine(exported, model)
    found = engine.translate(lines, beam_size=1, n_best=1)
    assert [[t.text for t in line] for line in found] == [
        [text] for text in model.translate(lines, search="greedy", max_ratio=1000.0)
    ]
    several = engine.translate(lines, beam_size=4, n_best=3)
    assert all(len({t.text for t in line}) == len(line) <= 3 for line in several)
    assert all([t.score for t in line] == sorted((t.score for t in line), reverse=True) for line in several)


def test_export_of_another_model_is_refused(command: Command, exported: str, transformer: Any, tmp_path: Path) -> None:
    best = transformer.best
    refused(command("serve", f"checkpoint={best}", "port=0", "export=nowhere"), "export=nowhere", "model.bin")
    refused(command("serve", f"checkpoint=[{best},{best}]", "port=0", f"export={exported}"), "of one model")
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(settings | {"seq2seq_weights": "of others"}))
    refused(command("serve", f"checkpoint={best}", "port=0", f"export={other}"), "of another training")
    (other / "source.spm").write_bytes(b"another")
    (other / "config.json").unlink()  # as of an earlier version, which said nothing
    refused(command("serve", f"checkpoint={best}", "port=0", f"export={other}"), "another vocabulary")
