"""What is composed from kept choices and values is what Hydra composes, and refuses, of the same overrides."""

import time
from pathlib import Path
from threading import Thread
from typing import Any

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from seq2seq import options
from seq2seq.composition import compose
from seq2seq.config_files import config_folder
from tests.quick_hydra import as_it_is


def by_hydra(command: str, overrides: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with as_it_is(), initialize_config_dir(str(config_folder()), job_name=command, version_base="1.3"):
        return hydra.compose(command, overrides, return_hydra_config=True)


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        "seed=3 model.dropout=0.3",
        "model.dropout=0.1 model=transformer model.dropout=0.3 decoder.num_layers=3",
        "experiment=windows seed=2 hydra.run.dir=a hydra.job.chdir=false trainer.max_epochs=null",
        r"data=text data.train.source=a\,b.txt run_name=x",
        "positions@encoder.positions=rotary model=transformer encoder.positions.base=5.0",
        "pinned=[1,2] label=null seed=${trainer.max_epochs} output='a-b'",
        "+new.key=1 new.key=2 ~callbacks.best seed=4",
        "search=beam search.length_penalty={alpha:0.5} search.beam_size=7",
        "hydra/launcher=basic hydra.sweep.dir=x seed=8",
        "hydra.mode=MULTIRUN seed=1 hydra.sweep.dir=many",
        "loader.tokens_per_batch=1e3 trainer.precision=16-mixed",
    ],
)
def test_configuration_is_that_of_hydra(overrides: str) -> None:
    given = overrides.split()
    ours, its = (
        OmegaConf.to_container(config, resolve=False)
        for config in (compose("train", tuple(given), ()), by_hydra("train", given))
    )
    assert ours == its


@pytest.mark.parametrize(
    "overrides",
    [
        "seed=1 modle.dropout=2",
        "model.dropout.x=2",
        "seed=1,2",
        "seed=1 model=transfromer",
        "hydra.job.num=many",
        "hydra.nothing=1",
        "~model.nothing seed=1",
        "seed=[1",
    ],
)
def test_refusal_is_that_of_hydra(overrides: str) -> None:
    said: list[Any] = []
    for made in (lambda given: compose("train", tuple(given), ()), lambda given: by_hydra("train", given)):
        with pytest.raises((HydraException, OSError)) as raised:
            made(overrides.split())
        said.append((type(raised.value), str(raised.value)))
    assert said[0] == said[1]


def test_another_folder_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compose("train", ("seed=5",), ())
    monkeypatch.chdir(tmp_path)
    for overrides in (("seed=5",), ("seed=6",), ("+new=1", "seed=5")):
        assert compose("train", overrides, ()).hydra.runtime.cwd == str(tmp_path)


def test_file_may_refer_to_a_choice_and_is_read_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "configs" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    (tmp_path / "configs" / "kind").mkdir()
    (tmp_path / "configs" / "kind" / "sgd.yaml").write_text("x: 1\n", encoding="utf-8")
    for seed, other in ((7, "${kind}"), (81, "sgd")):
        lines = "# @package _global_", f"defaults: [{{/kind: sgd}}, {{/optimizer@again: '{other}'}}]", f"seed: {seed}"
        file.write_text("\n".join(lines), encoding="utf-8")
        found = compose("train", ("experiment=mine", "optimizer=sgd"), seed)
        assert found.seed == seed and found.again._target_ == found.optimizer._target_
        its = by_hydra("train", ["experiment=mine", "optimizer=sgd"])
        assert OmegaConf.to_container(found, resolve=False) == OmegaConf.to_container(its, resolve=False)


def test_copy_may_be_changed() -> None:
    first = compose("train", ("seed=5",), ())
    first.model.dropout, first.seed = 0.9, 6
    again = compose("train", ("seed=5",), ())
    assert again.seed == 5 and again.model.dropout != 0.9


def test_what_a_training_asks_of_hydra_stays_while_models_are_read_and_asked() -> None:
    options.compose_defaults("train", ["seed=5"])
    before = HydraConfig.instance().cfg
    options.choice_of("search", "greedy", {"max_length": 7})
    options._usual.cache_clear()
    options.with_new_keys({})
    assert HydraConfig.instance().cfg is before and HydraConfig.get().overrides.task == ["seed=5"]


def test_threads_compose_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra's state is one for all threads."""
    inside: list[int] = []
    most: list[int] = []

    def slow(*_: Any) -> tuple[DictConfig, Any]:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return OmegaConf.create({}), None

    monkeypatch.setattr(options, "_composed", slow)
    before = HydraConfig.instance().cfg
    threads = [Thread(target=options.composed, args=("train", (f"seed={i}",))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    HydraConfig.instance().cfg = before
    assert most == [1, 1, 1, 1]
