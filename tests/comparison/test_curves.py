"""Learning curves are what TensorBoard's own reader finds; a resumed run's pause does not count."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from seq2seq.comparison.curves import read_curves
from tests.comparison.writer import write_run


def test_curves_are_those_of_tensorboards_reader(tmp_path: Path) -> None:
    write_run(tmp_path, curves={"val/bleu": [1.5, 20.25, 31.0], "val/loss": [3.0, 2.0, 1.0]})
    reader = EventAccumulator(str(tmp_path)).Reload()
    curves = read_curves(tmp_path)
    assert curves.damage is None
    for tag in ("val/bleu", "val/loss", "epoch"):
        theirs = reader.Scalars(tag)
        ours = curves.scalars[tag]
        assert ours.steps == [event.step for event in theirs] == [9, 19, 29]
        assert ours.values == [event.value for event in theirs]


def test_time_starts_at_the_first_event(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as board:
        for number in range(3):
            board.add_scalar("epoch", number, number, walltime=5000 + 30 * number)
    seconds = read_curves(tmp_path).scalars["epoch"].seconds
    assert seconds[1] - seconds[0] == pytest.approx(30) and seconds[2] - seconds[1] == pytest.approx(30)


def _write(path: Path, first_step: int, begin: float, values: list[float], *, epoch: bool = True) -> None:
    """Write an event file whose first event, TensorBoard's header, has the time of its first value."""
    folder = path.parent / f"{path.name}-made"
    with SummaryWriter(folder) as board:
        for number, value in enumerate(values):
            board.add_scalar("val/bleu", value, first_step + 10 * number, walltime=begin + 60 * number)
            if epoch:
                board.add_scalar("epoch", number, first_step + 10 * number, walltime=begin + 60 * number)
    (made,) = folder.iterdir()
    made.rename(path)
    folder.rmdir()


def test_resumed_run_goes_on_and_its_pause_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    _write(tmp_path / "events.out.tfevents.1000.a", 10, 1000.0, [1.0, 2.0])
    monkeypatch.setattr("time.time", lambda: 90_000.0)
    _write(tmp_path / "events.out.tfevents.90000.a", 30, 90_000.0, [3.5, 4.0])
    curve = read_curves(tmp_path).scalars["val/bleu"]
    assert curve.steps == [10, 20, 30, 40]
    assert curve.values == [1.0, 2.0, 3.5, 4.0]
    assert curve.seconds == [0, 60, 60, 120]


def test_final_scores_beside_the_hyperparameters_are_no_point_of_the_curve(tmp_path: Path) -> None:
    _write(tmp_path / "events.out.tfevents.1000.a", 10, 1000.0, [1.0, 2.0])
    _write(tmp_path / "events.out.tfevents.2000.a", 20, 2000.0, [9.0], epoch=False)
    assert read_curves(tmp_path).scalars["val/bleu"].values == [1.0, 2.0]


@pytest.mark.parametrize("content", [b"\x00\x01garbage" * 50, b"\x05", b"\x01\0\0\0\0\0\0\0abcd\xffabcd"])
def test_file_that_holds_no_events_is_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.out.tfevents.1.a").write_bytes(content)
    curves = read_curves(tmp_path)
    assert curves.scalars == {}
    assert curves.damage is not None and curves.damage.startswith("events.out.tfevents.1.a: ")


def test_empty_event_file_is_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.a").write_bytes(b"")
    assert read_curves(tmp_path) == ({}, None)
