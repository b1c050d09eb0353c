"""Links of another tool are scored on the pairs on which a model is."""

from pathlib import Path

import pytest
from datasets import Dataset

from seq2seq.evaluation.baseline import baseline_error_rate
from seq2seq.evaluation.by_corpus import unlinked_rows, without_links

ROWS = [("a b", "u v", "0-0 1-1"), ("a", "u", "0-0"), ("a b", "u v", "")]


@pytest.mark.parametrize(
    ("corpora", "expected", "aer"),
    [(["gold", "gold", "plain"], {2}, 0.0), (["gold"] * 3, set(), 0.25), ([""] * 3, set(), 0.25)],
)
def test_pairs_of_a_corpus_whose_links_nobody_knows_do_not_count(
    tmp_path: Path, corpora: list[str], expected: set[int], aer: float
) -> None:
    """Else each link of theirs, here two of five, would be a mistake."""
    links = [row[2] for row in ROWS]
    unlinked = without_links(corpora, links)
    assert unlinked == expected == unlinked_rows(Dataset.from_dict({"corpus": corpora, "links": links}))
    (tmp_path / "links").write_text("0-0 1-1\n0-0\n0-0 1-1\n", encoding="utf-8")
    assert baseline_error_rate(str(tmp_path / "links"), ROWS, unlinked=unlinked) == pytest.approx(aer)
