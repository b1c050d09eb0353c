"""Files of a user's own, in the folder `configs` of the present one, are choices like the package's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config_files import choices_of, file_of

Command = Callable[..., Any]
GLOBAL = "# @package _global_\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """`write("experiment/mine.yaml", "seed: 2")` in `configs` of the present folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        file = tmp_path / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_experiment_of_ones_own_is_trained_and_goes_on(
    command: Command, text: list[str], tmp_path: Path, write: Callable[[str, str], Path]
) -> None:
    write(
        "experiment/mine.yaml", f"{GLOBAL}defaults:\n  - override /model: luong\n\nseed: 7\nmodel:\n  dropout: 0.25\n"
    )
    own = ["experiment=mine", *text]
    said = command("train", *own, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert said.status == 0, said.err
    stored = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "seed: 7" in stored and "dropout: 0.25" in stored and "LuongDecoder" in stored
    said = command("train", *own, "trainer.max_epochs=2", "resume=run")
    assert said.status == 0, said.err


def test_file_that_changes_is_read_anew(command: Command, write: Callable[[str, str], Path]) -> None:
    for seed in (3, 4):
        write("experiment/mine.yaml", f"{GLOBAL}seed: {seed}\n{'#' * seed}")
        assert command("train", "experiment=mine", "--cfg", "job", "-p", "seed").out.strip() == str(seed)


def test_part_of_ones_own_is_a_choice_of_every_command(
    command: Command, bahdanau: Any, write: Callable[[str, str], Path]
) -> None:
    write("search/narrow.yaml", "defaults:\n  - beam\n\nbeam_size: 2\n")
    assert "narrow" in choices_of("search") and file_of("search", "narrow") == Path("configs/search/narrow.yaml")
    found, usual = (
        command("translate", f"checkpoint={bahdanau.best}", *search, stdin=b"the old wolf slept\n")
        for search in (["search=narrow"], ["search=beam", "search.beam_size=2"])
    )
    assert found.status == 0 and found.out == usual.out
    assert "[narrow]" in command("translate", "search=narrow", "--help").out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle: luong\n", ":2: there is no key modle; did you mean model?"),
        ("trainer:\n  max_epochs: many\n", ":3: trainer.max_epochs=many: expected a whole number, such as 5"),
        ("trainer: {precision: bf16}\n", ":2: trainer.precision=bf16 is not known; did you mean bf16-mixed?"),
        ("seed: 1\noptimizer:\n  lr: -1\n", ":4: optimizer.lr=-1: expected 0 or above"),
        ("trainer:\n  max_epoch: 3\n", ":3: trainer.max_epoch is no option of Trainer"),
        ("model:\n  d_model: 25\nencoder:\n  num_heads: 4\n", ":5: encoder.num_heads is no option"),
        ("callbacks:\n  mine: {x: 1}\n", ":3: callbacks.mine: a part of your own needs a class"),
        ("model: luong\n", ":2: model: luong is a choice; below defaults, say - override /model: luong"),
        ("positions: rotary\n", ":2: positions is short for encoder.positions and decoder.positions"),
        ("a: 1\nseed: ${nope}\n", ":3: seed: ${nope}: there is no such key; did you mean noise?"),
        ("hydra:\n  run: {folder: a}\n", ":3: there is no key hydra.run.folder; did you mean hydra."),
        ("a: [\n", ":3: no valid YAML: while parsing a flow node"),
        ("seed: 1\nseed: 2\n", ":3: seed stands in line 2 too; say it once"),
        ("seed: !!python/name:os.system\n", ":2: no valid YAML: could not determine a constructor"),
        ("seed: '\x01'\n", ":2: no valid YAML: unacceptable character"),
        ("defaults: luong\n", ":2: defaults: expected a list"),
        ("defaults:\n  - base\n", ":3: experiment=base does not exist"),
        ("defaults:\n  - model: luong\n", ":3: model: luong: say override /model: luong"),
        ("defaults:\n  - /model: luong\n", ":3: /model: luong: say override /model: luong"),
        ("defaults:\n  - override /modle: luong\n", ":3: there is no group modle; did you mean model?"),
        ("defaults:\n  - override /model: luongg\n", ":3: model=luongg does not exist; did you mean luong?"),
    ],
)
def test_mistake_in_a_file_is_told_with_its_line(
    command: Command, tmp_path: Path, write: Callable[[str, str], Path], text: str, said: str
) -> None:
    write("experiment/mine.yaml", GLOBAL + text)
    found = command("train", "experiment=mine")
    assert found.status == 1 and said in found.err and "configs/experiment/mine.yaml" in found.err
    assert len(found.err.splitlines()) == 1 and not (tmp_path / "outputs").exists()


def test_option_that_a_part_does_not_have_is_to_be_taken_out_of_the_file(
    command: Command, write: Callable[[str, str], Path]
) -> None:
    write("model/mine.yaml", f"{GLOBAL}defaults:\n  - luong\n\nencoder: {{positions: rotary}}\n")
    assert command("train", "model=mine").err == (
        "error: configs/model/mine.yaml:5: encoder.positions is no option of RecurrentEncoder; take it out there, or "
        "for this run alone with '~encoder.positions'\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: 3 # caf\xe9\n", ":1: this is not text in UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbf# @package _global_\n", ":1: a mark of the byte order comes first (BOM)"),
    ],
)
def test_mistake_in_a_file_that_another_builds_on_is_told_with_its_line(
    command: Command, write: Callable[[str, str], Path], content: bytes, said: str
) -> None:
    write("experiment/base.yaml", "").write_bytes(content)
    write("experiment/mine.yaml", f"{GLOBAL}defaults:\n  - base\n")
    found = command("train", "experiment=mine")
    assert found.err.startswith(f"error: configs/experiment/base.yaml{said}") and found.status == 1


def test_what_is_no_file_harms_nothing(command: Command, write: Callable[[str, str], Path]) -> None:
    file = write("experiment/mine.yaml", f"{GLOBAL}seed: 4\n")
    (file.parent / "gone.yaml").symlink_to("nowhere.yaml")
    (file.parent / "folder.yaml").mkdir()
    assert choices_of("experiment").count("mine") == 1 and "gone" not in choices_of("experiment")
    assert command("train", "experiment=mine", "--cfg", "job", "-p", "seed").out.strip() == "4"
    assert "experiment=gone does not exist" in command("train", "experiment=gone").err


def test_file_that_is_no_experiment_is_told_what_it_lacks(command: Command, write: Callable[[str, str], Path]) -> None:
    write("experiment/mine.yaml", "seed: 2\n")
    assert (
        "mine.yaml:1: an experiment begins with the line # @package _global_" in command("train", "experiment=mine").err
    )
    write("search/mine.yaml", "- 1\n")
    assert "mine.yaml:1: expected keys with values" in command("train", "search=mine").err


def test_value_that_only_others_refer_to_is_read(command: Command, write: Callable[[str, str], Path]) -> None:
    write("experiment/mine.yaml", f"{GLOBAL}size: 24\nmodel:\n  d_model: ${{size}}\noptimizer:\n  lr: two\n")
    assert "mine.yaml:6: optimizer.lr=two: expected a number" in command("train", "experiment=mine").err


def test_name_of_the_package_is_refused(command: Command, write: Callable[[str, str], Path]) -> None:
    write("experiment/windows.yaml", f"{GLOBAL}seed: 5\n")
    found = command("train", "experiment=windows")
    assert "so configs/experiment/windows.yaml is not read; give it another name" in found.err
    write("experiment/windows.yaml", file_of("experiment", "windows").read_text(encoding="utf-8"))  # a copy of it
    assert command("train", "experiment=windows", "--cfg", "job", "-p", "trainer.max_epochs").status == 0
    assert command("train", "experiment=windows", "trainer.max_epochs=many").err.startswith(
        "error: trainer.max_epochs="
    )
    write("trainer/default.yaml", "foo: 1\n")  # nobody asks for it
    assert command("train", "--cfg", "job", "-p", "seed").status == 0


def test_other_ways_to_name_a_folder_lead_here(command: Command) -> None:
    assert "--config-dir: files of your own are read from configs/" in command("train", "--config-dir", "mine").err
