"""Text and tables read exactly as they stand: only a line feed ends a line; a fault is named with file and line."""

import csv
import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow.parquet

from seq2seq.errors import UserError


def existing_file(path: str) -> Path:
    """The path, `~` expanded; raises UserError with the nearest name when there is no such file."""
    file = Path(path).expanduser()
    if file.is_file():
        return file
    if not file.parent.is_dir():
        raise UserError(f"{file} does not exist: there is no folder {file.parent}")
    names = sorted(entry.name for entry in file.parent.iterdir())
    near = difflib.get_close_matches(file.name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"its folder holds {', '.join(names[:5]) or 'nothing'}"
    raise UserError(f"{file} is not a file: {hint}" if file.exists() else f"{file} does not exist: {hint}")


def digest(*paths: str) -> str:
    """A hash of the contents of some files."""
    hashes = []
    for path in paths:
        with existing_file(path).open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return " ".join(hashes)


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file, without the line feed (or carriage return and line feed) that alone ends one.

    Raises UserError with file and line where the bytes are not UTF-8.
    """
    with existing_file(path).open("rb") as file:
        yield from decode_lines(file, path)


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a stream of UTF-8, as `read_lines`; `name` is what an error calls it."""
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}:{number}: not UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start + 1}): "
                "convert the file, for example with iconv -f latin1 -t utf-8"
            ) from error
        yield line.removeprefix("\ufeff") if number == 1 else line


def read_parallel(*paths: str) -> Iterator[tuple[str, ...]]:
    """Line n of every file, for each n; raises UserError when they are empty or not equally long."""
    lines: tuple[str, ...] | None = None
    for lines in zip_longest(*map(read_lines, paths)):
        if None in lines:
            counts = ", ".join(f"{path} has {sum(1 for _ in read_lines(path))} lines" for path in paths)
            raise UserError(f"{counts}: line n of one must belong to line n of the other")
        yield lines
    if lines is None:
        raise UserError(f"{' and '.join(paths)}: empty, there must be at least one line")


def read_table(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where a row stands, as `file:line`, and the row as a mapping from column to value, row by row."""
    file = existing_file(path)
    if file.suffix not in TABLES:
        raise UserError(f"{path}: a table ends in {', '.join(TABLES)}, not in {file.suffix or 'nothing'}")
    empty = True
    for row in TABLES[file.suffix](path):
        empty = False
        yield row
    if empty:
        raise UserError(f"{path}: the table has no rows")


def cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """The text of one column of a row, or of that language in its `translation` field, as one line.

    Raises UserError when there is no such column, with the columns that exist, and when the value is not text.
    """
    translation = row.get("translation")
    fields = translation if column not in row and isinstance(translation, Mapping) else row
    if column not in fields:
        raise UserError(f"{where}: there is no column {column}: the columns are {', '.join(fields)}")
    if not isinstance(fields[column], str):
        raise UserError(f"{where}: column {column} holds {fields[column]!r} where text is expected")
    return re.sub(r"\s*[\r\n]+\s*", " ", fields[column])


def _read_tsv(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Fields between tabs, quotes are text like any other; the first line names the columns."""
    lines = ((f"{path}:{number}", line.split("\t")) for number, line in enumerate(read_lines(path), start=1))
    return _rows_under_header(lines)


def _read_csv(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Fields between commas, RFC 4180; the first line names the columns."""
    reader = csv.reader((f"{line}\n" for line in read_lines(path)), strict=True)

    def records() -> Iterator[tuple[str, list[str]]]:
        while True:
            where = f"{path}:{reader.line_num + 1}"
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise UserError(
                    f"{where}: the row that begins here is broken ({error}): look for a stray quote"
                ) from error
            if fields is None:
                return
            yield where, fields

    return _rows_under_header(records())


def _rows_under_header(records: Iterator[tuple[str, list[str]]]) -> Iterator[tuple[str, dict[str, str]]]:
    first, header = next(records, ("", []))
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{first}: the column {twice!r} stands there twice; give each a name of its own")
    for where, fields in records:
        if fields in ([], [""]):
            continue  # an empty line
        if len(fields) != len(header):
            raise UserError(f"{where}: {len(fields)} fields where the header has {len(header)}")
        yield where, dict(zip(header, fields, strict=True))


def _read_jsonl(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON ({error}): there must be one object a line") from error
        if not isinstance(row, dict):
            raise UserError(f'{where}: not an object: a line looks like {{"en": "...", "de": "..."}}')
        yield where, row


def _read_parquet(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(existing_file(path)).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a parquet file, or a damaged one ({error})") from error


TABLES: dict[str, Callable[[str], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
