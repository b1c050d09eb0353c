"""What a training says before it begins and when it is done."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from datasets import Dataset

from seq2seq.build import build_model
from seq2seq.cli.keys.shorthand import expand
from seq2seq.cli.training.begin import packages_of
from seq2seq.cli.training.report import describe_attention, report_results
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.evaluation.evaluator import Evaluation
from seq2seq.options import compose_defaults
from seq2seq.training.callbacks import ValidationReport
from seq2seq.training.module import TranslationModule


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=bahdanau"], "\nattention: cross explicit (Additive, Softmax)"),
        (["model=luong"], "\nattention: cross fused"),
        (["model=luong", "model.attention_dropout=0.1"], "\nattention: cross explicit (General, Softmax)"),
        (["model=bottleneck"], ""),
        (
            ["model=transformer", "encoder.pattern=window", "score=additive"],
            "\nattention: encoder fused in slices from 200 tokens, decoder fused, cross explicit (Additive, Softmax)",
        ),
        (
            ["model=transformer", "decoder.self_score=linear", "normalizer=sparsemax"],
            "\nattention: encoder fused, decoder linear, cross explicit (ScaledDot, Sparsemax)",
        ),
    ],
)
def test_line_says_what_computes_each_kind_of_attention(overrides: list[str], expected: str) -> None:
    one: Any = range(8)
    (run,) = expand([*overrides, "output=none"])
    model = build_model(compose_defaults("train", run), Tokenizers(one, one))
    assert describe_attention(model, "cpu") == expected


@pytest.mark.parametrize("linked", [True, False])
def test_table_has_error_rates_where_there_are_links(
    linked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = Dataset.from_list([{"source": "a", "target": "b", "tag": ""}])
    data: Any = SimpleNamespace(dataset=lambda _: rows)
    rates = {"aer": 0.05, "aer_diagonal": 0.4} if linked else {}
    found = Evaluation({"bleu": 50.0, "chrf": 60.0, **rates}, [{"hypothesis": "c"}], [], {}, None, [], None)
    with caplog.at_level(logging.INFO):
        report_results(tmp_path, data, {"val": found}, [])
    head = next(line for line in caplog.text.splitlines() if line.startswith("split"))
    row = next(line for line in caplog.text.splitlines() if line.startswith("val"))
    assert head.split() == ["split", "BLEU", "chrF", *(["AER", "AER", "of", "the", "diagonal"] if linked else [])]
    assert len(head) == len(row)


def test_long_name_of_a_corpus_stays_apart_from_its_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = Dataset.from_list([{"source": "a", "target": "b", "tag": ""}])
    data: Any = SimpleNamespace(dataset=lambda _: rows)
    metrics = {"bleu": 50.0, "chrf": 60.0}
    own = {"loss": 1.0, **metrics}
    metrics |= {f"{name}_by_corpus/parliament_speeches_of_2019": value for name, value in own.items()}
    evaluation = Evaluation(metrics, [{"hypothesis": "c"}], [], {}, None, [], None)
    trainer = SimpleNamespace(current_epoch=0, global_step=1, callback_metrics={})
    module = object.__new__(TranslationModule)
    object.__setattr__(module, "evaluation", evaluation)
    with caplog.at_level(logging.INFO):
        report_results(tmp_path, data, {"val": evaluation}, [])
        evaluation.metrics["perplexity"] = 2.0
        ValidationReport().on_validation_end(cast(Any, trainer), module)
    assert caplog.text.count("  parliament_speeches_of_2019 loss") == 2


@pytest.mark.parametrize(
    ("splits", "said"), [(["val"], " split=val"), (["val", "test"], ""), (["val", "test_2016"], " split=test_2016")]
)
def test_comparison_is_of_a_split_that_was_scored(
    splits: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = Dataset.from_list([{"source": "a", "target": "b", "tag": ""}])
    data: Any = SimpleNamespace(dataset=lambda _: rows)
    found = Evaluation({"bleu": 50.0, "chrf": 60.0}, [{"hypothesis": "c"}], [], {}, None, [], None)
    with caplog.at_level(logging.INFO):
        report_results(tmp_path / "data" / "run" / "time", data, dict.fromkeys(splits, found), [])
    assert f" compare runs={tmp_path / 'data'}{said}\n" in f"{caplog.text}\n"


def test_commands_name_the_packages_of_a_model_of_ones_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = Dataset.from_list([{"source": "a", "target": "b", "tag": ""}])
    data: Any = SimpleNamespace(dataset=lambda _: rows)
    found = Evaluation({"bleu": 50.0, "chrf": 60.0}, [{"hypothesis": "c"}], [], {}, None, [], None)
    configuration = compose_defaults("train", expand(["output=none", "score._target_=my_scores.Near"])[0])
    with caplog.at_level(logging.INFO):
        report_results(tmp_path, data, {"val": found}, packages_of(configuration))
    assert ".ckpt 'trusted=[my_scores]'\ncompare" in caplog.text


def test_file_of_the_profiler_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = Dataset.from_list([{"source": "a", "target": "b", "tag": ""}])
    data: Any = SimpleNamespace(dataset=lambda _: rows)
    found = Evaluation({"bleu": 50.0, "chrf": 60.0}, [{"hypothesis": "c"}], [], {}, None, [], None)
    (tmp_path / "fit-profile.txt").touch()
    with caplog.at_level(logging.INFO):
        report_results(tmp_path, data, {"val": found}, [])
    assert f"\nprofile       {tmp_path / 'fit-profile.txt'}\n" in f"{caplog.text}\n"
