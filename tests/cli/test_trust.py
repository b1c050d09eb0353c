"""Which ranking of words to trust: erasure in its order beside a loop by hand, chance and gold links."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.table import Table
from torch import Tensor
from torch.testing import assert_close

from seq2seq.alignment.links import Links
from seq2seq.alignment.sentence import Sentence, sentence_of
from seq2seq.attribution import Erasure, Forced, GradientTimesInput, faithfulness
from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.trust_tables import methods_table, phenomena_table
from seq2seq.evaluation.trust import RANDOM, Mean, Pair, Trust, measure_trust
from seq2seq.models import EncoderDecoder

SOURCE, TARGET = "The small wolf slept .", "Der kleine Wolf schlief ."


@pytest.fixture(scope="module")
def loaded(bahdanau: Any) -> tuple[EncoderDecoder, Any]:
    return load_model(read_checkpoint(bahdanau.best), torch.device("cpu"))


@pytest.fixture(scope="module")
def sentences(loaded: Any) -> tuple[Sentence, Sentence]:
    _, tokenizers = loaded
    return sentence_of(tokenizers.source, SOURCE), sentence_of(tokenizers.target, TARGET)


@pytest.fixture(scope="module")
def forced(loaded: Any, sentences: tuple[Sentence, Sentence]) -> Forced:
    source, target = sentences
    return Forced(
        loaded[0],
        source.ids,
        target.ids,
        tokens_per_batch=64,
        source_units=source.ending().word_of_piece,
        prefix_units=target.beginning().word_of_piece,
    )


def lost(forced: Forced, step: int, erased: list[int]) -> float:
    """What log p of a step's token loses when some source words are zeros."""
    source = forced.source.clone()
    for unit in erased:
        source[:, forced.source_units == unit] = 0
    with torch.no_grad():
        before, after = (forced(x, forced.prefix)[0, step] for x in (forced.source, source))
    return float(before - after)


def test_words_are_erased_and_kept_in_the_order_of_the_ranking(forced: Forced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.attribution.faithfulness.ERASED", (1, 3, 99))
    importance = torch.randn(forced.steps, 6)
    found = faithfulness.faithfulness(forced, importance)
    for step in range(forced.steps):
        order = importance[step].argsort(descending=True).tolist()
        highest = [order[:k] for k in (1, 3)]  # there are not 99 words to erase
        expected = sum(lost(forced, step, words) for words in highest) / 2
        assert found.comprehensiveness[step].item() == pytest.approx(expected, abs=1e-4)
        alone = sum(lost(forced, step, [i for i in range(6) if i not in words]) for words in highest) / 2
        assert found.sufficiency[step].item() == pytest.approx(alone, abs=1e-4)


def test_of_one_word_erasure_is_the_best_ranking(forced: Forced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.attribution.faithfulness.ERASED", (1,))
    contributions = Erasure()(forced).source
    found = faithfulness.faithfulness(forced, contributions)
    assert_close(found.comprehensiveness, contributions.amax(-1), atol=1e-4, rtol=0)


def test_attention_ranks_by_the_reading_that_was_chosen(loaded: Any, forced: Forced, bahdanau: Any) -> None:
    choice = read_checkpoint(bahdanau.best).alignment
    assert choice is not None
    rows = {row: faithfulness.attention_ranking(forced, choice._replace(row=row)) for row in ("output", "input")}
    assert_close(rows["input"][:-1], rows["output"][1:])  # the step after
    norms = faithfulness.attention_ranking(forced, choice._replace(quantity="norms"))
    assert_close(norms.sum(-1), rows["output"].sum(-1))
    assert not torch.allclose(norms, rows["output"])


def test_methods_have_gradients_where_a_caller_wants_none(loaded: Any, sentences: tuple[Sentence, Sentence]) -> None:
    pair = Pair(*sentences, None, "")
    rankings = {"gradients": lambda forced: GradientTimesInput()(forced).source}
    with torch.inference_mode():
        found = measure_trust(loaded[0], [pair], rankings)
    again = measure_trust(loaded[0], [pair], rankings)
    assert found["gradients"].comprehensiveness == again["gradients"].comprehensiveness


def test_hits_are_words_whose_first_is_linked_and_chance_does_not_change(
    loaded: Any, sentences: tuple[Sentence, Sentence]
) -> None:
    gold = Links(frozenset({(0, 0), (1, 1), (2, 2)}), frozenset({(4, 4)}))
    pair = Pair(*sentences, gold, "adjective past")

    def first_two(forced: Forced) -> Tensor:
        words = torch.tensor(sentences[1].ending().word_of_piece)
        return torch.nn.functional.one_hot(words.clamp(max=1), 6).float()  # Wolf looks at small

    found = measure_trust(loaded[0], [pair, pair], {"two": first_two})
    again = measure_trust(loaded[0], [pair, pair], {})
    assert found["two"].hit_rate == pytest.approx(2 / 3)
    assert found["two"].hits_by_tag == pytest.approx({"adjective": 2 / 3, "past": 2 / 3})
    assert found[RANDOM].comprehensiveness == again[RANDOM].comprehensiveness
    low, mean, high = (getattr(found["two"].sufficiency, name) for name in ("low", "mean", "high"))
    assert low <= mean <= high


def test_antecedent_is_first_but_for_what_the_pronoun_translates(
    loaded: Any, sentences: tuple[Sentence, Sentence]
) -> None:
    gold = Links(frozenset({(0, 0), (4, 4)}), frozenset({(4, 4), (3, 4)}))
    source, target = sentences
    pair = Pair(source, target, gold, "pronoun", frozenset({(2, 4)}))

    def ranking(order: list[float]) -> Any:
        return lambda forced: torch.tensor(order, dtype=torch.float).expand(forced.steps, 6)

    rankings = {"right": ranking([0, 1, 2, 4, 5, 0]), "wrong": ranking([0, 3, 2, 4, 5, 0])}
    found = measure_trust(loaded[0], [pair, pair._replace(antecedents=frozenset())], rankings)
    assert found["right"].antecedent_rate == 1.0 and found["wrong"].antecedent_rate == 0.0


def test_command_has_a_table_and_a_file(command: Any, bahdanau: Any, tmp_path: Path) -> None:
    said = command("trust", f"checkpoint={bahdanau.best}", "sentences=3", "methods=[attention,erasure]", "output=out")
    assert said.status == 0, said.err
    assert all(name in said.out for name in ("attention", "erasure", RANDOM, "first word is linked"))
    stored = json.loads((tmp_path / "out" / "trust-test.json").read_text())
    assert set(stored["methods"]) == {"attention", "erasure", RANDOM} and stored["sentences"] == 3
    means = stored["methods"]["erasure"]["comprehensiveness"]
    assert means["low"] <= means["mean"] <= means["high"]
    said = command("trust", f"checkpoint={bahdanau.best}", "sentences=2", "methods=[attention]", "output=out")
    assert said.status == 1 and "other settings (sentences)" in said.err
    assert json.loads((tmp_path / "out" / "trust-test.json").read_text()) == stored


def test_other_weights_have_a_table_and_a_file_of_their_own(
    command: Any, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.attribution.changes.ROUNDS", 3)
    asked = ("methods=[]", "changes=[permuted,uniform,adversarial]", f"others=[{bahdanau.best}]", "output=out")
    said = command("trust", f"checkpoint={bahdanau.best}", "sentences=2", *asked)
    assert said.status == 0, said.err
    assert "random order" not in said.out and not (tmp_path / "out" / "trust-test.json").exists()
    stored = json.loads((tmp_path / "out" / "changes-test.json").read_text())
    by_weights = {row["weights"]: row for row in stored["changes"]}
    assert {row["changed"] for row in stored["changes"]} == {"alignment"}
    *others, itself = by_weights.values()
    assert [row["weights"] for row in others] == ["permuted", "uniform", "adversarial"]
    assert all(0 < row["moved"]["mean"] <= 1 and 0 < row["distance"]["mean"] < 0.7 for row in others[:2])
    assert others[2]["moved"]["mean"] <= 0.05
    assert itself["moved"]["mean"] == pytest.approx(0, abs=1e-6) and itself["same"]["mean"] == 1.0
    assert itself["distance"]["mean"] == pytest.approx(0, abs=1e-6)


def test_hits_by_phenomenon_are_a_table_on_request(command: Any, bahdanau: Any, tmp_path: Path) -> None:
    said = command(
        "trust", f"checkpoint={bahdanau.best}", "sentences=3", "methods=[attention]", "phenomena=true", "output=out"
    )
    assert said.status == 0, said.err
    hits = json.loads((tmp_path / "out" / "trust-test.json").read_text())["methods"]["attention"]["hits_by_tag"]
    for tag, share in hits.items():
        (line,) = (line for line in said.out.splitlines() if f" {tag} " in line)
        assert f"{100 * share:.1f}" in line


def test_tables_have_the_methods_by_what_is_lost_without_their_words() -> None:
    """The greatest loss first, whatever the order in which they were measured and whatever else they are best in."""
    found = {
        name: Trust(Mean(lost, lost, lost), Mean(-lost, 0, 0), number / 10, {"dative": number / 10}, None, number / 99)
        for number, (name, lost) in enumerate({"low": -0.5, "high": 2.0, "middle": 0.3, "zero": 0.0}.items(), start=1)
    }  # fmt: skip
    order = ["high", "middle", "zero", "low"]
    assert list(methods_table(found).columns[0].cells) == order
    by_phenomenon = phenomena_table(found)
    assert isinstance(by_phenomenon, Table)
    assert [column.header for column in by_phenomenon.columns] == ["phenomenon", *order]
    assert [next(iter(column.cells)) for column in by_phenomenon.columns] == ["dative", "20.0", "30.0", "40.0", "10.0"]


def test_table_without_rows_is_a_line_that_says_why() -> None:
    mean = Mean(0.1, -0.3, -0.0)
    without = Trust(mean, mean, 0.5, {}, None, 0.01)
    assert "data=grammar" in str(phenomena_table({"attention": without}))
    table = phenomena_table({"attention": replace(without, hits_by_tag={"dative": 0.5})})
    assert isinstance(table, Table) and len(table.rows) == 1
    (_, cells, *_) = methods_table({"attention": without}).columns
    assert list(cells.cells) == ["0.10 (-0.30 to -0.00)"]  # with a hyphen it would look like another number


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("methods=[]", ("methods=[]", "changes=[permuted]")),
        ("changes=[permutted]", ("permutted", "did you mean permuted")),
        ("changes=uniform", ("changes=uniform", "changes=[permuted]")),
        ("epsilon=0", ("epsilon=0", "above 0")),
        ("others=[missing.ckpt]", ("missing.ckpt",)),
        ("others=[größe 1/a]b.ckpt,missing.ckpt]", ("there is no checkpoint größe 1/a]b.ckpt",)),  # a name as any other
        ("others=null", ("there is no checkpoint null",)),
        ("methods=[erazure]", ("erazure", "did you mean erasure")),
        ("methods=erasure", ("methods=erasure", "[attention,erasure]")),
        ("methods=[rollout]", ("rollout",)),  # of a recurrent model
        ("sentences=1", ("sentences=1", "100")),
        ("split=tets", ("tets",)),
    ],
)
def test_mistake_is_said_before_anything_is_measured(
    command: Any, bahdanau: Any, tmp_path: Path, given: str, parts: tuple[str, ...]
) -> None:
    said = command("trust", f"checkpoint={bahdanau.best}", given, "output=out")
    assert said.status == 1 and all(part in said.err for part in parts), said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_reader_that_has_gone_does_not_cost_the_results(
    command: Any, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `| head`: nobody sees the tables, but they took long."""

    def gone(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("seq2seq.cli.trust.Console.print", gone)
    said = command("trust", f"checkpoint={bahdanau.best}", "output=out", "sentences=2", "methods=[attention]")
    assert (said.status, said.err) == (1, "")
    assert json.loads((tmp_path / "out" / "trust-test.json").read_text())["methods"]


def test_full_disk_does_not_cost_the_tables(command: Any, bahdanau: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("seq2seq.cli.trust.json.dump", full)
    said = command("trust", f"checkpoint={bahdanau.best}", "output=out", "sentences=2", "methods=[attention]")
    assert said.status == 1 and "trust-test.json: No space left on device; make some" in said.err
    assert "attention" in said.out and "written to" not in said.out
