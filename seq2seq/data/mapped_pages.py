"""Pages of a mapped file that a process has looked at: they count as its memory until it lets them go."""

import ctypes
import mmap
import os
from pathlib import Path

import datasets

MAPS = Path("/proc/self/maps")
"""A line a mapping, on Linux: `start-end permissions offset device inode path`."""


class MappedPages:
    """The pages of the mapped file in which rows lie. Where there is none, or the system is not Linux, it does nothing.

    What is let go stays in the system's cache of the file, so looking again costs no read of the disk. It is the
    kernel that makes a process large: for each page that is looked at it maps 15 neighbours.

    Args:
        rows: of one file.
    """

    def __init__(self, rows: datasets.Dataset) -> None:
        self.rows = rows  # holds the mapping
        self._process: int | None = None
        self._span: tuple[int, int] | None = None

    def release(self) -> None:
        """Let go of all pages."""
        if self._process != os.getpid():  # in another process the file may lie elsewhere
            self._process, self._span = os.getpid(), _span_of(self.rows)
        if self._span:
            start, size = self._span
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def _span_of(rows: datasets.Dataset) -> tuple[int, int] | None:
    """Return the address and the size of the mapping of a file that holds the rows, None where they are not in one."""
    buffers = [buffer for chunk in rows.data.column(0).chunks[:1] for buffer in chunk.buffers() if buffer]
    if not MAPS.exists() or not buffers:
        return None
    for line in MAPS.read_text().splitlines():
        span, permissions, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) for address in span.split("-"))
        if start <= buffers[-1].address < end:
            # Of memory that is no file's, or that was written to, the contents would be lost.
            return (start, end - start) if inode != "0" and "w" not in permissions else None
    return None
