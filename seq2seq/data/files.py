"""Text read exactly as it stands: only a line feed ends a line; a fault is named with file and line."""

import difflib
import gzip
import hashlib
import io
import os
import select
import stat
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, cast

from seq2seq.errors import UserError, counted

GZIP = b"\x1f\x8b"
"""How a gzip file begins; no text in UTF-8 does."""

SIGNS = (
    (b"\xff\xfe\0\0", "UTF-32", "convert it with iconv -f UTF-32 -t UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32", "convert it with iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"),
    (b"BZh", "packed by bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ\0", "packed by xz", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it with unzstd"),
    (b"PK\x03\x04", "a zip archive, as office documents are", "unpack it, or save the document as plain text"),
    (b"%PDF-", "a PDF", "take its text out with pdftotext"),
    (b"PAR1", "a Parquet table", "give it to data=table, under a name that ends in .parquet"),
)
"""How files that are not UTF-8 begin, what they are, and what to do about it."""

PART = 1 << 16
"""Bytes asked for at once of a stream whose lines are wanted as they come."""

PAUSE = 0.05
"""Seconds that lines may be held back for more to come."""


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder below one with its folders and files, as `os.walk` does; links are followed, each folder once.

    So a few runs can be put together by links. Names of folders are in order; those that the caller takes away, and
    those that begin with a dot, are not gone into.
    """
    seen: set[str] = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(path)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(path), folders, files


def existing_file(path: str, *, again: bool = False) -> Path:
    """The path, `~` expanded; raises UserError, with the nearest name, where there is nothing to read.

    `again` is for what is read more than once, which a pipe cannot be.
    """
    if not path:
        raise UserError(
            "a file is given by an empty name, as of a variable of the shell that is not set; give its name"
        )
    file = Path(os.path.expanduser(path))
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(_absent(file)) from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{file} is a folder; give a file")
    if again and not stat.S_ISREG(mode):
        raise UserError(f"{file} is a pipe or a device, but it has to be read more than once; write it to a file first")
    return file


def _absent(file: Path) -> str:
    if file.is_symlink():
        return f"{file} is a link to {os.readlink(file)}, which does not exist"
    if not file.parent.is_dir():
        return f"{file} does not exist: there is no folder {file.parent}"
    try:
        # A hidden one may be our own, of output that is not whole yet.
        names = sorted(name for name in os.listdir(file.parent) if not name.startswith(".") or file.name[0] == ".")
    except OSError as error:
        return f"{file} does not exist, as far as can be seen: {file.parent}: {error.strerror}"
    if str(file) == "-":
        return "- does not exist: for what is piped in, give /dev/stdin"
    near = difflib.get_close_matches(file.name, names, n=1, cutoff=0.5)
    return f"{file} does not exist: " + (
        f"did you mean {near[0]}?" if near else f"its folder holds {', '.join(names[:5]) or 'nothing'}"
    )


def digest(*paths: str) -> str:
    """A hash of the contents of some files, which will be read once more."""
    hashes = []
    for path in paths:
        with _opened(existing_file(path, again=True)) as file:
            try:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return " ".join(hashes)


def _opened(file: Path) -> io.BufferedReader:
    try:
        return file.open("rb")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None


@contextmanager
def open_text(path: str) -> Iterator[BinaryIO]:
    """The bytes of a text file, or of a pipe."""
    with _opened(existing_file(path)) as file:
        yield file


def unpacked(stream: BinaryIO, name: str) -> BinaryIO:
    """What a stream holds: where that is a gzip file, its content. `name` is what an error calls it."""
    # What `peek` and `GzipFile` want of a stream, every binary one has, though its type does not say so.
    whole = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
    try:
        packed = whole.peek(len(GZIP)).startswith(GZIP)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None
    return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=whole))) if packed else whole


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, without the line feed (or carriage return and line feed) that alone ends one.

    Raises UserError with file and line where the bytes are not text.
    """
    with open_text(path) as file:
        yield from decode_lines(unpacked(file, path), path)


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a stream of UTF-8, as `read_lines`; `name` is what an error calls it."""
    head = b""
    try:
        for number, raw in enumerate(stream, start=1):
            head = head or raw[:16]
            if number == 1 and (form := _utf16_without_mark(head)):
                raise UserError(f"{name}: {form}, not text in UTF-8: convert it with iconv -f {form} -t UTF-8")
            if number == 1 and not raw.endswith(b"\n") and b"\r" in raw.rstrip(b"\r"):
                raise UserError(
                    f"{name}: its lines end in a carriage return alone, as on old Macs: "
                    "convert it with tr '\\r' '\\n', or save it with line feeds"
                )
            try:
                line = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                place = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
                raise UserError(_not_text(f"{name}:{number}", place, name, head)) from error
            yield line.removeprefix("\ufeff") if number == 1 else line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{name}: a damaged gzip file, or one that was cut off ({error}); make it again") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error


def _utf16_without_mark(head: bytes) -> str | None:
    """Return the form of UTF-16 that a file begins in: every other byte of its letters is 0."""
    for begin, form in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if len(head) > 3 and not any(head[begin::2]) and any(chr(byte).isalnum() for byte in head):
            return form
    return None


def _not_text(where: str, place: str, name: str, head: bytes) -> str:
    """Say what is not UTF-8, and what the file is instead, as far as its first bytes tell."""
    for sign, what, remedy in SIGNS:
        if head.startswith(sign):
            return f"{name}: {what}, not text in UTF-8: {remedy}"
    return (
        f"{where}: not UTF-8 ({place}): convert the file with iconv -f ENCODING -t UTF-8, "
        "where ENCODING is what it was written in"
    )


class Arriving:
    """The lines of a stream as bytes, and whether the next of them has come."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = cast(io.BufferedReader, stream)  # of `unpacked`, or standard input: they have `read1`
        self._lines: deque[bytes] = deque()

    def __iter__(self) -> Iterator[bytes]:
        begun: list[bytes] = []  # parts of a line whose end has not come
        while part := self.stream.read1(PART):
            *ended, rest = part.split(b"\n")
            if ended:
                ended[0] = b"".join([*begun, ended[0]])
                self._lines.extend(ended)
                begun = []
                while self._lines:
                    yield self._lines.popleft() + b"\n"
            begun.append(rest)
        if last := b"".join(begun):
            yield last

    def pauses(self, seconds: float) -> bool:
        """Whether the next line is still to come after so many seconds. What lies in memory or on a disk has come."""
        if self._lines:
            return False
        try:
            return not select.select([self.stream], [], [], max(0.0, seconds))[0]
        except (OSError, ValueError):
            return False


def arriving_lines(stream: BinaryIO, name: str, *, most: int) -> Iterator[list[str]]:
    """Lists of the lines of a stream, as `decode_lines`: up to `most`, or what has come when the stream pauses."""
    source = Arriving(stream)
    lines: list[str] = []
    for line in decode_lines(source, name):
        if not lines:
            until = time.monotonic() + PAUSE
        lines.append(line)
        if len(lines) == most or source.pauses(until - time.monotonic()):
            yield lines
            lines = []
    if lines:
        yield lines


def read_parallel(*paths: str) -> Iterator[tuple[str, ...]]:
    """Line n of every file, for each n; raises UserError when they are empty or not equally long."""
    return _joined(paths, [read_lines(path) for path in paths])


def arriving_parallel(*paths: str, most: int) -> Iterator[list[tuple[str, ...]]]:
    """Lists of what `read_parallel` gives: up to `most`, or what has come when a file is a pipe and pauses."""
    with ExitStack() as opened:
        sources = [Arriving(unpacked(opened.enter_context(open_text(path)), path)) for path in paths]
        together: list[tuple[str, ...]] = []
        files = [decode_lines(source, path) for source, path in zip(sources, paths, strict=True)]
        for lines in _joined(paths, files):
            if not together:
                until = time.monotonic() + PAUSE
            together.append(lines)
            if len(together) == most or any(source.pauses(until - time.monotonic()) for source in sources):
                yield together
                together = []
        if together:
            yield together


def _joined(paths: Sequence[str], files: Sequence[Iterator[str]]) -> Iterator[tuple[str, ...]]:
    number = 0
    for number, lines in enumerate(zip_longest(*files), start=1):
        if None in lines:
            rest = (sum(1 for _ in file) for file in files)
            found = (number - (line is None) + more for line, more in zip(lines, rest, strict=True))
            counts = ", ".join(
                f"{path} has {counted(count, 'lines')}" for path, count in zip(paths, found, strict=True)
            )
            raise UserError(f"{counts}: line n of one must belong to line n of the other")
        yield lines
    if not number:
        raise UserError(f"{' and '.join(paths)}: empty, there must be at least one line")
