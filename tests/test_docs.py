"""The documentation names what there is, and its examples run."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seq2seq.build import build_model
from seq2seq.cli.options import choices_of, compose_defaults
from seq2seq.data.tokenizer import Tokenizers

ATTENTION = (Path(__file__).parents[1] / "docs" / "attention.md").read_text(encoding="utf-8")


def rows(heading: str) -> set[str]:
    """Return the names in the first column of the tables below a heading."""
    section = re.split(rf"^## {heading}$", ATTENTION, flags=re.MULTILINE)[1].split("\n## ")[0]
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in lines for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "group"),
    [("Positions", "positions"), ("Patterns", "pattern"), ("Scores", "score"), ("Normalisers", "normalizer")],
)
def test_every_part_of_attention_is_explained(heading: str, group: str) -> None:
    assert rows(heading) == set(choices_of(group)) - ({"none"} if group == "score" else set())


def test_experiments_that_are_named_exist() -> None:
    assert rows("Experiments") <= set(choices_of("experiment"))


def test_score_of_ones_own_is_built_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", ATTENTION, re.DOTALL)
    assert code
    (tmp_path / "my_scores.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    config = compose_defaults(
        "train", ["score=scaled_dot", "score._target_=my_scores.Distant", "model=luong", "output=none"]
    )
    vocabulary: Any = range(23)
    model = build_model(config, Tokenizers(vocabulary, vocabulary))
    ids, real = torch.randint(4, 23, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    forced = model.eval()(ids, real, torch.tensor([5, 5]), ids, torch.arange(10))
    forced.square().sum().backward()
    assert model.decoder.attention.score.slope.grad.count_nonzero() == 1  # type: ignore[attr-defined]
    state, steps = model.begin(ids, real, torch.tensor([5, 5])), []
    for tokens in ids.split(1, dim=1):
        logits, state = model.step(tokens, state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1).flatten(0, 1), forced)
    sys.modules.pop("my_scores")
