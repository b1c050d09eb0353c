"""The table says the same in all its forms, and what stands in it can be worked out by hand."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from rich.console import Console

from seq2seq.comparison.chance import Chance, choose_baseline, compare_with
from seq2seq.comparison.forms import as_csv, as_markdown, as_rich
from seq2seq.comparison.page import as_page
from seq2seq.comparison.runs import find_runs
from seq2seq.comparison.table import Comparison, make_table, rank, splits_of
from seq2seq.comparison.variants import group_runs
from seq2seq.evaluation.significance import Significance, paired_bootstrap_bleu
from tests.comparison.writer import REFERENCES, rows, write_run

WORSE = ["der Hund schläft .", "eine Katze sieht den Hund .", "er weiß das nicht .", "der Hund hat eine Katze ."]


def _scores(bleu: float, aer: float | None = 0.1, **more: float) -> dict[str, float]:
    scores = {"test/bleu": bleu, "test/chrf": bleu, "test_long/bleu": bleu / 2, "parameters": 2_500_000, **more}
    return scores if aer is None else scores | {"test/aer": aer, "test_long/aer": 2 * aer}


@pytest.fixture
def compared(tmp_path: Path) -> tuple[Comparison, Chance]:
    """Two seeds of luong, one and a failed one of bottleneck, and one that goes on."""
    better, worse = rows(REFERENCES * 10, REFERENCES * 10), rows(WORSE * 10, REFERENCES * 10)
    write_run(tmp_path / "a", metrics=_scores(90.0), sentences={"test": better})
    write_run(tmp_path / "b", seed=2, metrics=_scores(94.0, 0.2), sentences={"test": better})
    write_run(tmp_path / "c", variant="bottleneck", seed=2, metrics=_scores(20.0, None), sentences={"test": worse})
    write_run(tmp_path / "d", variant="bottleneck", seed=1, error="out of memory")
    write_run(tmp_path / "e", variant="*|<b>`x`", curves={"val/bleu": [3.0]})
    return _compare(tmp_path)


def _compare(folder: Path, samples: int = 100) -> tuple[Comparison, Chance]:
    variants, left_out = group_runs(find_runs(folder))
    baseline = choose_baseline(variants, "test")
    assert baseline is not None
    chance = compare_with(baseline, variants, "test", samples=samples)
    return make_table(rank(variants, "test"), left_out, chance, "test"), chance


def _rich(table: Comparison, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(as_rich(table, width))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_long_name_is_folded_at_its_hyphens(compared: tuple[Comparison, Chance]) -> None:
    table, _ = compared
    rows = [table.rows[0]._replace(name="luong-general-coverage"), *table.rows[1:]]
    lines = [line.strip() for line in _rich(table._replace(rows=rows), 60).splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("luong-general-"))
    assert lines[begin].split()[0] == "luong-general-" and lines[begin + 1] == "coverage"


def test_markdown_holds_means_deviations_states_and_notes(compared: tuple[Comparison, Chance]) -> None:
    text = as_markdown(compared[0])
    lines = text.splitlines()
    assert lines[0] == "| variant | seeds | BLEU | ΔBLEU | p ΔBLEU | chrF | AER | BLEU long | AER long | params M |"
    means = "| 92.0 ± 2.8 | baseline | – | 92.0 ± 2.8 | 15.0 ± 7.1 | 46.0 ± 1.4 | 30.0 ± 14.1 | 2.50 |"
    assert lines[2] == f"| luong-general | 2 {means}"
    assert lines[3].startswith("| bottleneck | 1 of 2 | 20.0 | -")
    assert lines[4] == "| \\*\\|\\<b\\>\\`x\\` | unfinished | – | – | – | – | – | – | – | – |"
    assert "paired bootstrap against luong-general with 100 samples" in text and "on seed 2;" in text
    assert "- failed: d: out of memory" in text
    assert "- unfinished: e: epoch 1, val BLEU 3.00" in text


def _tested(ours: list[str], theirs: list[str]) -> Significance:
    return paired_bootstrap_bleu(ours, {"x": theirs}, REFERENCES * 10, tokenize="none", samples=100)[0]["x"]


def test_significance_of_one_seed_in_common(compared: tuple[Comparison, Chance]) -> None:
    _, chance = compared
    expected = _tested(REFERENCES * 10, WORSE * 10)
    assert chance.baseline == "luong-general"
    assert chance.bleu == {"bottleneck": ((2,), *expected)}
    assert chance.aer == {}  # its sentences have no links
    assert expected.p < 0.05


@pytest.mark.parametrize(
    ("ours", "theirs", "agree"),
    [
        ([REFERENCES * 10, REFERENCES * 10], [WORSE * 10, WORSE[:1] + (REFERENCES * 10)[1:]], True),
        ([REFERENCES * 10, WORSE[:1] + (REFERENCES * 10)[1:]], [WORSE * 10, REFERENCES * 10], False),
    ],
)
def test_significance_over_seeds_is_that_of_the_weakest(
    tmp_path: Path, ours: list[list[str]], theirs: list[list[str]], agree: bool
) -> None:
    for variant, score, outputs in (("luong-general", 90.0, ours), ("x", 20.0, theirs)):
        for seed, hypotheses in enumerate(outputs, 1):
            sentences = {"test": rows(hypotheses, REFERENCES * 10)}
            folder = tmp_path / f"{variant}-{seed}"
            write_run(folder, variant=variant, seed=seed, metrics=_scores(score), sentences=sentences)
    table, chance = _compare(tmp_path)
    results = [_tested(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    tested = chance.bleu["x"]
    assert tested.seeds == (1, 2)
    assert tested.difference == pytest.approx(sum(result.difference for result in results) / 2)
    assert results[0].p < 0.05 < results[1].p  # so neither the first seed nor the mean would do
    assert tested.p == (results[1].p if agree else 1.0)
    assert any("with every seed" in note for note in table.notes)


def test_alignment_error_is_tested_where_both_have_links(tmp_path: Path) -> None:
    def linked(hits: int) -> list[dict[str, object]]:
        counts = {"sure": 8, "links": 8, "sure_hits": hits, "possible_hits": hits}
        return [row | counts for row in rows(REFERENCES * 10, REFERENCES * 10)]

    for variant, hits in {"luong-general": 8, "worse": 6}.items():
        for seed in (1, 2):
            found, scores = {"test": linked(hits)}, _scores(90.0 + hits, 1 - hits / 8)
            write_run(tmp_path / f"{variant}{seed}", variant=variant, seed=seed, metrics=scores, sentences=found)
    bottleneck = {"test": rows(WORSE * 10, REFERENCES * 10)}
    write_run(tmp_path / "b", variant="bottleneck", metrics=_scores(20.0, None), sentences=bottleneck)
    table, chance = _compare(tmp_path)
    assert chance.aer.keys() == {"worse"}
    tested = chance.aer["worse"]
    assert tested.seeds == (1, 2) and (tested.difference, tested.p) == pytest.approx((0.25, 1 / 101))
    lines = as_markdown(table).splitlines()
    assert "| AER | ΔAER | p ΔAER |" in lines[0]
    assert "| 25.0 ± 0.0 | +25.0 | 0.010 |" in next(line for line in lines if line.startswith("| worse"))


def test_alignment_error_of_a_mixture_is_tested_on_the_sentences_that_have_links(tmp_path: Path) -> None:
    for variant, hits in {"luong-general": 8, "worse": 6}.items():
        counts = {"sure": 8, "links": 8, "sure_hits": hits, "possible_hits": hits}
        lines = [row | (counts if i % 2 else {}) for i, row in enumerate(rows(REFERENCES * 10, REFERENCES * 10))]
        scores = _scores(90.0 + hits, 1 - hits / 8)
        write_run(tmp_path / variant, variant=variant, metrics=scores, sentences={"test": lines})
    tested = _compare(tmp_path)[1].aer["worse"]
    assert (tested.difference, tested.p) == pytest.approx((0.25, 1 / 101))


def test_baseline_is_the_best_of_those_with_most_seeds(tmp_path: Path) -> None:
    for variant, scores in {"once": [99.0], "worse": [10.0, 20.0], "better": [30.0, 20.0]}.items():
        for seed, bleu in enumerate(scores, 1):
            write_run(tmp_path / f"{variant}{seed}", variant=variant, seed=seed, metrics=_scores(bleu))
    chosen = choose_baseline(group_runs(find_runs(tmp_path)).variants, "test")
    assert chosen is not None and chosen.name == "better"


def test_csv_holds_every_metric_in_its_own_units(compared: tuple[Comparison, Chance]) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(*compared))))
    assert [line["variant"] for line in lines] == ["luong-general", "bottleneck", "*|<b>`x`"]
    first, second, third = lines
    assert float(first["test/aer"]) == pytest.approx(0.15)
    assert float(first["test/aer_sd"]) == pytest.approx(0.0707107, rel=1e-5)
    assert (first["n"], first["seeds"], second["n"], second["seeds"]) == ("2", "1 2", "1", "2")
    assert float(second["bleu_p"]) == pytest.approx(compared[1].bleu["bottleneck"].p)
    assert (second["baseline"], second["tested_seeds"], second["samples"]) == ("luong-general", "2", "100")
    assert second["test/aer"] == "" and second["test/bleu_sd"] == ""
    assert third["state"] == "unfinished" and third["test/bleu"] == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal_table_fits_and_keeps_what_counts_most(compared: tuple[Comparison, Chance], width: int) -> None:
    lines = _rich(compared[0], width).splitlines()
    assert max(map(len, lines)) <= width
    assert "BLEU" in lines[1] and "92.0 ± 2.8" in lines[3]
    assert ("params M" in lines[1]) == (width == 120)


def test_names_are_no_markup_in_the_terminal(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="[red]x[/red]", metrics=_scores(1.0), sentences={"test": rows(REFERENCES)})
    assert "[red]x[/red]" in _rich(_compare(tmp_path)[0], 120)


def test_rows_stand_in_the_order_of_bleu_and_unfinished_ones_last(compared: tuple[Comparison, Chance]) -> None:
    assert [row.name for row in compared[0].rows] == ["luong-general", "bottleneck", "*|<b>`x`"]


def test_variants_without_a_common_seed_are_not_tested_and_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", metrics=_scores(90.0), sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "b", variant="x", seed=2, metrics=_scores(20.0), sentences={"test": rows(WORSE)})
    table, chance = _compare(tmp_path)
    assert chance.bleu == {}
    assert "bleu_p" not in [column.key for column in table.columns]
    assert table.notes[-1].endswith("the baseline has too: x.")


def test_case_and_tokeniser_are_those_of_the_run(tmp_path: Path) -> None:
    own = {"metrics.lowercase": True, "metrics.tokenize": "char"}
    upper = [line.replace("die", "DIE").replace("Hund", "HUND") for line in REFERENCES]
    write_run(tmp_path / "a", config=own, metrics=_scores(90.0), sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "b", variant="x", config=own, metrics=_scores(89.0), sentences={"test": rows(upper)})
    chance = _compare(tmp_path)[1]
    assert "case:lc" in chance.signature and "tok:char" in chance.signature
    assert chance.bleu["x"].difference == 0


def test_texts_of_runs_are_compared_in_one_form(tmp_path: Path) -> None:
    expected = [f"{line} …" for line in REFERENCES]
    rewritten = [f"{line} ..." for line in REFERENCES]
    for name, normalization, said in (("a", "nfc", expected), ("b", "nmt_nfkc", rewritten)):
        options: dict[str, Any] = {"variant": name, "config": {"tokenizer.normalization": normalization}}
        write_run(tmp_path / name, metrics=_scores(90.0), sentences={"test": rows(said, expected)}, **options)
    (tested,) = _compare(tmp_path)[1].bleu.values()
    assert tested.difference == 0


@pytest.mark.parametrize("own", [{"tokenizer": 3}, {"tokenizer.normalization": None}, {"tokenizer.normalization": "x"}])
def test_tokenizer_of_the_users_own_need_not_say_what_it_does_to_text(tmp_path: Path, own: dict[str, Any]) -> None:
    for name in "ab":
        options: dict[str, Any] = {"variant": name, "config": own}
        write_run(tmp_path / name, metrics=_scores(90.0), sentences={"test": rows(REFERENCES)}, **options)
    (tested,) = _compare(tmp_path)[1].bleu.values()
    assert tested.difference == 0


def test_page_counts_sentences_in_the_first_run_that_can_be_read(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"a{seed}", seed=seed, metrics=_scores(90.0), sentences={"test": rows(REFERENCES)})
    (tmp_path / "a1" / "sentences-test.jsonl").write_text("{", encoding="utf-8")
    table, _ = _compare(tmp_path)
    html = as_page(table, {"gallery": [], "heads": {}}, [], [[]], "runs")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found and json.loads(found[1])["sentences"] == {"test": {"1-5": 1, "6-10": 3}}


def test_run_without_scores_on_the_split_is_no_seed_of_its_mean(tmp_path: Path) -> None:
    for seed, metrics in ((1, {"test/bleu": 20.0}), (2, {"val/bleu": 30.0}), (3, {"test/bleu": 22.0})):
        write_run(tmp_path / str(seed), seed=seed, metrics=metrics, sentences={"test": rows(WORSE)})
    table, _ = _compare(tmp_path)
    assert [row.seeds for row in table.rows] == ["2 of 3"]


def test_tests_stand_before_other_splits(compared: tuple[Comparison, Chance]) -> None:
    assert splits_of(compared[0].variants) == ["test", "test_long"]


def test_data_of_the_users_own_are_not_loaded_and_break_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    own = {"data": {"_target_": "os.mkdir", "path": str(made)}}
    write_run(tmp_path / "a", config=own, metrics=_scores(90.0), sentences={"test": rows(REFERENCES)})
    write_run(tmp_path / "b", variant="x", config=own, metrics=_scores(80.0), sentences={"test": rows(WORSE)})
    assert "tok:13a" in _compare(tmp_path)[1].signature
    assert not made.exists()


@pytest.mark.parametrize("tokenize", ["13a", "none"])
def test_tokeniser_of_data_that_are_not_here_gives_the_runs_own_score(tmp_path: Path, tokenize: str) -> None:
    gone = {"data": {"_target_": "seq2seq.data.corpus.Multi30kCorpus", "root": str(tmp_path / "gone")}}
    expected = [f"{line[:-2]}, ja" for line in REFERENCES]
    for name, few in (("a", 1), ("x", 2)):  # a comma apart is no mistake to 13a
        said = [f"so {line}" for line in expected[:few]] + [line.replace(", ", " , ") for line in expected[few:]]
        score = sacrebleu.corpus_bleu(said, [expected], tokenize=tokenize, force=True).score
        sentences = {"test": rows(said, expected)}
        write_run(tmp_path / name, variant=name, config=gone, metrics=_scores(score), sentences=sentences)
    assert f"tok:{tokenize}" in _compare(tmp_path)[1].signature
