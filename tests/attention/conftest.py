"""What the tests of attention share."""

from collections.abc import Iterator

import pytest
import torch

from tests.shapes import Told, checked_shapes


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def documented_shapes() -> Iterator[set[tuple[str, Told]]]:
    """Hold every call against the shapes that docstrings tell."""
    with checked_shapes() as met:
        yield met
