"""Tables: the text of a cell stays as it is, and a fault is named with its row."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from seq2seq.data.tables import PARQUET, TABLES, cell, check_table, read_table
from seq2seq.errors import UserError


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def rows(path: str) -> list[dict[str, str]]:
    return [dict(row) for _, row in read_table(path, ("en", "de"))]


def test_tsv_takes_quotes_and_special_words_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'en\tid\tde\n"quote\t1\tNA\nnull\t2\t1.50\n')
    assert rows(path) == [{"en": '"quote', "id": "1", "de": "NA"}, {"en": "null", "id": "2", "de": "1.50"}]


def test_csv_keeps_commas_quotes_and_special_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'en,de\r\n"a, b","sag ""ja"""\r\nNA,1.50\r\n\r\n')
    assert rows(path) == [{"en": "a, b", "de": 'sag "ja"'}, {"en": "NA", "de": "1.50"}]


def test_csv_with_a_stray_quote_names_the_row_where_it_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'en,de\na,b\n"c,d\ne,f\ng,h\n')
    with pytest.raises(UserError, match=r"a\.csv:3: the row that begins here is broken .* stray quote"):
        rows(path)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_row_of_another_width_is_named(tmp_path: Path, name: str) -> None:
    text = "en,de\na,b\nc\n".replace(",", "\t" if name.endswith("tsv") else ",")
    with pytest.raises(UserError, match=rf"{name}:3: 1 fields where the header has 2"):
        rows(write(tmp_path / name, text))


@pytest.mark.parametrize("name, header", [("a.tsv", "en\tde\ten"), ("a.csv", "en,de,en")])
def test_column_that_stands_twice_is_refused(tmp_path: Path, name: str, header: str) -> None:
    path = write(tmp_path / name, f"{header}\n" + header.replace("en", "x"))
    with pytest.raises(UserError, match=rf"{name}:1: the column 'en' stands there twice"):
        rows(path)


def test_jsonl_keeps_text_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"en": "NA", "de": "\u2028 ü"}\n\n{"en": "b", "de": "c"}\n')
    assert rows(path) == [{"en": "NA", "de": "\u2028 ü"}, {"en": "b", "de": "c"}]


@pytest.mark.parametrize("line", ['{"en": ', '["a", "b"]', f'{{"en": "a", "de": "b", "n": {"9" * 5000}}}'])
def test_broken_jsonl_names_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl:2: not (JSON|an object)"):
        rows(write(tmp_path / "a.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n'))


def test_parquet_gives_its_rows(tmp_path: Path) -> None:
    expected = [{"en": f"a{i}", "de": f"b{i}"} for i in range(17)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(expected), tmp_path / "a.parquet", row_group_size=5)
    assert rows(str(tmp_path / "a.parquet")) == expected


def test_nothing_is_read_of_a_column_that_is_not_wanted(tmp_path: Path) -> None:
    far = pa.array([3 * 10**7, 2], pa.date32())  # the year 84,105, which Python cannot hold
    path = str(tmp_path / "a.parquet")
    table = pa.table({"en": ["a", "b"], "when": far, "de": ["c", "d"]})
    pyarrow.parquet.write_table(table, path)
    assert rows(path) == [{"en": "a", "when": None, "de": "c"}, {"en": "b", "when": None, "de": "d"}]
    with pytest.raises(UserError, match="there is no column fr: the columns are 'en', 'when', 'de'"):
        check_table(path, ("en", "fr"))
    with pytest.raises(UserError, match="there is no column fr: the columns are 'en', 'when', 'de'"):
        check_table(path, ("fr",))
    with pytest.raises(UserError, match=r"a\.parquet: after row 0: a value of en or when that cannot be read"):
        check_table(path, ("en", "when"))
    pyarrow.parquet.write_table(table.rename_columns(["en", "en", "de"]), path)
    with pytest.raises(UserError, match=r"a\.parquet: the column 'en' stands there twice"):
        rows(path)


def test_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.parquet: not a parquet file"):
        rows(write(tmp_path / "a.parquet", "en,de\na,b\n"))


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_table_without_rows_is_refused(tmp_path: Path, suffix: str) -> None:
    header = "" if suffix == ".jsonl" else "en\tde\n"
    with pytest.raises(UserError, match="the table has no rows"):
        rows(write(tmp_path / f"a{suffix}", header))


def test_unknown_type_of_table_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=", ".join((*TABLES, PARQUET))):
        rows(write(tmp_path / "a.xlsx", "x"))


def test_cell_is_the_column_or_the_language_of_a_translation() -> None:
    assert cell({"en": "a", "de": "b"}, "de", "x:1") == "b"
    assert cell({"id": 3, "translation": {"en": "a", "de": "b"}}, "de", "x:1") == "b"


def test_cell_is_one_line() -> None:
    assert cell({"en": "a \r\n\n b\u2028c"}, "en", "x:1") == "a b\u2028c"
    assert cell({"en": "a\u00a0\nb"}, "en", "x:1") == "a\u00a0 b"


@pytest.mark.parametrize("row", [{"en": "a", "fr": "b"}, {"translation": {"en": "a", "fr": "b"}}])
def test_missing_column_names_those_that_exist(row: dict[str, object]) -> None:
    with pytest.raises(UserError, match="x:1: there is no column de: the columns are 'en', 'fr'; source_column"):
        cell(row, "de", "x:1")


@pytest.mark.parametrize("value", [None, 1.5, ["a"]])
def test_cell_that_is_not_text_is_named(value: object) -> None:
    with pytest.raises(UserError, match="x:7: column de holds .* where text is expected"):
        cell(json.loads(json.dumps({"de": value})), "de", "x:7")


def test_half_of_a_surrogate_pair_is_named() -> None:
    with pytest.raises(UserError, match=r"x:7: column de holds half of a surrogate pair \(\\ud83d at position 2\)"):
        cell(json.loads(r'{"de": "a\ud83d b"}'), "de", "x:7")


def test_whole_surrogate_pair_of_json_is_one_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", r'{"en": "\ud83d\ude00"}')
    assert [cell(row, "en", where) for where, row in read_table(path, ["en"])] == ["\U0001f600"]


def test_field_that_stands_twice_in_an_object_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"en": "a", "de": "b", "en": "c"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl:1: the field 'en' stands there twice"):
        rows(path)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_packed_table_is_read_like_another(tmp_path: Path, name: str) -> None:
    text = {"tsv": "en\tde\na\tb\n", "csv": "en,de\na,b\n", "jsonl": '{"en": "a", "de": "b"}\n'}[name[2:]]
    assert rows(write(tmp_path / f"{name}.gz", gzip.compress(text.encode()))) == [{"en": "a", "de": "b"}]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_table_with_carriage_returns_alone_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="carriage return alone"):
        rows(write(tmp_path / f"a{suffix}", "en\tde\ra\tb\r"))


def test_kind_and_columns_can_be_checked_alone(tmp_path: Path) -> None:
    text = "en\tde\na\tb\n"
    check_table(write(tmp_path / "a.tsv", text), ("en", "de"))
    with pytest.raises(UserError, match="a table ends in"):
        check_table(write(tmp_path / "a.txt", text), ("en", "de"))
    with pytest.raises(UserError, match="there is no column en"):
        check_table(write(tmp_path / "a.csv", text), ("en", "de"))
    with pytest.raises(UserError, match=r"packed by gzip: unpack it with gunzip"):
        check_table(write(tmp_path / "a.parquet.gz", text), ("en", "de"))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("a\rb", r"a\.csv:2: .* broken \(a carriage return in a field without quotes\): put the field in quotes"),
        (
            "a" * 200_000,
            r"a\.csv:2: .*a field of more than 131,072 characters\): look for a stray quote, or write longer",
        ),
    ],
)
def test_csv_that_cannot_be_read_says_why(tmp_path: Path, field: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        rows(write(tmp_path / "a.csv", f"en,de\n{field},b\nc,d\n"))


def test_damaged_parquet_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"en": ["a"] * 100, "de": ["b"] * 100}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"a\.parquet: not a parquet file, or a damaged one \(.*write the file anew"
    ) as said:
        rows(str(path))
    assert "\n" not in str(said.value)


def test_long_value_that_is_no_text_is_shown_in_part() -> None:
    with pytest.raises(UserError, match=r"x:7: column de holds \[0, 1, .{43} \.\.\. where text is expected"):
        cell({"de": list(range(1000))}, "de", "x:7")
