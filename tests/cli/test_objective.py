"""What a sweeper that searches gets of a run."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from seq2seq.cli.training.objective import check_objective, objective_of
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults

METRICS = {"val/loss": 2.5, "val/bleu": 30.0, "parameters": 100.0}


def test_sweeper_gets_the_loss_unless_told_otherwise() -> None:
    assert objective_of(compose_defaults("train", []).objective, METRICS) == 2.5


def test_sweeper_gets_one_value_or_several() -> None:
    assert objective_of("val/bleu", METRICS) == 30.0
    assert objective_of(OmegaConf.create(["val/bleu", "parameters"]), METRICS) == [30.0, 100.0]


def test_score_that_the_data_do_not_give_is_named() -> None:
    with pytest.raises(UserError, match="objective=val/aer: the data give no such score"):
        objective_of("val/aer", METRICS)


@pytest.mark.parametrize(
    ("objective", "direction", "reason"),
    [
        ("val/bleau", None, "did you mean val/bleu?"),
        ("test/bleu", None, "is not known"),
        ("val/bleu", "minimize", "hydra.sweeper.direction=maximize"),
        ("val/loss", "maximize", "hydra.sweeper.direction=minimize"),
        (["val/bleu", "parameters"], ["maximize", "maximize"], r"hydra.sweeper.direction=\[maximize,minimize\]"),
        (["val/bleu", "parameters"], "maximize", r"hydra.sweeper.direction=\[maximize,minimize\]"),
    ],
)
def test_unknown_objective_and_search_for_the_worst_are_refused(objective: Any, direction: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        check_objective(OmegaConf.create([objective])[0], OmegaConf.create({"direction": direction}))


def test_search_for_the_best_is_accepted() -> None:
    either = [("val/entropy", "minimize"), ("val/entropy", "maximize")]  # neither is better
    for objective, direction in [
        ("val/bleu", "maximize"),
        (["val/aer", "val/bleu"], ["minimize", "maximize"]),
        *either,
    ]:
        check_objective(OmegaConf.create([objective])[0], OmegaConf.create({"direction": direction}))
