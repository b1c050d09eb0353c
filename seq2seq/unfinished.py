"""Where a file or folder is written until it is whole; what killed processes left there goes with the next."""

import glob
import os
import shutil
import socket
import zlib
from contextlib import suppress
from pathlib import Path


def part_of(path: Path) -> Path:
    """Return the hidden place beside a file, or a folder, where this process writes it: `.NAME.PROCESS-HOST.part`.

    Parts of the same name are removed that dead processes of this host left: of another host, whose folder this may
    be, nobody here knows which processes live.
    """
    host = f"{zlib.crc32(socket.gethostname().encode()):08x}"
    for left in path.parent.glob(f".{glob.escape(path.name)}.*-{host}.part"):
        process = left.name.removeprefix(f".{path.name}.").partition("-")[0]
        if process.isdecimal() and not lives(int(process)):
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                left.unlink()
    return path.with_name(f".{path.name}.{os.getpid()}-{host}.part")


def lives(process: int) -> bool:
    """Return whether there is a process of a number on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
