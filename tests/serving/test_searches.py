"""Requests choose a search, its keys, and what a translation must say; the answer is what Python gives for the same."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from seq2seq.api import Model
from seq2seq.serving.searches import FIELDS, NAMES, defaults_said

LINES = ["the old wolf slept", "", "a house saw the wolf"]


def texts(answer: Any) -> list[list[str]]:
    return [[hypothesis["text"] for hypothesis in line["hypotheses"]] for line in answer.json["translations"]]


def expected(model: Model, lines: list[str], **options: Any) -> list[list[str]]:
    return [[translation.text for translation in line] for line in model.translations(lines, **options)]


@pytest.mark.parametrize(
    ("search", "fields"),
    [
        ("greedy", {"max_length": 4}),
        ("beam", {"n_best": 3, "beam_size": 4, "no_repeat_ngram": 2, "repetition_penalty": 1.5}),
        ("diverse", {"beam_size": 4, "groups": 2, "diversity": 2, "n_best": 4}),
        ("sample", {"n_best": 4, "temperature": 0.5, "top_k": 20, "top_p": 0.9, "seed": 7}),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_search_and_its_fields_are_those_of_the_model(
    client: Any, models: list[Model], search: str, fields: dict[str, Any], which: int
) -> None:
    asked = {"text": LINES, "search": search, **fields, "model": client.server.service.names[which]}
    assert texts(client.ask("/translate", asked)) == expected(models[which], LINES, search=search, **fields)


def test_length_penalty_is_that_of_the_search(client: Any, models: list[Model]) -> None:
    (plain, none) = (
        client.ask("/translate", {"text": "the old wolf slept", **more}).json["translations"][0]["score"]
        for more in ({}, {"length_penalty": 0})
    )
    found = models[0].translations(["the old wolf slept"], search="beam", length_penalty={"alpha": 0})[0][0]
    assert none == pytest.approx(found.score, abs=1e-4) and none < plain


def test_samples_do_not_depend_on_who_else_asks(run: Any, models: list[Model]) -> None:
    lines = [f"the {'old ' * (i % 3)}wolf" for i in range(12)]
    with run(models[:1], wait=0.2) as client, ThreadPoolExecutor(12) as pool:
        asked = [{"text": ["a house", line], "search": "sample", "n_best": 3} for line in lines]
        found = list(pool.map(lambda one: texts(client.ask("/translate", one)), asked))
    alone = [expected(models[0], ["a house", line], search="sample", n_best=3) for line in lines]
    assert found == alone


def test_translation_begins_with_its_prefix_and_says_what_is_asked(client: Any, models: list[Model]) -> None:
    prefixes = ["der Wol", "", "ein Haus "]
    constraints = [{"forbid": ["alte"]}, None, {"require": [["schlief", "sah"]], "forbid": ["den"]}]
    asked = {"text": LINES, "prefix": prefixes, "constraints": constraints}
    same = {"prefix": prefixes, "constraints": constraints}
    found = texts(client.ask("/translate", asked))
    assert found == expected(models[0], LINES, search="beam", **same)
    assert found[0][0].startswith("der Wol") and found[2][0].startswith("ein Haus ")
    (one,) = texts(client.ask("/translate", {"text": LINES[0], "prefix": "der Wol", "constraints": constraints[0]}))
    assert one == found[0]


def test_dead_end_refuses_its_own_request_alone_and_names_the_sentence(run: Any, models: list[Model]) -> None:
    room = {"max_length": len(models[0].tokenizers.target.encode("schlief")) + 1}  # so that the word ends there
    stuck = {"text": LINES[:1] * 2, "prefix": ["", "schlief"], "constraints": [None, {"forbid": ["schlief"]}], **room}
    free = {"text": LINES[0], **room}
    with run(models[:1], wait=0.2) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: client.ask("/translate", one), [free, stuck] * 2))
    assert [answer.status for answer in answers] == [200, 422] * 2
    assert answers[1].json["detail"].startswith("constraints[1]: no translation was found that keeps to what is asked")
    assert texts(answers[0]) == expected(models[0], LINES[:1], search="beam", **room)


def test_requests_with_and_without_a_prefix_share_a_call(run: Any, models: list[Model]) -> None:
    asked: list[dict[str, Any]] = [{"text": "the old wolf"}, {"text": "the old wolf", "prefix": "ein Haus"}] * 4
    asked += [{"text": "the old wolf", "constraints": {"require": ["schlief"]}}] * 4
    with run(models[:1], wait=0.3) as client, ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: texts(client.ask("/translate", one))[0][0], asked))
        metrics = client.ask("/metrics").body.decode()
    plain, begun = models[0].translate(["the old wolf"] * 2, prefix=["", "ein Haus"])
    required = models[0].translate(["the old wolf"], constraints=[{"require": ["schlief"]}])
    assert found == [plain, begun] * 4 + required * 4
    assert float(metrics.partition("\nseq2seq_batch_sentences_count ")[2].split()[0]) < 12


def test_attention_is_of_the_search_that_is_asked_for(client: Any, models: list[Model]) -> None:
    for fields in ({"search": "sample", "n_best": 3, "seed": 3}, {"search": "diverse"}):
        answer = client.ask("/attention", {"source": "the old wolf", **fields}).json
        assert [target["text"] for target in answer["targets"]] == expected(models[0], ["the old wolf"], **fields)[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"search": "greedy", "n_best": 2}, "search=greedy has no n_best; leave it out, or say search=beam or diverse"),
        ({"temperature": 0.5}, "search=beam has no temperature; leave it out, or say search=sample"),
        ({"search": "sample", "length_penalty": 1.0}, "search=sample has no length_penalty"),
        ({"search": "sample", "temperature": 0.0}, "temperature"),
        ({"search": "sample", "temperature": float("nan")}, "temperature"),
        ({"search": "sample", "top_p": 0}, "top_p"),
        ({"search": "sample", "seed": -1}, "seed"),
        ({"search": "diverse", "beam_size": 5}, "beam_size=5 must be above 0 and a multiple of groups=3; change one"),
        ({"search": "diverse", "n_best": 7}, "n_best=7 must be from 1 to beam_size=6"),
        ({"length_penalty": float("inf")}, "length_penalty"),
        ({"max_length": 0}, "max_length"),
        ({"prefix": ["der", "die"]}, "1 sentence and 2 prefixes; give one for each sentence"),
        ({"constraints": [None, None]}, "1 sentence and 2 constraints; give one for each sentence"),
        ({"constraints": {"requires": []}}, "requires"),
        ({"constraints": {"require": [""]}}, "'' is no text with a word"),
        ({"constraints": {"require": ["der"], "forbid": ["der"]}}, "requires der, and forbids it"),
        ({"constraints": {"require": ["der"]}, "search": "sample"}, "words can be required of search=beam only"),
        ({"prefix": "\u732b"}, "\u732b"),
        ({"prefix": "der Wolf schlief", "max_length": 2}, "max_length"),
        ({"prefix": "der ", "constraints": {"forbid": ["der"]}}, "which its prefix says"),
    ],
)  # fmt: skip
def test_what_a_search_cannot_do_is_refused_in_one_line(client: Any, fields: dict[str, Any], said: str) -> None:
    answer = client.ask("/translate", {"text": "the wolf", **fields})
    assert (answer.status, list(answer.json)) == (422, ["detail"])
    assert said in answer.json["detail"] and "\n" not in answer.json["detail"]
    assert "search." not in answer.json["detail"]


def test_prefix_that_is_too_long_is_too_much(client: Any) -> None:
    answer = client.ask("/translate", {"text": "the wolf", "prefix": "Wolf " * 100})
    assert answer.status == 413 and "target has 100 pieces" in answer.json["detail"]


def test_description_says_the_defaults_of_each_search(client: Any) -> None:
    described = client.ask("/openapi.json").json["components"]["schemas"]["TranslateRequest"]["properties"]
    assert set(described["search"]["enum"]) == set(NAMES)
    for field in FIELDS:
        assert described[field]["description"].endswith(defaults_said(field))
    assert defaults_said("beam_size") == "By default 5 (beam), 6 (diverse)."
    assert defaults_said("max_length") == "By default 256."


def test_several_models_translate_as_one_beside_each_alone(run: Any, models: list[Model]) -> None:
    both = models[0].joined(models[1], ensemble="linear")
    pairs = [("the old wolf", "der alte Wolf")]
    with run([both, *models[:2]]) as client:
        names = client.server.service.names
        assert client.ask("/health").json["models"] == ["ensemble", *client.server.service.names[1:]]
        found = client.ask("/translate", {"text": LINES, "n_best": 2, "prefix": ["", "", "ein"]})
        score = client.ask("/score", {"source": pairs[0][0], "target": pairs[0][1]}).json["scores"][0]
        alternatives = client.ask("/alternatives", {"source": LINES[0], "prefix": "der "}).json["alternatives"]
        refused = [client.ask(path, {"source": "the wolf", "target": "der Wolf"}) for path in ("/align", "/attention")]
    assert texts(found) == expected(both, LINES, search="beam", n_best=2, prefix=["", "", "ein"])
    assert score["log_probability"] == pytest.approx(both.score(pairs)[0].log_probability, abs=1e-3)
    assert [one["text"] for one in alternatives] == [one.text for one in both.alternatives(LINES[0], "der ")]
    for answer in refused:
        assert (
            answer.status == 422
            and f"ensemble has no attention; name {names[1]} or {names[2]}" in answer.json["detail"]
        )


def test_joined_models_are_those_loaded_together(models: list[Model]) -> None:
    joined = models[0].joined(models[1])
    loaded = Model(models[0].checkpoint, models[1].checkpoint)
    assert joined.translations(LINES) == loaded.translations(LINES)
