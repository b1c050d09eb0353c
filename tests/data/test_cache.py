import threading
import time
from pathlib import Path

import pytest

from seq2seq.data.cache import build_once, content_key


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
    assert seen == [["first", "second"]] * 5


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
    assert [file.name for file in folder.iterdir()] == ["whole"]
