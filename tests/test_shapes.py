"""The reader of shapes in docstrings: what it reads, what it refuses, and that it can read all there are."""

import pytest
import torch

from seq2seq.attention import Attention, Dot, Softmax
from tests.shapes import Told, checked_shapes, documented, fits, told_by


def test_docstrings_say_whose_every_shape_is() -> None:
    assert not {str(function): function.unclear for function in documented() if function.unclear}


@pytest.mark.parametrize(
    ("doc", "told"),
    [
        ("Return all (..., query, key) from scores (..., key).", ["=(..., query, key)", "scores=(..., key)"]),
        ("Return x (batch, d) with more.", ["x=(batch, d)", "=(batch, d)"]),
        ("Return what joins, broadcastable to (d, d), of places (d,).", ["=broadcastable to (d, d)", "places=(d)"]),
        ("Begin.\n\nArgs:\n    x: of all\n        heads, (2, d).\n\nReturns:\n    (d,), a row.", ["=(d)", "x=(2, d)"]),
        ("Return the context (query, d), and the weights (query, key) or None.", ["=(query, d)", "=(query, key)"]),
    ],
)  # fmt: skip
def test_shape_is_read_with_its_owner(doc: str, told: list[str]) -> None:
    found, unclear = told_by(doc, ["x", "scores", "places"], results=2)
    assert [f"{one.owner}={one}" for one in found] == told and not unclear


def test_shape_of_nobody_is_unclear() -> None:
    assert told_by("Check that all is well with the others (batch, beam).", ["x"]) == (
        [], ["Check that all is well with the others"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("axes", "shape", "broadcastable", "expected"),
    [
        ("..., query, key", (2, 3, 5, 7), False, True),
        ("..., query, key", (7, 5), False, False),
        ("..., query, key", (7,), True, True),
        ("batch, heads, query, key", (1, 1, 1, 7), True, True),
        ("query or 1, key", (1, 7), False, True),
        ("query or 1, key", (3, 7), False, False),
        ("query · 2, key + 1", (10, 8), False, True),
        ("new, new", (3, 3), False, True),
        ("new, new", (3, 4), False, False),
        ("query", (5, 7), False, False),
    ],
)
def test_names_have_one_size(axes: str, shape: tuple[int, ...], broadcastable: bool, expected: bool) -> None:
    assert fits(shape, Told("x", 0, "", tuple(axes.split(", ")), broadcastable), {"query": 5, "key": 7}) is expected


def test_wrong_shape_in_a_docstring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = (Attention.forward.__doc__ or "").replace("weights (..., query, key)", "weights (..., key, query)")
    monkeypatch.setattr(Attention.forward, "__doc__", doc)
    documented.cache_clear()
    attention, x = Attention(Dot(4, 4), Softmax()), torch.randn(2, 3, 4)
    y = torch.randn(2, 5, 4)
    with checked_shapes() as met, pytest.raises(AssertionError, match=r"Attention.forward: what comes back is told"):
        attention(x, attention.memory(y, y), need_weights=True)
    documented.cache_clear()
    assert any(function.endswith("Attention.memory") for function, _ in met)
