"""A key that there is not: the line names the one that was meant."""

import pytest

from seq2seq.cli.keys.unknown_keys import OTHER_NAMES, known_keys, no_such_key


@pytest.mark.parametrize(
    ("command", "overrides", "meant"),
    [
        ("train", ["batch_size=64"], "did you mean loader.tokens_per_batch?"),
        ("train", ["model.hidden_size=64"], "did you mean model.d_model?"),
        ("train", ["dropout=0.1"], "did you mean model.dropout?"),  # not of one side
        ("train", ["beam_size=5", "search=beam"], "did you mean search.beam_size?"),
        ("train", ["num_beams=5", "search=beam"], "did you mean search.beam_size?"),
        ("train", ["device=cuda"], "did you mean trainer.accelerator?"),
        ("translate", ["gpu=1"], "did you mean device?"),
        ("evaluate", ["xyzzy=1"], "seq2seq evaluate --help lists the keys"),
    ],
)
def test_key_that_was_meant_is_named(command: str, overrides: list[str], meant: str) -> None:
    key = overrides[0].partition("=")[0]
    assert no_such_key(key, command, overrides) == f"there is no key {key}; {meant}"


def test_other_names_are_of_keys_that_there_are() -> None:
    known = {*known_keys("train", ["model=transformer", "search=beam"]), *known_keys("translate", [])}
    assert known >= OTHER_NAMES.keys()
    names = [name for names in OTHER_NAMES.values() for name in names.split()]
    assert not known & set(names) - {"checkpoint", "device"}
