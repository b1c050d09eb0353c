"""Tables of sentence pairs read exactly as they stand; a fault is named with file and row."""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet

from seq2seq.data.files import existing_file, read_lines
from seq2seq.data.text import SURROGATE, one_line
from seq2seq.errors import UserError


def check_table(path: str, columns: Collection[str]) -> None:
    """Raises UserError where the kind of a table or its first row is not as `read_table` and `cell` want it."""
    where, row = next(read_table(path, columns))
    for column in columns:
        cell(row, column, where)


def read_table(path: str, columns: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where a row stands, as `file:line`, and the row as a mapping from column to value, row by row.

    Of all other columns than these, values may be None.
    """
    existing_file(path)
    suffix = Path(path.removesuffix(".gz")).suffix
    if suffix == PARQUET and path.endswith(".gz"):
        raise UserError(f"{path}: a Parquet table is read as it is, not packed by gzip: unpack it with gunzip")
    if suffix not in (*TABLES, PARQUET):
        raise UserError(f"{path}: a table ends in {', '.join((*TABLES, PARQUET))}, not in {suffix or 'nothing'}")
    empty = True
    for row in _read_parquet(path, columns) if suffix == PARQUET else TABLES[suffix](path):
        empty = False
        yield row
    if empty:
        raise UserError(f"{path}: the table has no rows")


def cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """The text of one column of a row, or of that language in its `translation` field, as one line.

    Raises UserError when there is no such column, with the columns that exist, and when the value is not text.
    """
    translation = row.get(TRANSLATION)
    fields = translation if column not in row and isinstance(translation, Mapping) else row
    if column not in fields:
        named = " (the first line names them)" if UNDER_HEADER.search(where) else ""
        raise UserError(
            f"{where}: there is no column {column}: the columns are {', '.join(map(repr, fields))}{named}; "
            "source_column and target_column of the data say which to read, of data=hub source and target"
        )
    text = fields[column]
    if not isinstance(text, str):
        shown = repr(text)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]} ..."
        raise UserError(f"{where}: column {column} holds {shown} where text is expected")
    if half := SURROGATE.search(text):
        place = f"\\u{ord(half[0]):04x} at position {half.start() + 1}"
        raise UserError(
            f"{where}: column {column} holds half of a surrogate pair ({place}): write both, or take it out"
        )
    return one_line(text)


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
                raise UserError(f"{where}: the row that begins here is broken {_broken(error)}") from error
            if fields is None:
                return
            yield where, fields

    return _rows_under_header(records())


def _broken(error: csv.Error) -> str:
    """Say what is wrong with a row, and what to do."""
    if "new-line character" in str(error):
        return "(a carriage return in a field without quotes): put the field in quotes, or take it out"
    if "field larger" in str(error):
        most = csv.field_size_limit()
        return f"(a field of more than {most:,} characters): look for a stray quote, or write longer text as .jsonl"
    return f"({error}): look for a stray quote"


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
            row = json.loads(line, object_pairs_hook=partial(_object, where=where))
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is not a JSONDecodeError
            raise UserError(f"{where}: not JSON ({error}): there must be one object a line") from error
        if not isinstance(row, dict):
            raise UserError(f'{where}: not an object: a line looks like {{"en": "...", "de": "..."}}')
        yield where, row


def _object(fields: list[tuple[str, Any]], *, where: str) -> dict[str, Any]:
    row = dict(fields)
    if len(row) < len(fields):
        names = [name for name, _ in fields]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: the field {twice!r} stands there twice; give each a name of its own")
    return row


def _read_parquet(path: str, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(existing_file(path))
        names = table.schema_arrow.names
        wanted = _wanted(names, columns)
        if twice := next((name for name in wanted if names.count(name) > 1), None):
            raise UserError(f"{path}: the column {twice!r} stands there twice; give each a name of its own")
        for batch in table.iter_batches(columns=wanted):
            for row in rows_of(batch, columns, names):
                number += 1
                yield f"{path}: row {number}", row
    except UnicodeDecodeError as error:
        reason = f"text that is not UTF-8 ({error.reason})"
        raise UserError(f"{path}: after row {number}: {reason}; write the file anew") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a parquet file, or a damaged one ({reason}); write the file anew") from error
    except (ValueError, OverflowError) as error:
        wrong = f"a value of {' or '.join(wanted)} that cannot be read ({error})"
        raise UserError(f"{path}: after row {number}: {wrong}; write the column as text") from error


def rows_of(
    part: pyarrow.Table | pyarrow.RecordBatch, columns: Collection[str], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of a part of an Arrow table.

    Nothing is read of a column that is not wanted: what stands there need not be what Python can hold.

    Args:
        part: of the table.
        columns: that are wanted.
        names: of all columns: of the others the value is None.
    """
    wanted = _wanted(part.schema.names, columns)
    rows = part.select(wanted).to_pylist() if wanted else [{}] * part.num_rows
    return (dict.fromkeys(names) | row for row in rows)


def _wanted(names: Sequence[str], columns: Collection[str]) -> list[str]:
    return [name for name in names if name in columns or name == TRANSLATION]


SHOWN = 50
"""Characters of a value that is no text which a message shows."""

PARQUET = ".parquet"

TRANSLATION = "translation"
"""A column that may hold a field for each language."""

UNDER_HEADER = re.compile(r"\.[ct]sv(\.gz)?:\d+$")
"""How the place of a row ends whose columns a first line names."""

TABLES: dict[str, Callable[[str], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
