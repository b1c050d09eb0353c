"""What the addresses answer is what the model says; what cannot be answered has a status and one line."""

import gzip
import http.client
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from seq2seq.alignment.links import format_links
from seq2seq.api import Model

Run = Callable[..., Any]
POSTS = ("/translate", "/align", "/score", "/attention", "/alternatives")


def test_translations_are_those_of_the_model(client: Any, models: list[Model]) -> None:
    lines = ["the old wolf slept", "", "a house saw\nthe wolf"]
    answer = client.ask("/translate", {"text": lines, "n_best": 3}).json
    for model, name in zip(models[:2], client.server.service.names, strict=False):
        answer = client.ask("/translate", {"text": lines, "n_best": 3, "beam_size": 4, "model": name}).json
        expected = model.translations([line.replace("\n", " ") for line in lines], search="beam", n_best=3, beam_size=4)
        assert answer["model"] == name
        for found, line in zip(answer["translations"], expected, strict=True):
            assert [h["text"] for h in found["hypotheses"]] == [t.text for t in line]
            assert [h["score"] for h in found["hypotheses"]] == pytest.approx([t.score for t in line], abs=1e-4)
            assert (found["text"], found["score"]) == tuple(found["hypotheses"][0].values())


def test_one_sentence_need_not_be_a_list(client: Any, models: list[Model]) -> None:
    answer = client.ask("/translate", {"text": "the wolf", "search": "greedy"}).json
    assert [t["text"] for t in answer["translations"]] == models[0].translate(["the wolf"], search="greedy")
    assert client.ask("/translate", {"text": []}).json["translations"] == []


def test_links_are_those_of_the_model(client: Any, models: list[Model]) -> None:
    pairs = [("the old wolf slept", "der alte Wolf schlief"), ("", "der"), ("a house", "ein Haus")]
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    answer = client.ask("/align", {"source": sources, "target": targets}).json
    expected = models[0].align(pairs)
    assert [a["pharaoh"] for a in answer["alignments"]] == [format_links(links) for links in expected]
    assert [{(i, j) for i, j in a["links"]} for a in answer["alignments"]] == expected


def test_scores_are_those_of_the_model(client: Any, models: list[Model]) -> None:
    pairs = [("the old wolf slept", "der alte Wolf schlief"), ("a house", "ein Haus")]
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    scores = client.ask("/score", {"source": sources, "target": targets}).json["scores"]
    for found, expected in zip(scores, models[0].score(pairs), strict=True):
        assert found["log_probability"] == pytest.approx(expected.log_probability, abs=1e-3)
        assert [token["piece"] for token in found["tokens"]] == expected.pieces
        assert [token["log_probability"] for token in found["tokens"]] == pytest.approx(
            expected.log_probabilities, abs=1e-3
        )


def test_attention_is_that_of_the_model_and_forced_where_asked(client: Any, models: list[Model]) -> None:
    answer = client.ask("/attention", {"source": "the old wolf slept", "target": "der Wolf schlief"}).json
    expected = models[0].attention("the old wolf slept", "der Wolf schlief").view().weights
    (target,) = answer["targets"]
    (cross,) = [m for m in target["maps"] if m["kind"] == "cross"]
    assert (target["name"], target["text"], target["score"]) == ("forced", "der Wolf schlief", None)
    assert cross["words"]["rows"] == ["der", "Wolf", "schlief", "</s>"]
    assert cross["words"]["weights"] == (expected * answer["one"]).round().int().tolist()
    free = client.ask("/attention", {"source": "the old wolf slept", "n_best": 2}).json
    texts = [t.text for t in models[0].translations(["the old wolf slept"], search="beam", n_best=2)[0]]
    assert [target["text"] for target in free["targets"]] == texts


def test_attention_has_other_readings_and_methods_where_asked(client: Any) -> None:
    asked = {"source": "the old wolf", "target": "der Wolf", "readings": True, "methods": ["erasure", "alti"]}
    for name in client.server.service.names[:2]:
        (target,) = client.ask("/attention", {**asked, "model": name}).json["targets"]
        (cross,) = [m for m in target["maps"] if m["kind"] == "cross"]
        assert "input_weights" in cross["readings"]
        assert "erasure" in [explained["kind"] for explained in target["explained"]]
    (plain,) = client.ask("/attention", {"source": "the old wolf", "target": "der Wolf"}).json["targets"]
    assert plain["explained"] == [] and not any("readings" in m for m in plain["maps"])


def test_alternatives_are_those_of_the_model(client: Any, models: list[Model]) -> None:
    asked = {"source": "the old wolf", "prefix": "der ", "n": 3}
    expected = models[0].alternatives("the old wolf", "der ", n=3)
    found = client.ask("/alternatives", asked).json["alternatives"]
    assert [(a["text"], a["translation"]) for a in found] == [(a.text, a.translation) for a in expected]
    assert [a["probability"] for a in found] == pytest.approx([a.probability for a in expected], rel=1e-3)


def test_many_at_once_get_each_their_own_answer(run: Run, models: list[Model]) -> None:
    lines = [f"the {'old ' * (i % 5)}wolf {'slept' if i % 2 else 'saw'}" for i in range(24)]
    with run(models[:1], wait=0.05) as client, ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda line: client.ask("/translate", {"text": line}).json, lines))
        metrics = client.ask("/metrics").body.decode()
    assert [a["translations"][0]["text"] for a in answers] == models[0].translate(lines)
    calls = float(metrics.partition("\nseq2seq_batch_sentences_count ")[2].split()[0])
    assert calls < 12
    assert 'seq2seq_requests_total{path="/translate",status="200"} 24.0' in metrics


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/translate", {}, 422, "text: Field required"),
        ("/translate", {"text": 3}, 422, "text: Input should be a valid string or a valid list"),
        ("/translate", {"text": ["a", 3]}, 422, "text.1: Input should be a valid string"),
        ("/translate", {"text": "a", "constraints": 3}, 422, "constraints: Input should be an object or a valid list"),
        ("/translate", {"text": "a", "constraints": {"forbid": "b"}}, 422, "constraints.forbid: Input should be"),
        ("/translate", {"text": "a", "constraints": [{"require": [["b", 3]]}]}, 422, "constraints.0.require.0.1: "),
        ("/translate", {"text": "a", "constraints": {"forbids": []}}, 422, "constraints.forbids: Extra inputs"),
        ("/translate", {"text": "a", "prefix": "\u200b"}, 422, "no pieces for \\u200b;"),
        ("/translate", {"text": "a\ud800"}, 422, "text: this is not text in UTF-8: half of a surrogate pair"),
        ("/translate", {"text": "a", "beams": 3}, 422, "beams: Extra inputs"),
        ("/translate", {"text": "a", "beam_size": "5"}, 422, "beam_size"),
        ("/attention", {"source": "a", "readings": 0}, 422, "readings"),
        ("/translate", {"text": "a", "beam_size": 99}, 422, "beam_size"),
        ("/translate", {"text": "a", "n_best": 7}, 422, "n_best=7 must be from 1 to beam_size=5"),
        ("/translate", {"text": "a", "search": "../beam"}, 422, "search"),
        ("/translate", {"text": "a", "model": "/etc/passwd"}, 422, "there is no model '/etc/passwd'; there are"),
        ("/translate", {"text": "a", "tag": "2de"}, 422, "2de"),
        ("/translate", {"text": ["a"] * (8 + 1)}, 413, "9 sentences are more than 8"),
        ("/translate", {"text": "wolf " * 100}, 413, "source has 100 pieces, more than the model's 60"),
        ("/translate", {"text": "a" * 5000}, 413, "more than 4096 bytes"),
        ("/align", {"source": ["a", "b"], "target": "a"}, 422, "2 sources and 1 targets"),
        ("/align", {"source": "a", "target": "b", "model": "bottleneck"}, 422, "has no attention"),
        ("/alternatives", {"source": "wolf", "n": 0}, 422, "n: "),
        ("/alternatives", {"source": "", "prefix": "der"}, 422, "source has nothing"),
        ("/alternatives", {"source": "wolf", "prefix": "Wolf " * 100}, 413, "target has 100 pieces"),
        ("/alternatives", {"source": "wolf", "prefix": "\u732b"}, 422, "\u732b"),
        ("/attention", {"source": " "}, 422, "source has nothing that the model reads"),
        ("/attention", {"source": "wolf", "target": ""}, 422, "target has nothing"),
        ("/attention", {"source": "wolf", "target": "Wolf " * 100}, 413, "target has 100 pieces"),
    ],
)  # fmt: skip
def test_mistake_has_a_status_and_one_line(client: Any, path: str, body: Any, status: int, said: str) -> None:
    if body.get("model") == "bottleneck":
        body = {**body, "model": client.server.service.names[2]}
    answer = client.ask(path, body)
    assert (answer.status, list(answer.json)) == (status, ["detail"])
    assert said in answer.json["detail"] and "\n" not in answer.json["detail"]


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 4000, b'{"text": "a\\ud800b"}', b"null", b""])
@pytest.mark.parametrize("path", POSTS)
def test_body_that_is_no_request_is_refused(client: Any, path: str, raw: bytes) -> None:
    answer = client.ask(path, raw=raw)
    assert answer.status in (400, 422) and list(answer.json) == ["detail"]


@pytest.mark.parametrize(
    ("raw", "kind", "status", "said"),
    [
        (b'{"text": "a"}', "application/x-www-form-urlencoded", 422, "the header content-type: application/json"),
        (b"{'text': 'a'}", "application/json", 422, "no JSON: Expecting property name enclosed in double quotes, at"),
        (gzip.compress(b'{"text": "a"}', mtime=0), "application/json", 400, "send JSON in UTF-8, not compressed"),
        (b"", "application/json", 422, "the body is no JSON object"),
        (b'[{"text": "a"}]', "application/json", 422, "the body is no JSON object"),
    ],
)
def test_body_that_is_no_request_is_told_what_it_should_be(
    client: Any, raw: bytes, kind: str, status: int, said: str
) -> None:
    answer = client.ask("/translate", raw=raw, kind=kind)
    assert answer.status == status and said in answer.json["detail"]


def test_unknown_addresses_and_methods_are_refused_and_counted_as_one(client: Any) -> None:
    for path in ("/nowhere", "/../etc/passwd", "/%2e%2e/etc/passwd", "/static/../../x", "//etc/passwd"):
        assert client.ask(path).status == 404
    assert client.ask("/translate").status == 405 and client.ask("/health", {}).status == 405
    metrics = client.ask("/metrics").body.decode()
    assert 'path="other",status="404"' in metrics and "passwd" not in metrics


def test_head_is_answered_as_get_without_the_body(client: Any) -> None:
    for path in ("/health", "/", "/metrics"):
        head, get = client.ask(path, method="HEAD"), client.ask(path)
        assert (head.status, head.body, get.status) == (200, b"", 200)
        assert head.headers["content-type"] == get.headers["content-type"]
    assert client.ask("/translate", method="HEAD").status == 405


def test_body_without_a_length_is_measured_as_it_comes(client: Any) -> None:
    with connected(client) as connection:
        head = b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


def test_full_queue_says_when_to_ask_again(run: Run, models: list[Model]) -> None:
    with run(models[:1], waiting=2, wait=0.5) as client:
        assert client.ask("/translate", {"text": ["a", "b", "c"]}).status == 503
        answer = client.ask("/translate", {"text": ["a", "b", "c"]})
        assert int(answer.headers["retry-after"]) >= 1 and "too many" in answer.json["detail"]
        assert client.ask("/translate", {"text": "a"}).status == 200


def test_request_that_takes_too_long_is_given_up(run: Run, models: list[Model]) -> None:
    with run(models[:1], seconds=0.3, wait=30.0) as client:
        answer = client.ask("/translate", {"text": "a"})
        assert (answer.status, list(answer.json)) == (504, ["detail"])
        assert client.server.service.batcher.waiting == 0
        with connected(client) as slow:
            slow.sendall(b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 504")


def test_request_whose_client_leaves_is_taken_back(run: Run, models: list[Model]) -> None:
    with run(models[:1], wait=30.0) as client:
        waiting = client.server.service.batcher
        with connected(client) as connection:
            body = b'{"text": ["the wolf", "a house"]}'
            head = b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            within_10_seconds(lambda: waiting.waiting == 2)
        within_10_seconds(lambda: waiting.waiting == 0)
        assert 'path="/translate",status="499"} 1.0' in client.ask("/metrics").body.decode()


def connected(client: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.port), timeout=60)


def within_10_seconds(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_more_connections_than_allowed_are_refused_in_json(
    run: Run, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    with run(models[:1]) as client:
        monkeypatch.setattr("seq2seq.serving.server.CONNECTIONS", 1)
        with connected(client):
            within_10_seconds(lambda: len(client.server.server_state.connections) == 1)
            answer = client.ask("/health")
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert "retry-after" in answer.headers and "too many connections" in answer.json["detail"]


def test_connection_without_a_whole_request_is_closed(run: Run, models: list[Model]) -> None:
    whole = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with run(models[:1], seconds=0.3) as client, ExitStack() as stack:
        sent = {b: stack.enter_context(connected(client)) for b in (b"", b"GET /hea", whole, whole + b"GET /hea")}
        for text, slow in sent.items():
            slow.sendall(text)
        for text, slow in sent.items():
            answer = slow.makefile("rb").read()  # until it is closed
            assert answer.startswith(b"HTTP/1.1 200") == text.startswith(whole)
        assert client.ask("/health").status == 200


@pytest.mark.parametrize("asked", [1, 2])  # the second waits until the first is read
def test_connection_whose_client_reads_no_answer_is_closed(
    run: Run, models: list[Model], monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr("seq2seq.serving.app.live_page", lambda _: "a" * (1 << 24))  # more than the system holds
    with run(models[:1], seconds=0.3) as client, connected(client) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * asked)
        within_10_seconds(lambda: len(client.server.server_state.connections) == 1)
        within_10_seconds(lambda: not client.server.server_state.connections)


def test_fault_of_the_server_itself_is_told_in_json(
    run: Run, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    with run(models[:1]) as client:
        monkeypatch.setattr(client.server.service.batcher, "submit", fail)
        answer = client.ask("/translate", {"text": "a"})
        assert answer.status == 500 and "the server failed" in answer.json["detail"]
        monkeypatch.undo()
        assert client.ask("/translate", {"text": "a"}).status == 200


def test_stop_answers_what_was_taken_and_refuses_what_comes(run: Run, models: list[Model]) -> None:
    with run(models[:1], wait=5.0) as client, ThreadPoolExecutor(8) as pool:
        taken = [pool.submit(client.ask, "/translate", {"text": "the wolf"}) for _ in range(8)]
        end = time.monotonic() + 4
        while client.server.service.batcher.waiting < 8 and time.monotonic() < end:
            time.sleep(0.01)
        client.server.stop()
        refused = client.ask("/translate", {"text": "the wolf"})
        health = client.ask("/health")
        assert (refused.status, refused.headers["connection"]) == (503, "close") and "retry-after" in refused.headers
        assert (health.status, health.json["status"]) == (503, "stopping")
        assert [future.result().status for future in taken] == [200] * 8
    with pytest.raises(ConnectionRefusedError):
        client.ask("/health")


def test_other_origins_are_told_nothing(client: Any) -> None:
    answer = client.ask("/health", method="OPTIONS")
    assert answer.status == 405 and not [name for name in answer.headers if name.startswith("access-control")]
    for path in ("/", "/docs", "/health", "/nowhere"):
        headers = client.ask(path).headers
        assert (
            headers["x-content-type-options"] == "nosniff"
            and "frame-ancestors 'none'" in headers["content-security-policy"]
        )


def test_form_of_a_web_page_is_no_request(client: Any) -> None:
    """A page of another origin may send text without asking, but not JSON that says it is JSON."""
    with connected(client) as connection:
        body = b'{"text": "the wolf"}'
        head = f"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 422")


def test_description_has_an_example_for_every_request_and_they_are_answered(client: Any) -> None:
    api = client.ask("/openapi.json").json
    assert set(POSTS) | {"/health", "/metrics"} <= set(api["paths"])
    for path in POSTS:
        reference = api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = api["components"]["schemas"][reference.rpartition("/")[2]]
        assert schema["examples"]
        for example in schema["examples"]:
            assert client.ask(path, example).status == 200


def test_health_names_the_models(client: Any) -> None:
    health = client.ask("/health").json
    assert health == {"status": "ok", "models": client.server.service.names, "waiting": 0}
    assert len(set(health["models"])) == 3


def test_request_for_a_web_socket_is_answered_without_advice(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    for upgrade in ("websocket", "h2c"):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        connection.request("GET", "/", headers=headers | {"Upgrade": upgrade})
        assert connection.getresponse().status == 200
        connection.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
