"""The runs of a sweep are known, and checked, before the first begins; also where they are many."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from seq2seq import options
from seq2seq.cli.training.sweep import axes_of, configurations
from seq2seq.config_files import choices_of
from seq2seq.errors import UserError
from seq2seq.options import compose_hydra


@pytest.mark.parametrize(
    ("overrides", "each"),
    [
        (["optimizer.lr=interval(0.001,0.01)"], [["optimizer.lr=0.001"], ["optimizer.lr=0.01"]]),
        (["seed=range(1,4)"], [["seed=1"], ["seed=2"], ["seed=3"]]),
        (["label=-x", "model=luong", "score=dot,general"], [["label=-x", "model=luong", f"score={s}"]
                                                           for s in ("dot", "general")]),
        (["model=transformer", "model.num_layers=1,2", "~encoder.norm_first", "label='a,b'"],
         [["model=transformer", f"model.num_layers={n}", "~encoder.norm_first", "label='a,b'"] for n in (1, 2)]),
        (["callbacks.ema=null", "loader={max_length:50}", "model.d_embedding=${model.d_model}", "model.d_model=8,16"],
         [["callbacks.ema=null", "loader={max_length:50}", "model.d_embedding=${model.d_model}", f"model.d_model={n}"]
          for n in (8, 16)]),
    ],
)  # fmt: skip
def test_configurations_are_those_that_hydra_composes(overrides: list[str], each: list[list[str]]) -> None:
    def plain(config: Any) -> Any:
        """Without Hydra's own part, which has a list of the overrides."""
        return {key: OmegaConf.to_container(config[key], resolve=True) if OmegaConf.is_config(config[key])
                else config[key] for key in config if key not in ("hydra", "output")}  # fmt: skip

    assert [plain(config) for config in configurations(overrides)] == [
        plain(compose_hydra("train", run)) for run in each
    ]


def test_what_a_pattern_means_is_checked() -> None:
    (model, score) = axes_of(["model=luong", "score=glob(*dot)"])
    assert score.values == ["score=dot", "score=scaled_dot"]
    with pytest.raises(UserError, match="seed=x: expected a whole number"):
        list(configurations(["optimizer=glob(*)", "seed=x"]))


def test_each_value_of_a_large_sweep_is_checked_without_composing_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    compose = options.compose

    def counted(*given: Any, **more: Any) -> Any:
        composed.append(given)
        return compose(*given, **more)

    monkeypatch.setattr(options, "compose", counted)
    options._composed.cache_clear()
    with pytest.raises(UserError, match=r"seed=-1: expected 0 or above"):
        list(configurations(["model=luong", "optimizer.lr=0.1,0.2", "seed=range(150,-2,-1)"]))
    assert len(composed) <= 2
    options._composed.cache_clear()


def test_choices_of_a_group_are_its_files() -> None:
    assert choices_of("optimizer") == ["adam", "adamw", "muon", "sgd"]
    pattern: Any = OverridesParser.create().parse_override("optimizer=glob(adam*)").value()
    assert pattern.filter(choices_of("optimizer")) == ["adam", "adamw"]
