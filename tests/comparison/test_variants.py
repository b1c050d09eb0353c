"""Which runs are one variant, what variants are called, and which runs may not be compared."""

import statistics
from pathlib import Path
from typing import Any

import pytest

from seq2seq.comparison.comparing import compare_runs
from seq2seq.comparison.runs import find_runs
from seq2seq.comparison.variants import check_same_data, group_runs
from seq2seq.errors import UserError
from tests.comparison.writer import REFERENCES, rows, write_run

SCORES = {"test/bleu": 50.0}


def test_runs_that_differ_in_seed_and_place_are_one_variant(tmp_path: Path) -> None:
    for seed in (2, 1, 3):
        write_run(tmp_path / str(seed), seed=seed, config={"loader.cache_dir": f"cache{seed}"})
    ((variant,), left_out) = group_runs(find_runs(tmp_path))
    assert variant.name == "luong-general"
    assert [run.seed for run in variant.runs] == [1, 2, 3]
    assert left_out == []


def test_key_that_an_earlier_version_did_not_have_makes_no_variant(tmp_path: Path) -> None:
    usual = {"cross_pattern": {"_target_": "seq2seq.attention.Full", "_partial_": True}, "training.r_drop": 0.0}
    write_run(tmp_path / "old", seed=1)
    write_run(tmp_path / "new", seed=2, config=usual)
    write_run(tmp_path / "other", seed=3, config=usual | {"training.r_drop": 5.0})
    found = {variant.name: len(variant.runs) for variant in group_runs(find_runs(tmp_path)).variants}
    assert found == {"luong-general (training.r_drop=0.0)": 2, "luong-general (training.r_drop=5.0)": 1}


def test_what_a_run_shows_makes_no_variant(tmp_path: Path) -> None:
    write_run(tmp_path / "a", config={"callbacks.pinned.every_head": ["cross"], "pinned": [1, 2]})
    write_run(tmp_path / "b", seed=2, config={"callbacks.pinned": None, "logger": None, "pinned": [3]})
    write_run(tmp_path / "c", seed=3, config={"callbacks.ema.decay": 0.9})  # which changes what is trained
    assert [len(variant.runs) for variant in group_runs(find_runs(tmp_path)).variants] == [2, 1]


def test_deviation_is_that_of_a_sample(tmp_path: Path) -> None:
    for seed, bleu in enumerate((90.0, 93.0, 96.0)):
        write_run(tmp_path / str(seed), seed=seed, metrics={"test/bleu": bleu})
    ((variant,), _) = group_runs(find_runs(tmp_path))
    assert variant.statistic("test/bleu") == (93.0, 3.0, 3)
    assert statistics.stdev([90.0, 93.0, 96.0]) == 3.0
    assert variant.statistic("test/aer") is None


def test_single_seed_has_no_deviation(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=SCORES)
    ((variant,), _) = group_runs(find_runs(tmp_path))
    assert variant.statistic("test/bleu") == (50.0, None, 1)


def test_variants_of_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=SCORES)
    # The encoder takes its value from the model's: one key says it.
    write_run(tmp_path / "b", config={"model.dropout": 0.2, "encoder.dropout": 0.2}, metrics=SCORES)
    write_run(tmp_path / "c", variant="bottleneck-none", metrics=SCORES)
    variants, _ = group_runs(find_runs(tmp_path))
    names = [variant.name for variant in variants]
    assert names == ["luong-general (model.dropout=0.1)", "luong-general (model.dropout=0.2)", "bottleneck-none"]


def test_of_many_variants_a_name_says_only_what_is_unusual(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "wide": {"model.d_model": 512, "model.dropout": 0.4},
        "rotary": {"encoder.positions": "rotary", "decoder.positions": "rotary"},
        "short": {"trainer.max_epochs": 3},
        "small": {"model.d_model": 64},
        "sink": {"normalizer._target_": "seq2seq.attention.Sink", "normalizer.temperature": None},
        "both": {"normalizer._target_": "seq2seq.attention.Sink", "trainer.max_epochs": 3},
        "top2": {"normalizer._target_": "seq2seq.attention.TopK", "normalizer.k": 2},
        "top4": {"normalizer._target_": "seq2seq.attention.TopK", "normalizer.k": 4},
    }
    for folder, config in changes.items():
        write_run(tmp_path / folder, config=config, metrics=SCORES)
    names = {variant.runs[0].folder.name: variant.name for variant in group_runs(find_runs(tmp_path)).variants}
    assert names == {
        "plain": "luong-general",
        "wide": "luong-general (model.dropout=0.4, model.d_model=512)",
        "rotary": "luong-general (encoder.positions=rotary)",
        "short": "luong-general (trainer.max_epochs=3)",
        "small": "luong-general (model.d_model=64)",
        "sink": "luong-general (normalizer=sink)",
        "both": "luong-general (normalizer=sink, trainer.max_epochs=3)",
        "top2": "luong-general (normalizer=topk, normalizer.k=2)",
        "top4": "luong-general (normalizer=topk, normalizer.k=4)",
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [("encoder.self_normalizer", ["Cosine", "Near", "off_by_one"]), ("score", ["Cosine", "Near", "OffByOne"])],
)
def test_part_is_called_by_the_word_that_a_user_gives_for_it(tmp_path: Path, key: str, expected: list[str]) -> None:
    """A class that several choices make, and one that none makes, keep their own name."""
    for target in ("seq2seq.attention.OffByOne", "seq2seq.attention.Cosine", "my_scores.Near"):
        write_run(tmp_path / target, config={f"{key}._target_": target})
    names = sorted(variant.name for variant in group_runs(find_runs(tmp_path)).variants)
    assert names == [f"luong-general ({key}={name})" for name in expected]


def test_baseline_of_a_name_that_several_share_is_told_theirs(tmp_path: Path) -> None:
    for folder, config in {"a": {}, "b": {"model.dropout": 0.4}}.items():
        write_run(tmp_path / folder, config=config, metrics=SCORES)
    message = r"give one of luong-general \(model.dropout=\S+\), luong-general \(model.dropout=\S+\)$"
    with pytest.raises(UserError, match=message):
        compare_runs(tmp_path, split="test", baseline="luong-general", samples=10)


def test_key_that_is_null_and_one_that_is_missing_are_the_same(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=2, config={"training.guidance": None})
    assert [variant.name for variant in group_runs(find_runs(tmp_path)).variants] == ["luong-general"]


def test_name_without_a_seed_stays_whole(tmp_path: Path) -> None:
    write_run(tmp_path / "a", config={"run_name": "class1"})
    assert group_runs(find_runs(tmp_path)).variants[0].name == "class1"


def test_newest_of_equal_configuration_and_seed_counts(tmp_path: Path) -> None:
    for day, bleu in (("01", 10.0), ("03", 30.0), ("02", 20.0)):
        write_run(tmp_path / f"2026-01-{day}_00-00-00", metrics={"test/bleu": bleu})
    ((variant,), left_out) = group_runs(find_runs(tmp_path))
    assert [run.metrics["test/bleu"] for run in variant.runs] == [30.0]
    assert sorted(run.metrics["test/bleu"] for run in left_out) == [10.0, 20.0]


def test_finished_run_counts_before_a_newer_one_that_is_not(tmp_path: Path) -> None:
    write_run(tmp_path / "2026-01-01_00-00-00", metrics=SCORES)
    write_run(tmp_path / "2026-01-02_00-00-00", error="out of memory")
    ((variant,), left_out) = group_runs(find_runs(tmp_path))
    assert [run.state for run in variant.runs] == ["finished"]
    assert [run.state for run in left_out] == ["failed"]


def test_run_without_a_configuration_joins_the_variant_of_its_name(tmp_path: Path) -> None:
    write_run(tmp_path / "luong-general-s1" / "2026-01-01_00-00-00", metrics=SCORES)
    folder = tmp_path / "luong-general-s2" / "2026-01-01_00-00-00"
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text("broken\n")
    ((variant,), _) = group_runs(find_runs(tmp_path))
    assert [run.state for run in variant.runs] == ["finished", "failed"]


def _check(folder: Path) -> None:
    check_same_data(find_runs(folder), folder, "test")


def test_different_data_are_refused_with_both_runs_and_the_remedy(tmp_path: Path) -> None:
    write_run(tmp_path / "grammar" / "a", metrics=SCORES, sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "other" / "b", config={"data.seed": 7}, metrics=SCORES, sentences={"test": rows(REFERENCES)})
    with pytest.raises(UserError) as error:
        _check(tmp_path)
    message = str(error.value)
    assert "grammar/a and other/b" in message
    assert "data.seed=0 and 7" in message
    assert f"runs={tmp_path / 'grammar'}" in message
    assert "\n" not in message


@pytest.mark.parametrize("streaming", [True, False, None])
def test_stream_of_the_same_data_is_the_same_data(tmp_path: Path, streaming: bool | None) -> None:
    write_run(tmp_path / "old", metrics=SCORES, sentences={"test": rows(REFERENCES)})  # before there were streams
    write_run(
        tmp_path / "new",
        config={"data.streaming": streaming, "data.tag": None},
        metrics=SCORES,
        sentences={"test": rows(REFERENCES)},
    )
    _check(tmp_path)


def test_different_references_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=SCORES, sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "b", seed=2, metrics=SCORES, sentences={"test": rows(REFERENCES, REFERENCES[::-1])})
    with pytest.raises(UserError, match="a and b have different references in test"):
        _check(tmp_path)


@pytest.mark.parametrize("short", ["a", "b"])
def test_run_whose_sentences_end_early_is_damaged_rather_than_different(tmp_path: Path, short: str) -> None:
    for name in ("a", "b"):
        lines = rows(REFERENCES)
        write_run(tmp_path / name, metrics=SCORES, sentences={"test": lines[:2] if name == short else lines})
    runs = find_runs(tmp_path)
    check_same_data(runs, tmp_path, "test")
    stories = {run.where: run.story for run in runs if run.state == "damaged"}
    assert list(stories) == [short]
    assert "ends after 2 of 4 sentences" in stories[short]


def test_failed_runs_do_not_have_to_have_references(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=SCORES, sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "b", seed=2, error="out of memory")
    _check(tmp_path)
