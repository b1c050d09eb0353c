"""The forms of word links: what each means, counted from 0 or 1, and what is said of what is wrong."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from seq2seq.alignment.links import parse_links, read_links
from seq2seq.cli.aer import aer
from seq2seq.data.corpus import TextCorpus
from seq2seq.data.mixture import Member, MixtureCorpus
from seq2seq.errors import UserError

PHARAOH = "0-0 1p2\n\n2-1 0?0\n"
NAACL = "1 1 1 S\n3 3 2 S 0.9\n1 2 3 P\n3 1 1 P 1\n"
FORMS = {
    "a.links": PHARAOH,
    "a.talp": "1-1 2p3\n\n3-2 1p1\n",
    "a.naacl": NAACL,
    "null.naacl": f"{NAACL}0002 0 1\n0002 4 0 S\n\n",
}
NO_SPLIT = {"source": None, "target": None, "links": None}


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def corpus(folder: Path, links: str, **options: Any) -> TextCorpus:
    source, target = write(folder / "en", "a b c\na\na b c\n"), write(folder / "de", "x y z\nx\nx y z\n")
    train = {"source": source, "target": target, "links": links}
    return TextCorpus(train=train, val=NO_SPLIT, test=NO_SPLIT, **options)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_links(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, FORMS[name])
    expected = [parse_links("0-0 1p2"), parse_links(""), parse_links("2-1 0p0")]
    assert read_links(path).links == expected
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(FORMS[name].encode()))
    assert read_links(str(packed)).links == expected
    for links in (path, str(packed)):
        pairs = list(corpus(tmp_path, links).pairs("train"))
        assert [parse_links(pair.links) for pair in pairs] == expected
        turned = corpus(tmp_path, links, transpose_links=True).pairs("train")
        assert [parse_links(pair.links) for pair in turned][2] == parse_links("1-2 0p0")


def test_rate_is_the_same_in_every_form(tmp_path: Path) -> None:
    hypothesis = write(tmp_path / "found", "0-0 1-1\n\n2-1\n")
    rates = {aer(write(tmp_path / name, text), hypothesis) for name, text in FORMS.items()}
    assert len(rates) == 1
    # Of NAACL's form only the text knows that sentences without links follow.
    longer = write(tmp_path / "longer", "0-0 1-1\n\n2-1\n0-0\n\n")
    assert json.loads(aer(str(tmp_path / "a.naacl"), longer, output_format="json"))["links"] == 4


def test_first_index_is_an_option_of_every_form(tmp_path: Path) -> None:
    from_zero = write(tmp_path / "zero.naacl", "0 0 0 S\n2 2 1\n")
    assert (
        read_links(write(tmp_path / "one.naacl", "1 0 0 S\n3 2 1\n"), first_index=0).links
        == read_links(from_zero, first_index=0).links
    )
    assert read_links(from_zero, first_index=0).links == [parse_links("0-0"), parse_links(""), parse_links("2-1")]
    assert read_links(write(tmp_path / "b.talp", "0-0\n"), first_index=0).links == [parse_links("0-0")]
    pairs = corpus(tmp_path, write(tmp_path / "one", "1-1\n\n3-2\n"), links_first_index=1).pairs("train")
    assert [pair.links for pair in pairs] == ["0-0", "", "2-1"]


def test_what_is_read_from_one_is_other_data_for_the_cache(tmp_path: Path) -> None:
    links = write(tmp_path / "links", "1-1\n\n2-2\n")
    prints = {corpus(tmp_path, links, links_first_index=first).fingerprint("train") for first in (None, 0, 1)}
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-0\n1 1 1 S\n\n", r"links:2: '1 1 1 S' is a link in NAACL's form.*write all of it in one form"),
        ("1 1 1\n0-0 1-1\n", r"links:2: '0-0 1-1' is not a link in the form in which the file begins"),
        ("1 1 1 X\n", r"links:1: '1 1 1 X' is not a link in the form in which the file begins"),
        ("1 1 1\n1 0 0\n", r"links:2: word 0 with word 0, .*counted from 1: set the first index to 0"),
        ("1 1 1\n2 1 2 P\n", r"links:2: 1p2 exceeds the 1 source, 1 target words, counted from 1"),
        ("1 1 1\n3 1 1\n9 1 1\n4 1 1", r"links:3: sentence 9, but .*en has 3 lines"),
        ("0-0\n1-1\n\n", r"links:2: 1-1 exceeds the 1 source, 1 target words, counted from 0; .*links_first_index=1"),
        ("0-0\n\n", r"links has 2 lines"),
    ],
)
def test_fault_is_named_with_its_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(corpus(tmp_path, write(tmp_path / "links", text)).pairs("train"))


def test_sentences_that_are_named_for_words_without_links_count(tmp_path: Path) -> None:
    links = write(tmp_path / "null.naacl", "0 0 1\n1 1 1 S\n4 2 0\n")
    assert read_links(links).links == [parse_links(line) for line in ("", "0-0", "", "", "")]
    assert read_links(write(tmp_path / "alone", "1 0 1 S\n")).links == [parse_links("")]


def test_rate_of_few_sentences_with_high_numbers_takes_no_memory(tmp_path: Path) -> None:
    gold = write(tmp_path / "gold", "7 1 1\n999999999 1 1\n")
    found = json.loads(aer(gold, write(tmp_path / "found", "999999999 1 1\n3 1 1\n"), output_format="json"))
    assert found == {"aer": 50.0, "precision": 50.0, "recall": 50.0, "sure": 2, "links": 2}
    with pytest.raises(UserError, match=r"gold:2: sentence 999999999, but the other file"):
        aer(gold, write(tmp_path / "lines", "0-0\n"))


def test_rate_refuses_a_sentence_that_the_other_file_does_not_have(tmp_path: Path) -> None:
    gold = write(tmp_path / "gold", "1 1 1\n4 1 1\n")
    with pytest.raises(
        UserError, match=r"gold:2: sentence 4, but the other file, which has a line for every sentence, has 3"
    ):
        aer(gold, write(tmp_path / "found", "0-0\n\n0-0\n"))


def test_links_that_may_count_from_one_are_doubted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    doubtful = corpus(tmp_path, write(tmp_path / "links", "1-1\n\n2-2\n"))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            list(doubtful.pairs("train"))
        list(corpus(tmp_path, write(tmp_path / "sound", "1-1\n0-0\n2-2\n")).pairs("train"))
    (record,) = caplog.records
    assert record.getMessage().endswith("if its words are counted from 1, add data.links_first_index=1")


def test_other_first_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data.links_first_index=2"):
        corpus(tmp_path, write(tmp_path / "links", "0-0\n"), links_first_index=2)


def test_links_of_a_part_of_a_mixture_name_its_own_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = corpus(tmp_path, write(tmp_path / "links", "1-1\n1-1\n\n"))
    mixture = MixtureCorpus(corpora={"news": Member(part, None, None)})
    with pytest.raises(UserError, match=r"links:2: 1-1 exceeds .* say data\.corpora\.news\.links_first_index=1"):
        list(mixture.pairs("train"))
    write(tmp_path / "links", "1-1\n\n1-1\n")
    list(mixture.pairs("train"))
    assert "add data.corpora.news.links_first_index=1" in caplog.text
