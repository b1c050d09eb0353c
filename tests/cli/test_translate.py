"""`seq2seq translate`: as many lines out as came in, in their order, from a checkpoint alone."""

import gzip
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.decoding.translator import Translator

Command = Callable[..., Any]
SHORT = "search.max_length=6"


def lines_of(text_folder: Path) -> list[str]:
    return (text_folder / "test.source").read_text(encoding="utf-8").splitlines()


def joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.mark.parametrize("model", ["bahdanau", "transformer"])
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_order_of_lines_is_kept(
    command: Command, request: pytest.FixtureRequest, text_folder: Path, model: str, search: str
) -> None:
    """Lines of unlike lengths are batched in another order than they come in."""
    checkpoint = f"checkpoint={request.getfixturevalue(model).best}"
    lines = lines_of(text_folder)
    lines = [lines[0], "a", " ".join(lines[1:4]), "", lines[4]]
    options = [checkpoint, f"search={search}", "search.max_length=20"]
    said = command("translate", *options, stdin=joined(lines))
    assert said.status == 0 and said.err == ""
    alone = [command("translate", *options, stdin=joined([line])).out for line in lines]
    assert said.out == "".join(alone)
    assert len(set(alone)) > 2


def test_empty_lines_give_empty_lines(command: Command, bahdanau: Any) -> None:
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, stdin=b"\nthe wolf slept\n\n   \nthe wolf\n\n")
    assert [bool(line) for line in said.out.split("\n")] == [False, True, False, False, True, False, False]


def test_no_input_gives_no_output(command: Command, bahdanau: Any) -> None:
    said = command("translate", f"checkpoint={bahdanau.best}")
    assert (said.status, said.out, said.err) == (0, "", "")


def test_file_is_translated_as_stdin_is(command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path) -> None:
    lines = lines_of(text_folder)
    (tmp_path / "in put.txt").write_bytes("\r\n".join(lines).encode())  # without an end to the last line
    options = [f"checkpoint={bahdanau.best}", SHORT]
    said = command("translate", *options, "input=in put.txt", "output=out, (1).txt")
    assert (said.status, said.out, said.err) == (0, "", "")
    written = (tmp_path / "out, (1).txt").read_text(encoding="utf-8")
    assert written == command("translate", *options, stdin=joined(lines)).out
    assert written.count("\n") == len(lines)


def test_beam_size_is_an_option(command: Command, bahdanau: Any, text_folder: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", "search.max_length=20"]
    out = {
        size: command("translate", *options, f"search.beam_size={size}", stdin=joined(lines_of(text_folder))).out
        for size in (1, 5)
    }
    greedy = command("translate", *options, "search=greedy", stdin=joined(lines_of(text_folder))).out
    assert out[1] == greedy != out[5]


def test_several_hypotheses_a_line_are_numbered_and_scored_best_first(command: Command, bahdanau: Any) -> None:
    options = [f"checkpoint={bahdanau.best}", SHORT, "search.beam_size=5"]
    stdin = b"the wolf slept\n\na house\n"
    said = command("translate", *options, "search.n_best=3", stdin=stdin)
    rows = [line.split(" ||| ") for line in said.out.splitlines()]
    assert [row[0] for row in rows] == ["0", "0", "0", "1", "2", "2", "2"]
    scores = [float(row[2]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True) and scores[4:] == sorted(scores[4:], reverse=True)
    best = command("translate", *options, stdin=stdin).out.splitlines()
    assert [rows[i][1] for i in (0, 3, 4)] == best


def test_line_over_the_limit_is_cut_with_a_warning_that_names_it(command: Command, bahdanau: Any) -> None:
    stdin = b"a\n\n" + b"the wolf slept " * 9 + b"\na\n"
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, "loader.max_length=7", stdin=stdin)
    assert said.status == 0 and said.out.count("\n") == 4
    assert said.err.startswith("stdin:3: ") and said.err.count("\n") == 1


def test_output_appears_whole_or_not_at_all(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("from before\n")
    whole = Translator.translate

    def broken(self: Translator, *arguments: Any, **options: Any) -> Any:
        yield next(whole(self, *arguments, **options))
        raise RuntimeError("the lights went out")

    monkeypatch.setattr(Translator, "translate", broken)
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, "output=out", stdin=b"a\nb\n")
    assert said.status == 1 and said.err.count("\n") == 1 and "the lights went out" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "from before\n"


def test_checkpoint_needs_nothing_but_itself(
    command: Command, train_briefly: Any, text: list[str], text_folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(text_folder, tmp_path / "data")
    names = [override.replace(str(text_folder), str(data)) for override in text if override.startswith("data.")]
    run = train_briefly(*names, f"loader.cache_dir={tmp_path / 'cache'}")
    elsewhere = tmp_path / "größe=1, (copy).ckpt"
    shutil.move(run.best, elsewhere)
    for folder in (data, run.folder, tmp_path / "cache"):
        shutil.rmtree(folder)
    said = command("translate", f"checkpoint={elsewhere}", SHORT, stdin=b"the wolf\n")
    assert said.status == 0 and said.out.count("\n") == 1


def test_packed_input_and_pipes_are_read(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", SHORT]
    text = b"the wolf slept\n\na house\n"
    expected = command("translate", *options, stdin=text).out
    assert command("translate", *options, stdin=gzip.compress(text)).out == expected
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text,))
    writer.start()
    assert command("translate", *options, "input=pipe").out == expected
    writer.join()


@pytest.mark.parametrize("linked", [False, True])
def test_input_is_not_written_over(command: Command, bahdanau: Any, tmp_path: Path, linked: bool) -> None:
    (tmp_path / "in").write_text("the wolf slept\n")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    output = "link" if linked else "in"
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, "input=in", f"output={output}")
    assert (said.status, said.err) == (1, f"error: cannot write {output}: it is being read; give another file\n")
    assert (tmp_path / "in").read_text() == "the wolf slept\n"


def test_full_disk_is_named(command: Command, bahdanau: Any) -> None:
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, "output=/dev/full", stdin=b"a\n")
    assert (said.status, said.err) == (1, "error: cannot write /dev/full: No space left on device; make some\n")


def test_lines_are_numbered_on_where_the_input_paused(
    command: Command, bahdanau: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.cli.translate.CHUNK", 2)
    options = [f"checkpoint={bahdanau.best}", SHORT, "search.n_best=2", "loader.max_length=3"]
    said = command("translate", *options, stdin=b"a\n\na\nthe wolf slept well\n")
    assert [line.split(" ||| ")[0] for line in said.out.splitlines()] == ["0", "0", "1", "2", "2", "3", "3"]
    assert said.err.startswith("stdin:4: ")


@pytest.mark.parametrize("model", ["bahdanau", "transformer"])
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_translations_begin_with_the_lines_of_a_file(
    command: Command, request: pytest.FixtureRequest, tmp_path: Path, model: str, search: str
) -> None:
    options = [f"checkpoint={request.getfixturevalue(model).best}", f"search={search}", "search.max_length=20"]
    stdin = b"the wolf slept\nthe wolf\n\na house\n"
    (tmp_path / "begin").write_text("Der Wo\n\nDas Haus \nEin\n", encoding="utf-8")
    said = command("translate", *options, "prefix=begin", stdin=stdin)
    assert said.status == 0, said.err
    first, second, third, fourth = said.out.splitlines()
    assert first.startswith("Der Wo") and third.split(" ")[:2] == ["Das", "Haus"] and fourth.startswith("Ein")
    assert second == command("translate", *options, stdin=stdin).out.splitlines()[1]


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        ("\nDer " + "Wolf " * 9 + "\n", "begin:2: the prefix needs "),
        ("\nDer ☃ Wolf\n", "begin:2: the vocabulary has no pieces for ☃; write it with other letters"),
        ("Der\n", "begin has 1 line, in has 2: give one for each line, or an empty one"),
        ("Der\n\n\n", "begin has 3 lines, in has 2"),
    ],
)
def test_prefix_that_cannot_be_had_is_refused_before_work_begins(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, message: str
) -> None:
    def worked(*_: Any, **__: Any) -> None:
        raise AssertionError("work had begun")

    monkeypatch.setattr(Translator, "translate", worked)
    (tmp_path / "in").write_text("the wolf\na house\n", encoding="utf-8")
    (tmp_path / "begin").write_text(begin, encoding="utf-8")
    given = ["input=in", "output=out", "prefix=begin"]
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, *given)
    assert said.status == 1 and said.err.startswith(f"error: {message}") and said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("begin", "message"), [("Der\n", "stdin has more lines than"), ("\n\n\n", "begin has 3 lines")]
)
def test_prefixes_that_are_more_or_fewer_than_the_lines_of_a_pipe_are_refused(
    command: Command, bahdanau: Any, tmp_path: Path, begin: str, message: str
) -> None:
    (tmp_path / "begin").write_text(begin, encoding="utf-8")
    said = command("translate", f"checkpoint={bahdanau.best}", SHORT, "prefix=begin", "output=out", stdin=b"a\nb\n")
    assert said.status == 1 and said.err.startswith(f"error: {message}") and not (tmp_path / "out").exists()


def test_translations_say_what_is_required_and_nothing_forbidden(
    command: Command, bahdanau: Any, tmp_path: Path
) -> None:
    options = [f"checkpoint={bahdanau.best}", "search.max_length=20"]
    stdin = b"the wolf slept\nthe wolf\n\na house\n"
    (tmp_path / "words").write_text(
        '{"require": ["Wolf", ["das Haus", "die Frau"]]}\n\n{}\n{"forbid": ["."]}\n', encoding="utf-8"
    )
    said = command("translate", *options, "constraints=words", stdin=stdin)
    assert said.status == 0, said.err
    first, second, third, fourth = said.out.splitlines()
    assert " Wolf " in f" {first} " and (" das Haus " in f" {first} " or " die Frau " in f" {first} ")
    assert second == command("translate", *options, stdin=stdin).out.splitlines()[1]
    assert third == "" and "." not in fourth.split()


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ('\n{"require": ["Wolf"], "forbid": ["Wolf"]}\n', [], "words:2: requires Wolf, and forbids it; take one away"),
        ('\n{"require": ["☃"]}\n', [], "words:2: the vocabulary has no pieces for ☃"),
        ('\n{"require": ["Wolf Frau Haus schlief"]}\n', [], "words:2: what is asked needs "),
        ("\n{'require': []}\n", [], "words:2: not JSON"),
        ('\n{"require": ["Wolf"]}\n', ["search=greedy"], "words:2: words can be required of search=beam only"),
        ("\n", [], "words has 1 line, in has 2"),
    ],
)
def test_constraints_that_cannot_be_had_are_refused_before_work_begins(
    command: Command, bahdanau: Any, tmp_path: Path, words: str, options: list[str], message: str
) -> None:
    (tmp_path / "in").write_text("the wolf\na house\n", encoding="utf-8")
    (tmp_path / "words").write_text(words, encoding="utf-8")
    given = [*options, "input=in", "output=out", "constraints=words"]
    said = command("translate", f"checkpoint={bahdanau.best}", "search.max_length=5", *given)
    assert said.status == 1 and said.err.startswith(f"error: {message}") and said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_dead_end_hits_its_own_sentence_alone(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    """There is no room for a word between two that may not stand side by side; no piece may come twice."""
    options = [f"checkpoint={bahdanau.best}", SHORT, "search.no_repeat_ngram=3"]
    (tmp_path / "begin").write_text("\nDer \n\n", encoding="utf-8")
    (tmp_path / "words").write_text('\n{"require": ["Wolf"], "forbid": ["Der Wolf"]}\n\n', encoding="utf-8")
    given = [*options, "prefix=begin", "constraints=words", "output=out"]
    said = command("translate", *given, stdin=b"the wolf slept\n" * 3)
    assert said.status == 0 and said.err.count("\n") == 1
    assert said.err.startswith("words:2: no translation was found that keeps to what is asked; its line is left empty")
    free = command("translate", *options, stdin=b"the wolf slept\n").out
    assert (tmp_path / "out").read_text(encoding="utf-8") == f"{free}\n{free}"

    options = [f"checkpoint={bahdanau.best}", "search.max_length=20"]
    (tmp_path / "words").write_text('\n{"require": ["Wolf Wolf"]}\n', encoding="utf-8")
    given = [*options, "search.no_repeat_ngram=1", "constraints=words"]
    said = command("translate", *given, stdin=b"the wolf slept\n" * 2)
    assert said.status == 0 and said.err.count("\n") == 1 and "words:2: no translation was found" in said.err
    assert "its line is translated without search.no_repeat_ngram" in said.err
    plain = command("translate", *options, "constraints=words", stdin=b"the wolf slept\n" * 2).out
    assert "Wolf Wolf" in said.out.splitlines()[1] == plain.splitlines()[1]


def test_unknown_pieces_and_precision_are_keys(command: Command, bahdanau: Any) -> None:
    """The tiny vocabulary lacks letters, so that the model says `<unk>` now and then."""
    options = [f"checkpoint={bahdanau.best}", "search.max_length=20"]
    stdin = "the Zebra☃ slept\n".encode() * 2
    plain = command("translate", *options, stdin=stdin)
    copied = command("translate", *options, "unknown=copy", stdin=stdin)
    assert copied.status == 0 and "⁇" not in copied.out and ("⁇" in plain.out or copied.out == plain.out)
    half = command("translate", *options, "precision=bfloat16", stdin=stdin)
    assert half.status == 0 and half.out.count("\n") == 2
    auto = command("translate", *options, "precision=auto", stdin=stdin)
    assert auto.status == 0 and auto.err.startswith("precision=")
    for wrong in ("unknown=ask", "precision=int8"):
        said = command("translate", *options, wrong)
        assert said.status == 1 and said.err.startswith(f"error: {wrong} is not known; use ")
