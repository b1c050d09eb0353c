"""Any text that a file can hold, and much that it should not: nothing is lost, and what is wrong is said in a line."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seq2seq.alignment.links import format_links, parse_links
from seq2seq.alignment.sentence import sentence_of
from seq2seq.alignment.words import merge_pieces
from seq2seq.data.files import read_lines, read_parallel
from seq2seq.data.tables import read_table
from seq2seq.data.text import words as words_of
from seq2seq.data.tokenizer import UNK, Tokenizer, TokenizerConfig
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.errors import UserError
from seq2seq.pages import render_page
from tests.data.test_tokenizer import LINES

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

characters = st.characters(exclude_categories=["Cs"])  # any Unicode but surrogates: controls, NUL, bidi marks ...
odd = st.sampled_from(
    ["\0", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "▁", "\x1b[31m", " ", "\t", "a" * 5000, "👩‍👩‍👧"]
)
texts = st.lists(st.one_of(st.text(characters, max_size=20), odd), max_size=8).map(" ".join)
lines = texts.map(lambda text: " ".join(text.splitlines()).replace("\n", " ").replace("\r", " "))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    config = TokenizerConfig(
        model_type=request.param,
        vocab_size=67,
        joint=True,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=0,
    )
    return Tokenizer(train_tokenizer(LINES, config))


@MANY
@given(text=texts)
@example(text="")
@example(text="\0")
@example(text=" " * 1000)
def test_every_piece_has_a_word_and_known_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids, words = tokenizer.word_of_piece(text)
    assert ids == tokenizer.encode(text)
    most = max(1, len(words_of(text)))
    assert all(0 <= word < most for word in words) and words == sorted(words)
    again = tokenizer.encode(tokenizer.decode(ids))
    assert UNK in ids or again == ids


@MANY
@given(text=texts, alpha=st.sampled_from([0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 2**32))
def test_sampled_pieces_spell_the_same_text(tokenizer: Tokenizer, text: str, alpha: float, seed: int) -> None:
    sampled = tokenizer.encode_sampled(text, alpha=alpha, seed=seed)
    assert tokenizer.decode(sampled) == tokenizer.decode(tokenizer.encode(text))
    assert sampled == tokenizer.encode_sampled(text, alpha=alpha, seed=seed)


@MANY
@given(source=texts, target=texts, data=st.data())
def test_weights_between_words_are_still_shares(
    tokenizer: Tokenizer, source: str, target: str, data: st.DataObject
) -> None:
    sides = [sentence_of(tokenizer, text, max_length=40).ending() for text in (target, source)]
    sizes = [len(side.word_of_piece) for side in sides]
    seed = data.draw(st.integers(0, 1000))
    weights = torch.rand(2, *sizes, generator=torch.Generator().manual_seed(seed)).softmax(-1)
    merged = merge_pieces(weights, sides[0].word_of_piece, sides[1].word_of_piece)
    assert (merged >= 0).all() and not merged.isnan().any()
    rows = merged.sum(-1)
    seen = torch.tensor([word in sides[0].word_of_piece for word in range(merged.shape[-2])])
    torch.testing.assert_close(rows[:, seen], torch.ones_like(rows[:, seen]))


links = st.sets(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=30)


@MANY
@given(sure=links, possible=links)
def test_links_come_back(sure: set[tuple[int, int]], possible: set[tuple[int, int]]) -> None:
    line = " ".join([*(f"{i}-{j}" for i, j in sure), *(f"{i}p{j}" for i, j in possible)])
    parsed = parse_links(line, where="here")
    assert parsed.sure == sure and parsed.possible == sure | possible
    assert parse_links(format_links(sure), where="here").sure == sure


@MANY
@given(line=texts)
@example(line="1-2-3")
@example(line="-1-2")
@example(line="1-" + "9" * 5000)
@example(line="١-٢")
def test_line_of_links_is_read_or_refused_in_a_line(line: str) -> None:
    try:
        parsed = parse_links(line, where="file:7")
    except UserError as error:
        assert "file:7" in str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 500
    else:
        assert all(i >= 0 and j >= 0 for i, j in parsed.possible)


@MANY
@given(rows=st.lists(lines, min_size=1, max_size=5), end=st.sampled_from(["\n", "\r\n"]), final=st.booleans())
def test_lines_of_a_file_are_its_lines(tmp_path: Path, rows: list[str], end: str, final: bool) -> None:
    rows = [row.lstrip("\ufeff") for row in rows]
    file = tmp_path / "text"
    file.write_bytes((end.join(rows) + end * (final or not rows[-1])).encode())
    assert list(read_lines(str(file))) == rows
    assert [pair for pair in read_parallel(str(file), str(file))] == [(row, row) for row in rows]


@MANY
@given(content=st.binary(max_size=60))
def test_bytes_are_text_or_refused_with_the_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(content)
    try:
        found = list(read_lines(str(file)))
    except UserError as error:
        assert str(file) in str(error) and len(str(error).splitlines()) == 1
    else:
        assert len(found) == content.count(b"\n") + (bool(content) and not content.endswith(b"\n"))


@MANY
@given(source=st.text(max_size=20), target=st.text(st.characters(), max_size=20), escape=st.booleans())
@example(source="\ud800", target="a lone surrogate", escape=True)
def test_rows_of_json_are_read_or_refused(tmp_path: Path, source: str, target: str, escape: bool) -> None:
    file = tmp_path / "rows.jsonl"
    row = json.dumps({"en": source, "de": target}, ensure_ascii=escape)
    file.write_bytes(f"{row}\n".encode(errors="surrogatepass"))
    try:
        ((_, found),) = read_table(str(file), ("en", "de"))
    except UserError as error:
        assert f"{file}:1" in str(error) and len(str(error).splitlines()) == 1
        assert any("\ud800" <= character <= "\udfff" for character in source + target)
    else:
        assert found == {"en": source, "de": target}


@MANY
@given(text=st.text(max_size=40))
@example(text="</script><script>alert(1)</script>")
@example(text="<!--<script>")
def test_text_in_a_page_stays_text(text: str) -> None:
    page = render_page(text, {"sentence": text}, scripts=[])
    start = page.index('type="application/json">') + len('type="application/json">')
    embedded = page[start : page.index("</script>", start)]
    assert json.loads(embedded) == {"sentence": text} and "<" not in embedded
    title = page[page.index("<title>") + 7 : page.index("</title>")]
    assert "<" not in title
