"""Short names of the parts of attention, as a person types them."""

import pytest

from seq2seq.cli.keys.shorthand import expand
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults


def test_name_for_both_sides_chooses_a_file_on_each() -> None:
    (run,) = expand(["model=transformer", "positions=learned", "self_score=cosine", "gate=true"])
    config = compose_defaults("train", [*run, "output=none"])
    for side in (config.encoder, config.decoder):
        assert side.positions._target_.endswith("LearnedPositions") and side.positions.max_positions == 512
        assert side.self_score._target_.endswith("Cosine")
        assert side.gate is True


def test_name_with_a_side_leaves_the_other_and_its_keys_can_be_set() -> None:
    given = ["model=transformer", "encoder.pattern=window", "encoder.pattern.width=2", "cross_pattern=window"]
    (run,) = expand(given)
    config = compose_defaults("train", [*run, "output=none"])
    assert config.encoder.pattern.width == 2
    assert config.decoder.pattern._target_.endswith("Full")
    assert config.cross_pattern.width == 4


def test_only_the_transformer_of_two_sides_has_positions() -> None:
    (run,) = expand(["model=luong", "encoder=transformer", "positions=none"])
    assert run == ["model=luong", "encoder=transformer", "positions@encoder.positions=none"]


def test_what_is_expanded_and_what_is_not_short_stay_as_they_are() -> None:
    given = ["model=transformer", "encoder.positions.max_positions=9", "score=dot", "encoder.positions={a: 1}", "-m"]
    assert expand(given) == [given]
    (once,) = expand(["model=transformer", "pattern=window"])
    assert expand(once) == [once]


def test_a_plus_before_a_short_name_changes_nothing() -> None:
    plain = ["model=transformer", "positions=none", "encoder.pattern=window", "gate=true"]
    added = ["model=transformer", "+positions=none", "++encoder.pattern=window", "+gate=true"]
    assert expand(added) == expand(plain)


def test_sweep_gives_both_sides_the_same() -> None:
    runs = expand(["model=transformer", "positions=learned,none", "seed=1,2"], sweep=True)
    assert runs == [
        ["model=transformer", f"positions@encoder.positions={name}", f"positions@decoder.positions={name}", "seed=1,2"]
        for name in ("learned", "none")
    ]
    models = expand(["model=transformer,luong", "cross_pattern=window"], sweep=True)
    assert [run[0] for run in models] == ["model=transformer", "model=luong"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["positions=learned"], "positions=learned: both sides are recurrent here.*take model=transformer"),
        (["model=luong", "encoder=transformer", "decoder.gate=true"], None),
        (["model=luong", "encoder.self_score=dot"], "encoder is recurrent here.*encoder=transformer"),
        (["model=luong", "num_key_heads=1"], "only a Transformer's self-attention has num_key_heads"),
    ],
)
def test_recurrent_side_has_no_such_part(given: list[str], said: str | None) -> None:
    if said is None:  # a plain key: Hydra says that there is none
        assert expand(given) == [given]
        return
    with pytest.raises(UserError, match=said):
        expand(given)
