"""What the tests of readings share."""

from collections.abc import Iterator

import pytest

from tests.shapes import Told, checked_shapes


@pytest.fixture(autouse=True, scope="module")
def documented_shapes() -> Iterator[set[tuple[str, Told]]]:
    """Hold every call against the shapes that docstrings tell."""
    with checked_shapes() as met:
        yield met
