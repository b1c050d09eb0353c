import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.data import cache
from seq2seq.data.cache import build_once, content_key
from seq2seq.errors import UserError


def test_key_follows_the_content_and_not_the_order() -> None:
    assert content_key(a=1, b=[2, "ü"]) == content_key(b=[2, "ü"], a=1)
    assert len({content_key(a=1), content_key(a="1"), content_key(b=1), content_key(a=1, b=None)}) == 4


def test_folder_is_built_by_one_of_many_and_seen_whole_by_all(tmp_path: Path) -> None:
    built, seen = [], []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "first").write_text("1")
        time.sleep(0.05)
        (folder / "second").write_text("2")

    def ask() -> None:
        folder = build_once(tmp_path / "nested" / "key", build)
        seen.append(sorted(file.name for file in folder.iterdir()))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert seen == [["first", "second", "sums.json"]] * 5


def test_folder_appears_by_a_rename(tmp_path: Path) -> None:
    built = []
    folder = build_once(tmp_path / "key", lambda folder: built.append((folder.exists(), folder.stat().st_ino)))
    assert built == [(True, folder.stat().st_ino)]


def test_failed_build_leaves_nothing_and_the_next_succeeds(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        build_once(tmp_path / "key", fail)
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []
    assert (build_once(tmp_path / "key", lambda folder: (folder / "whole").touch()) / "whole").exists()


def test_rest_of_a_killed_build_is_not_taken_for_the_result(tmp_path: Path) -> None:
    (tmp_path / "key.building").mkdir()
    (tmp_path / "key.building" / "half").touch()
    folder = build_once(tmp_path / "key", lambda folder: (folder / "whole").touch())
    assert sorted(file.name for file in folder.iterdir()) == ["sums.json", "whole"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes().replace(b"2", b"3")),
        lambda file: file.unlink(),
        lambda file: file.with_name("sums.json").write_text("{"),
        lambda file: file.with_name("sums.json").unlink(),
    ],
)
def test_damaged_folder_is_built_anew_and_said_to_be(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    def build(folder: Path) -> None:
        (folder / "file").write_bytes(b"1 2 3" * 1000)

    folder = build_once(tmp_path / "key", build)
    damage(folder / "file")
    cache._whole.clear()  # what another process would know
    build_once(tmp_path / "key", build)
    assert (folder / "file").read_bytes() == b"1 2 3" * 1000
    assert caplog.messages == [f"{folder} is damaged, and is made anew"]
    cache._whole.clear()
    build_once(tmp_path / "key", lambda _: pytest.fail("it is whole"))


def test_full_disk_is_said_in_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"no space left for the cache .*key: .* loader.cache_dir=DIR"):
        build_once(tmp_path / "key", build)
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_two_processes_build_one_cache_together(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from seq2seq.data.cache import build_once\n"
        "def build(folder):\n"
        "    print('built'); time.sleep(0.5); (folder / 'file').write_text('whole')\n"
        "folder = build_once(Path(sys.argv[1]), build)\n"
        "assert (folder / 'file').read_text() == 'whole'"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "key")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0] and "".join(said) == "built\n"
