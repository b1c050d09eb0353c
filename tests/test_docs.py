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


def test_every_reading_is_explained() -> None:
    text = (Path(__file__).parents[1] / "docs" / "readings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == set(choices_of("reading"))


def test_experiments_that_are_named_exist() -> None:
    assert rows("Experiments") <= set(choices_of("experiment"))


@pytest.mark.parametrize("model", ["luong", "bahdanau", "transformer"])
def test_score_of_ones_own_learns_and_steps_as_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    code = re.search(r"```python\n(.*?)```", ATTENTION, re.DOTALL)
    assert code
    (tmp_path / "my_scores.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    seats = ["score", *(f"{side}.self_score" for side in ("encoder", "decoder") if model == "transformer")]
    given = [f"model={model}", "score=scaled_dot", "output=none"]
    config = compose_defaults("train", [*given, *(f"{seat}._target_=my_scores.Distant" for seat in seats)])
    vocabulary: Any = range(23)
    built = build_model(config, Tokenizers(vocabulary, vocabulary)).eval()
    ids, real = torch.randint(4, 23, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    forced = built(ids, real, torch.tensor([5, 5]), ids, torch.arange(10))
    forced.square().sum().backward()
    slopes = [parameter for name, parameter in built.named_parameters() if name.endswith("slope")]
    assert len(slopes) == (9 if model == "transformer" else 1)
    assert all(slope.grad is not None and slope.grad.count_nonzero() for slope in slopes)
    state, steps = built.begin(ids, real, torch.tensor([5, 5])), []
    for tokens in ids.split(1, dim=1):
        logits, state = built.step(tokens, state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1).flatten(0, 1), forced)
    sys.modules.pop("my_scores")
