"""Processes of several hosts are of one mind before they train; else each says what is amiss, and where."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore

from seq2seq.cli.training import processes
from seq2seq.cli.training.processes import Meeting, meeting, refuse_several
from seq2seq.errors import UserError


def met(*parts: Callable[[Meeting], Any]) -> list[Any]:
    """Let each part run as a process of its own, in threads; return what each came to: a value, or its error's line."""
    store = HashStore()
    found: list[Any] = [None] * len(parts)

    def run(number: int) -> None:
        try:
            found[number] = parts[number](Meeting(store, number=number, processes=len(parts)))
        except UserError as error:
            found[number] = str(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def noting(**notes: Any) -> Callable[[Meeting], str]:
    def run(meeting: Meeting) -> str:
        with meeting.alike() as mine:
            mine |= notes
        return "begins"

    return run


def failing(meeting: Meeting) -> None:
    with meeting.alike():
        raise UserError("val.en: there is no such file")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.socket, "gethostname", lambda: "alpha")


def test_processes_with_the_same_data_begin() -> None:
    assert met(noting(data=[1, 2]), noting(data=[1, 2]), noting(data=[1, 2])) == ["begins"] * 3


def test_other_data_on_one_host_stops_all_and_names_it() -> None:
    said = met(noting(data=[1]), noting(data=[1]), noting(data=[2]))
    assert len(set(said)) == 1 and said[0].startswith("process 2 on alpha: data is not that of process 0 on alpha;")


def test_what_one_host_lacks_stops_all() -> None:
    said = met(noting(checkpoint=[1]), noting(checkpoint=None))
    assert len(set(said)) == 1 and said[0].startswith("process 1 on alpha: checkpoint is not there;")


def test_mistake_on_one_host_is_told_to_the_others() -> None:
    line = "val.en: there is no such file"
    assert met(noting(data=[1]), failing) == [f"process 1 on alpha: {line}", line]


def test_one_failure_does_not_confuse_the_next_meeting() -> None:
    def twice(first: Callable[[Meeting], Any]) -> Callable[[Meeting], str]:
        def run(meeting: Meeting) -> str:
            with pytest.raises(UserError):
                first(meeting)
            return noting(data=[1])(meeting)

        return run

    assert met(twice(noting(data=[1])), twice(failing)) == ["begins", "begins"]


def test_all_take_what_process_0_decides() -> None:
    decided = [["seed=1", "hydra.run.dir=here"], None]

    def part(meeting: Meeting) -> Any:
        return meeting.agreed(lambda: list(decided), [["seed=2"]])

    assert met(part, part) == [decided, decided]


def test_what_process_0_refuses_is_told_to_the_others() -> None:
    def refuse() -> Any:
        raise UserError("resume=run: that run is finished")

    def part(meeting: Meeting) -> Any:
        return meeting.agreed(refuse, [[]])

    line = "resume=run: that run is finished"
    assert met(part, part) == [line, f"process 0 on alpha: {line}"]


def test_script_of_a_job_that_did_not_start_its_tasks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "job.sh")
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    with pytest.raises(UserError, match="start each of SLURM's 2 tasks by srun"):
        meeting()


@pytest.mark.parametrize(
    ("starter", "environment"),
    [
        ("torchrun", {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}),
        ("SLURM", {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "job.sh", "SLURM_STEP_ID": "0"}),
    ],
)
def test_sweep_is_no_work_for_several_processes(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter: str, environment: Any
) -> None:
    """Each of them would make runs of its own, and wait for the others in the first."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for launcher in ([], ["hydra/launcher=basic"]):
        said = command("train", "--multirun", "seed=1,2", *launcher)
        assert said.status == 1 and said.err.startswith(f"error: --multirun: {starter} has started several processes")
        assert said.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_script_of_a_job_may_hand_its_sweep_to_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "job.sh")
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    refuse_several("--multirun", handed_on=True)
    with pytest.raises(UserError, match="--multirun: SLURM has started several"):
        refuse_several("--multirun", handed_on=False)


def test_slurm_that_is_installed_and_not_used_is_not_spoken_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.setattr("shutil.which", lambda program: f"/bin/{program}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meeting()
