import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from seq2seq.data.files import read_lines, read_parallel
from seq2seq.data.tables import TABLES, cell, read_table
from seq2seq.errors import UserError


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def rows(path: str) -> list[dict[str, str]]:
    return [dict(row) for _, row in read_table(path)]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "one\u2028two\x0bthree\x0c\x85\x1c\n\n four \r\nfive\rsix\r\r\n")
    assert list(read_lines(path)) == ["one\u2028two\x0bthree\x0c\x85\x1c", "", " four ", "five\rsix\r"]


def test_last_line_counts_with_and_without_a_line_feed(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "a", "one\ntwo"))) == ["one", "two"]
    assert list(read_lines(write(tmp_path / "b", "one\ntwo\n"))) == ["one", "two"]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "a", "\ufeffone\n\ufefftwo\n"))) == ["one", "\ufefftwo"]


def test_invalid_utf8_names_file_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.de", b"gut\nsch\xf6n\n")
    with pytest.raises(UserError, match=r"a\.de:2: not UTF-8 \(byte 0xf6 at position 4\): convert"):
        list(read_lines(path))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.en", "one")
    with pytest.raises(UserError, match=r"trian\.en does not exist: did you mean train\.en\?"):
        list(read_lines(str(tmp_path / "trian.en")))


def test_missing_file_shows_the_folder_when_nothing_is_near(tmp_path: Path) -> None:
    write(tmp_path / "readme", "one")
    with pytest.raises(UserError, match="its folder holds readme"):
        list(read_lines(str(tmp_path / "x.en")))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        list(read_lines(str(tmp_path / "nowhere" / "train.en")))


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.en").mkdir()
    with pytest.raises(UserError, match=r"train\.en is not a file"):
        list(read_lines(str(tmp_path / "train.en")))


@pytest.mark.parametrize(("source", "target", "counts"), [("a\nb\n", "c\nd\ne\n", (2, 3)), ("a\nb\n", "", (2, 0))])
def test_unequal_files_are_named_with_their_lengths(
    tmp_path: Path, source: str, target: str, counts: tuple[int, int]
) -> None:
    paths = write(tmp_path / "a.en", source), write(tmp_path / "a.de", target)
    with pytest.raises(UserError, match=rf"a\.en has {counts[0]} lines, .*a\.de has {counts[1]} lines"):
        list(read_parallel(*paths))


def test_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.en and .*a\.de: empty"):
        list(read_parallel(write(tmp_path / "a.en", ""), write(tmp_path / "a.de", "")))


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


@pytest.mark.parametrize("line", ['{"en": ', '["a", "b"]'])
def test_broken_jsonl_names_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl:2: not (JSON|an object)"):
        rows(write(tmp_path / "a.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n'))


def test_parquet_gives_its_rows(tmp_path: Path) -> None:
    expected = [{"en": f"a{i}", "de": f"b{i}"} for i in range(17)]
    pyarrow.parquet.write_table(pa.Table.from_pylist(expected), tmp_path / "a.parquet", row_group_size=5)
    assert rows(str(tmp_path / "a.parquet")) == expected


def test_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.parquet: not a parquet file"):
        rows(write(tmp_path / "a.parquet", "en,de\na,b\n"))


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_table_without_rows_is_refused(tmp_path: Path, suffix: str) -> None:
    header = "" if suffix == ".jsonl" else "en\tde\n"
    with pytest.raises(UserError, match="the table has no rows"):
        rows(write(tmp_path / f"a{suffix}", header))


def test_unknown_type_of_table_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=", ".join(TABLES)):
        rows(write(tmp_path / "a.xlsx", "x"))


def test_cell_is_the_column_or_the_language_of_a_translation() -> None:
    assert cell({"en": "a", "de": "b"}, "de", "x:1") == "b"
    assert cell({"id": 3, "translation": {"en": "a", "de": "b"}}, "de", "x:1") == "b"


def test_cell_is_one_line() -> None:
    assert cell({"en": "a \r\n\n b\u2028c"}, "en", "x:1") == "a b\u2028c"


@pytest.mark.parametrize("row", [{"en": "a", "fr": "b"}, {"translation": {"en": "a", "fr": "b"}}])
def test_missing_column_names_those_that_exist(row: dict[str, object]) -> None:
    with pytest.raises(UserError, match="x:1: there is no column de: the columns are en, fr"):
        cell(row, "de", "x:1")


@pytest.mark.parametrize("value", [None, 1.5, ["a"]])
def test_cell_that_is_not_text_is_named(value: object) -> None:
    with pytest.raises(UserError, match="x:7: column de holds .* where text is expected"):
        cell(json.loads(json.dumps({"de": value})), "de", "x:7")
