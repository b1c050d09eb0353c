"""What commands that run once share."""

import pytest

from seq2seq.cli.keys.command import warn_of_limit
from seq2seq.options import compose_defaults


@pytest.mark.parametrize(
    ("search", "key"),
    [
        ("beam", "search.max_length"),
        ("mbr", "search.candidates.max_length"),
        ("mbr_sample", "search.candidates.max_length"),
    ],
)
def test_search_that_ends_too_early_says_the_key_that_it_has(
    caplog: pytest.LogCaptureFixture, search: str, key: str
) -> None:
    config = compose_defaults("translate", [f"search={search}"]).search
    warn_of_limit([], config, 256, "there are longer ones")
    warn_of_limit([f"{key}=9"], config, 257, "there are longer ones")
    assert caplog.messages == []
    warn_of_limit([], config, 257, "there are longer ones")
    assert caplog.messages == [f"{key}=256: there are longer ones, up to 257; say {key}=257"]
