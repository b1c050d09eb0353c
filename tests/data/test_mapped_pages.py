"""A process lets go of the pages of a mapped file, and finds them again."""

import re
import sys
from pathlib import Path

import datasets
import pytest

from seq2seq.data.loader import Examples, batch_loader
from seq2seq.data.mapped_pages import MappedPages

ROWS = 50_000
COLUMNS = {name: [[i, i + 1, i + 2] for i in range(ROWS)] for name in ("source_ids", "target_ids")}


def resident(path: Path) -> list[int]:
    """Return how many KiB of each mapping of a file this process holds."""
    maps = Path("/proc/self/smaps").read_text()
    return [int(kib) for kib in re.findall(rf"{re.escape(str(path))}\n(?:\w+: .*\n)*?Rss: +(\d+) kB", maps)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pages are left to the system")
def test_mapped_pages_are_let_go_after_each_batch_and_rows_stay_the_same(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(str(tmp_path))
    (file,) = tmp_path.glob("*.arrow")
    rows = datasets.Dataset.from_file(str(file))
    expected = rows[:]
    (held,) = resident(file)
    assert held > file.stat().st_size / 1024 / 2
    batch_loader(rows, tokens_per_batch=100, shuffle=True)
    assert resident(file) == [0]
    examples = Examples(rows)
    for start in range(0, ROWS, ROWS // 5):
        indices = list(range(start, start + ROWS // 5))
        wanted = [expected[name][start : start + ROWS // 5] for name in ("source_ids", "target_ids")]
        assert examples.__getitems__(indices) == list(zip(*wanted, indices, strict=True))
        assert resident(file) == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pages are left to the system")
def test_a_large_batch_is_looked_up_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(str(tmp_path))
    (file,) = tmp_path.glob("*.arrow")
    examples, release, held = Examples(datasets.Dataset.from_file(str(file))), MappedPages.release, []
    examples._pages.release()

    def watched(pages: MappedPages) -> None:
        held.extend(resident(file))
        release(pages)

    monkeypatch.setattr(MappedPages, "release", watched)
    indices = list(range(0, ROWS, 100))
    assert [example[2] for example in examples.__getitems__(indices)] == indices
    assert 0 < max(held) < file.stat().st_size / 1024 / 2


def test_rows_that_lie_in_no_file_are_left_alone() -> None:
    examples = Examples(datasets.Dataset.from_dict(COLUMNS))
    for _ in range(2):
        assert examples.__getitems__([7, 11]) == [([i, i + 1, i + 2], [i, i + 1, i + 2], i) for i in (7, 11)]
