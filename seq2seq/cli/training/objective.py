"""What a sweeper that searches, such as Optuna's, gets of each run, and seeks the least or the most of."""

from omegaconf import DictConfig, ListConfig

from seq2seq.errors import UserError, nearest
from seq2seq.training.settings import MORE_IS_BETTER

DIRECTION = {True: "maximize", False: "minimize", None: None}
"""What Optuna calls it; None where either will do."""

Objective = str | ListConfig
"""One of these names, or several."""


def check_objective(objective: Objective, sweeper: DictConfig) -> None:
    """Refuse a name that no run could return, and a sweeper that would seek the worst.

    Args:
        objective: that of a run.
        sweeper: the `hydra.sweeper`; Optuna's has a `direction`, or one for each of several objectives.

    Raises:
        UserError: naming the key and the remedy.
    """
    names = _names(objective)
    for name in names:
        if name not in MORE_IS_BETTER:
            raise UserError(f"objective={name} is not known; {nearest(name, MORE_IS_BETTER)}")
    if sweeper.get("direction") is None:
        return
    given = sweeper.direction if isinstance(sweeper.direction, ListConfig) else [sweeper.direction]
    asked = [getattr(direction, "name", direction) for direction in given]
    right = [DIRECTION[MORE_IS_BETTER[name]] for name in names]
    if len(asked) != len(right) or any(wanted and wanted != said for said, wanted in zip(asked, right, strict=True)):
        said = ",".join(wanted or "minimize" for wanted in right)
        raise UserError(
            f"objective={objective} needs hydra.sweeper.direction={said if len(right) == 1 else f'[{said}]'}"
        )


def objective_of(objective: Objective, metrics: dict[str, float]) -> float | list[float]:
    """Return the value of the objective, or the values of several.

    Raises:
        UserError: the run has no such score, as the alignment error rate where there are no links.
    """
    names = _names(objective)
    for name in names:
        if name not in metrics:
            raise UserError(f"objective={name}: the data give no such score; {nearest(name, metrics)}")
    return metrics[names[0]] if len(names) == 1 else [metrics[name] for name in names]


def _names(objective: Objective) -> list[str]:
    return [str(name) for name in (objective if isinstance(objective, ListConfig) else [objective])]
