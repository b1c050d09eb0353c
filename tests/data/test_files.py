"""Lines: only a line feed ends one, gzip and pipes are read, all else that is no text is named."""

import gzip
import io
import os
import threading
import time
from pathlib import Path

import pytest

from seq2seq.data.files import (
    arriving_lines,
    arriving_parallel,
    digest,
    existing_file,
    read_lines,
    read_parallel,
    unpacked,
)
from seq2seq.errors import UserError


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


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
    with pytest.raises(UserError, match=r"a\.de:2: not UTF-8 \(byte 0xf6 at position 4\): convert .* -f ENCODING"):
        list(read_lines(path))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.en", "one")
    with pytest.raises(UserError, match=r"trian\.en does not exist: did you mean train\.en\?"):
        list(read_lines(str(tmp_path / "trian.en")))


def test_missing_file_shows_the_folder_when_nothing_is_near(tmp_path: Path) -> None:
    write(tmp_path / "readme", "one")
    (tmp_path / ".out.17.part").touch()  # of output that is not whole yet
    with pytest.raises(UserError, match="its folder holds readme$"):
        list(read_lines(str(tmp_path / "x.en")))


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        list(read_lines(str(tmp_path / "nowhere" / "train.en")))


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.en").mkdir()
    with pytest.raises(UserError, match=r"train\.en is a folder; give a file"):
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


def test_packed_file_is_read_like_another(tmp_path: Path) -> None:
    parts = gzip.compress("\ufeffone\ntw".encode()) + gzip.compress("ö\n\n".encode())
    assert list(read_lines(write(tmp_path / "a.gz", parts))) == ["one", "twö", ""]


@pytest.mark.parametrize("end", [9, -3])
def test_packed_file_that_was_cut_off_is_named(tmp_path: Path, end: int) -> None:
    path = write(tmp_path / "a.gz", gzip.compress(b"one\ntwo\n")[:end])
    with pytest.raises(UserError, match=r"a\.gz: a damaged gzip file"):
        list(read_lines(path))


@pytest.mark.parametrize(
    "begin, encoding, name",
    [
        (b"\xff\xfe", "utf-16-le", "UTF-16"),
        (b"\xfe\xff", "utf-16-be", "UTF-16"),
        (b"", "utf-16-le", "UTF-16LE"),
        (b"", "utf-16-be", "UTF-16BE"),
        (b"\xff\xfe\0\0", "utf-32-le", "UTF-32"),
        (b"\0\0\xfe\xff", "utf-32-be", "UTF-32"),
    ],
)
@pytest.mark.parametrize("text", ["one\ntwo\n", "a\r\n"])
def test_file_in_utf16_or_utf32_is_named_with_the_remedy(
    tmp_path: Path, begin: bytes, encoding: str, name: str, text: str
) -> None:
    with pytest.raises(UserError, match=rf"a: {name}, .* iconv -f {name} -t UTF-8"):
        list(read_lines(write(tmp_path / "a", begin + text.encode(encoding))))


@pytest.mark.parametrize(
    "head, what",
    [
        (b"BZh91AY&SY\xff", "bunzip2"),
        (b"\xfd7zXZ\0\0", "unxz"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
        (b"PK\x03\x04\x14\0\xff", "zip archive"),
        (b"%PDF-1.7\n%\xe2\xe3", "pdftotext"),
        (b"PAR1\x15\x04\x15\0\xff", "data=table"),
    ],
)
def test_file_of_another_kind_is_named(tmp_path: Path, head: bytes, what: str) -> None:
    with pytest.raises(UserError, match=what) as error:
        list(read_lines(write(tmp_path / "a", head)))
    assert "latin1" not in str(error.value)


def test_text_may_begin_like_a_file_of_another_kind(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "a", "BZh and PK\n%PDF-\n"))) == ["BZh and PK", "%PDF-"]


def test_nul_is_text_like_any_other(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "a", "\0 \0 \0\ntw\0o\n"))) == ["\0 \0 \0", "tw\0o"]


@pytest.mark.parametrize("text", ["one\rtwo\r", "one\rtwo", "\rone"])
def test_carriage_returns_alone_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"a: its lines end in a carriage return alone"):
        list(read_lines(write(tmp_path / "a", text)))


def test_one_line_may_end_in_a_carriage_return(tmp_path: Path) -> None:
    assert list(read_lines(write(tmp_path / "a", "one\r"))) == ["one"]


def test_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(UserError, match="a is a link to .*b, which does not exist"):
        list(read_lines(str(tmp_path / "a")))


def feed(path: Path, content: bytes) -> threading.Thread:
    """Write into a pipe while another end is read."""
    thread = threading.Thread(target=path.write_bytes, args=(content,))
    thread.start()
    return thread


def test_pipes_are_read_once_and_their_lines_counted(tmp_path: Path) -> None:
    pipes = [tmp_path / "a", tmp_path / "b"]
    for pipe in pipes:
        os.mkfifo(pipe)
    threads = [feed(pipes[0], gzip.compress(b"one\ntwo\nthree\n")), feed(pipes[1], b"eins\n")]
    with pytest.raises(UserError, match="a has 3 lines, .*b has 1 line:"):
        list(read_parallel(*map(str, pipes)))
    for thread in threads:
        thread.join()


def test_pipe_that_must_be_read_again_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(UserError, match="a is a pipe or a device, but it has to be read more than once"):
        digest(str(tmp_path / "a"))


@pytest.mark.parametrize("packed", [False, True])
def test_lines_that_are_there_come_in_lists_of_the_size_asked_for(packed: bool) -> None:
    text = b"a\n\nb\r\n" + b"c" * 70_000 + b"\nd"
    stream = io.BytesIO(gzip.compress(text) if packed else text)
    assert list(arriving_lines(unpacked(stream, "x"), "x", most=2)) == [["a", ""], ["b", "c" * 70_000], ["d"]]


def test_lines_are_not_held_back_when_the_stream_pauses() -> None:
    begin, end = os.pipe()
    with os.fdopen(begin, "rb") as stream, os.fdopen(end, "wb", buffering=0) as writer:
        writer.write(b"one\ntwo\nthr")
        lists = arriving_lines(unpacked(stream, "x"), "x", most=4096)
        assert next(lists) == ["one", "two"]
        writer.write(b"ee\n")
        assert next(lists) == ["three"]
        writer.close()
        assert list(lists) == []


def test_lines_of_two_pipes_come_together_when_one_of_them_pauses(tmp_path: Path) -> None:
    for name in "ab":
        os.mkfifo(tmp_path / name)
    a, b = (os.open(tmp_path / name, os.O_RDWR) for name in "ab")  # which waits for no reader
    pairs = arriving_parallel(str(tmp_path / "a"), str(tmp_path / "b"), most=4096)
    os.write(a, b"one\ntwo\nthree\n")
    os.write(b, b"eins\nzwei\n")
    assert next(pairs) == [("one", "eins"), ("two", "zwei")]
    os.write(b, b"drei\n")
    assert next(pairs) == [("three", "drei")]
    os.write(a, b"four\n")
    for end in (a, b):
        os.close(end)
    with pytest.raises(UserError, match=r"a has 4 lines, .*b has 3 lines"):
        next(pairs)


def test_slow_stream_is_not_waited_for_until_it_ends() -> None:
    begin, end = os.pipe()

    def write() -> None:
        with os.fdopen(end, "wb", buffering=0) as writer:
            for _ in range(20):
                writer.write(b"a line\n")
                time.sleep(0.02)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(begin, "rb") as stream:
        lists = list(arriving_lines(unpacked(stream, "x"), "x", most=4096))
    thread.join()
    assert len(lists) > 1 and sum(map(len, lists)) == 20


def test_empty_name_is_no_file() -> None:
    with pytest.raises(UserError, match="a file is given by an empty name"):
        existing_file("")


def test_dash_is_no_file_but_there_is_one_for_what_is_piped_in() -> None:
    with pytest.raises(UserError, match="give /dev/stdin"):
        existing_file("-")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no such file, which opens and cannot be read")
def test_file_that_cannot_be_read_is_named_where_its_content_is_summed() -> None:
    with pytest.raises(UserError, match="/proc/self/mem cannot be read: Input/output error"):
        digest("/proc/self/mem")
