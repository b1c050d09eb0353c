"""A container's quota of cores decides how many threads there are, unless the user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.cli.process import quota
from seq2seq.cli.process.quota import granted_cores, keep_to_quota, share_quota


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of 16 cores, and nothing said of a quota."""
    monkeypatch.setattr(quota, "CGROUPS", tmp_path)
    monkeypatch.setattr(quota, "OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", None), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1)]
)
def test_a_container_has_the_cores_of_its_quota(tmp_path: Path, limit: str, cores: int | None) -> None:
    write(tmp_path / "own", "0::/\n")
    write(tmp_path / "cpu.max", f"{limit}\n")
    assert granted_cores() == cores


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/user/session\n")
    write(tmp_path / "user/cpu.max", "300000 100000\n")
    write(tmp_path / "user/session/cpu.max", "900000 100000\n")
    assert granted_cores() == 3


def test_version_1_is_read_and_its_other_controllers_are_not(tmp_path: Path) -> None:
    write(tmp_path / "own", "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n")
    for name, value in {"quota": 400000, "period": 100000}.items():
        write(tmp_path / f"cpu,cpuacct/job/cpu.cfs_{name}_us", f"{value}\n")
    assert granted_cores() == 4
    write(tmp_path / "cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n")
    assert granted_cores() is None


@pytest.mark.parametrize("text", [None, "", "0::/gone\n", "5:memory:/job\n"])
def test_where_nothing_is_told_there_is_no_limit(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write(tmp_path / "own", text)
    assert granted_cores() is None


def test_more_than_the_cores_of_the_process_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/\n")
    write(tmp_path / "cpu.max", "1600000 100000\n")
    assert granted_cores() is None


def test_the_user_decides_and_processes_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "own", "0::/\n")
    write(tmp_path / "cpu.max", "600000 100000\n")
    keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "6" and share_quota(1) is None
    assert share_quota(2) == 3 and os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "8" and share_quota(2) is None


def test_quota_is_read_before_pytorch_is_loaded() -> None:
    program = "import sys, seq2seq.cli.main; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
