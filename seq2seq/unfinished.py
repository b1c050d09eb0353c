"""Where a file or folder is written until it is whole; what killed processes left there goes with the next."""

import glob
import os
import shutil
import socket
import threading
import zlib
from contextlib import suppress
from pathlib import Path

LONGEST = 200
"""Bytes of a name that stand in that of its part: a name may have 255 in all."""


def part_of(path: Path) -> Path:
    """Return the hidden place beside a file or folder where this thread writes it: `.NAME.PROCESS-THREAD-HOST.part`.

    Of a long name a checksum stands there. What dead processes of this host left of the same name is removed. Parts
    of another host stay: the folder may be shared, and nobody here knows which of its processes live.
    """
    host, name = _checksum(socket.gethostname().encode()), os.fsencode(path.name)
    begin = f".{path.name if len(name) <= LONGEST else _checksum(name)}."
    for left in path.parent.glob(f"{glob.escape(begin)}*-{host}.part"):
        process = left.name.removeprefix(begin).partition("-")[0]
        if process.isdecimal() and not lives(int(process)):
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                left.unlink()
    return path.with_name(f"{begin}{os.getpid()}-{threading.get_native_id()}-{host}.part")


def _checksum(name: bytes) -> str:
    return f"{zlib.crc32(name):08x}"


def lives(process: int) -> bool:
    """Return whether there is a process of a number on this host."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # the latter of a number that no process can have
        return False
    except PermissionError:
        return True
    return True
