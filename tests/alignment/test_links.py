"""Pharaoh links and the alignment error rate of Och & Ney (2003)."""

from pathlib import Path

import pytest

from seq2seq.alignment.links import alignment_error_rate, format_links, links_within, parse_links, read_links
from seq2seq.errors import UserError

SILVER = Path(__file__).parents[3] / "shared/data/multi30k/tokenized/val.en-de.silver"


def test_sure_links_are_possible_too() -> None:
    links = parse_links("0-0 1p2 13-11")
    assert links.sure == {(0, 0), (13, 11)}
    assert links.possible == {(0, 0), (1, 2), (13, 11)}


def test_links_of_words_that_were_cut_off_are_left_out() -> None:
    assert links_within(parse_links("0-0 1p2 2-1 1-3"), 2, 3) == parse_links("0-0 1p2")


def test_link_written_both_ways_is_sure() -> None:
    assert parse_links("3p5 3-5").sure == {(3, 5)}


def test_line_without_links_is_a_pair_without_links() -> None:
    assert parse_links(" \n") == parse_links("") == (frozenset(), frozenset())


def test_links_counted_from_one_become_links_from_zero() -> None:
    assert parse_links("1-1 2p3", first_index=1) == parse_links("0-0 1p2")


@pytest.mark.parametrize("word", ["0_0", "1-", "-1", "1:2", "a-b", "1--2", "1-2-3", "1-2,", "1.0-2", "²-1", "1s2"])
def test_word_that_is_no_link_is_named_with_its_place(word: str) -> None:
    with pytest.raises(UserError) as error:
        parse_links(f"0-0 {word} 1-1", where="gold.txt:7")
    message = str(error.value)
    assert message.startswith("gold.txt:7: ")
    assert repr(word) in message
    assert "i-j" in message
    assert "\n" not in message


def test_index_zero_in_links_counted_from_one_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"^gold\.txt:3: link '0-4' has index 0.*set the first index to 0"):
        parse_links("1-1 0-4", first_index=1, where="gold.txt:3")


def test_first_index_is_zero_or_one() -> None:
    with pytest.raises(UserError, match="first_index=2"):
        parse_links("3-3", first_index=2)


def test_formatted_links_are_sorted_and_read_back() -> None:
    pairs = {(10, 1), (2, 0), (2, 11)}
    assert format_links(pairs) == "2-0 2-11 10-1"
    assert parse_links(format_links(pairs)).sure == pairs


def test_file_is_read_line_by_line_and_empty_lines_count(tmp_path: Path) -> None:
    file = tmp_path / "links.txt"
    file.write_bytes(b"0-0\r\n\n1p2 3-4")
    assert read_links(str(file)).links == [parse_links("0-0"), parse_links(""), parse_links("1p2 3-4")]


def test_fault_in_a_file_is_named_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "links.txt"
    file.write_text("0-0\n0-0 1=1\n")
    with pytest.raises(UserError, match=r"links\.txt:2: '1=1'"):
        read_links(str(file))


def test_empty_file_of_links_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "links.txt"
    file.touch()
    with pytest.raises(UserError, match=r"links\.txt: empty"):
        read_links(str(file))


def test_error_rate_of_one_sentence_equals_the_hand_computed() -> None:
    # |A| = 4, |S| = 3, A & S = {0-0, 1-1}, A & P = {0-0, 1-1, 2-3}: 1 - (2 + 3) / (4 + 3) = 2/7.
    gold = parse_links("0-0 1-1 2-2 2p3 4p4")
    score = alignment_error_rate([gold], [{(0, 0), (1, 1), (2, 3), (3, 3)}])
    assert score.aer == pytest.approx(2 / 7)
    assert score.precision == pytest.approx(3 / 4)
    assert score.recall == pytest.approx(2 / 3)


def test_error_rate_of_a_corpus_counts_over_all_sentences() -> None:
    # A & S = 1 + 1 + 0, A & P = 2 + 1 + 0, |A| = 3 + 1 + 0, |S| = 2 + 1 + 3: 1 - (2 + 3) / (4 + 6) = 1/2,
    # whereas the mean of the sentences' own rates is (2/5 + 0 + 1) / 3.
    gold = [parse_links("0-0 1-1 1p2"), parse_links("0-1 2p0"), parse_links("0-0 1-1 2-2")]
    score = alignment_error_rate(gold, [{(0, 0), (1, 2), (2, 2)}, {(0, 1)}, set()])
    assert score.aer == pytest.approx(1 / 2)
    assert score.precision == pytest.approx(3 / 4)
    assert score.recall == pytest.approx(1 / 3)
    assert (score.sure, score.links, score.sure_hits, score.possible_hits) == (6, 4, 2, 3)


@pytest.mark.parametrize("found", ["0-0 1-1", "0-0 1-1 1-2", "0-0 1-1 1-2 2-2"])
def test_anything_between_sure_and_possible_has_no_error(found: str) -> None:
    # The property that defines the rate: S <= A <= P gives 0.
    assert alignment_error_rate([parse_links("0-0 1-1 1p2 2p2")], [parse_links(found).sure]).aer == 0


def test_no_links_at_all_is_the_worst_and_defined() -> None:
    score = alignment_error_rate([parse_links("0-0")], [set()])
    assert (score.aer, score.precision, score.recall) == (1, 0, 0)


def test_unequal_numbers_of_sentences_are_named() -> None:
    with pytest.raises(UserError, match="gold has 2 lines, hypothesis 3"):
        alignment_error_rate([parse_links("0-0")] * 2, [{(0, 0)}] * 3)


def test_gold_without_sure_links_is_refused() -> None:
    with pytest.raises(UserError, match="no sure link"):
        alignment_error_rate([parse_links("0p0"), parse_links("")], [{(0, 0)}, set()])


@pytest.mark.skipif(not SILVER.exists(), reason="../shared/data/multi30k is absent")
def test_sure_links_of_real_data_have_no_error_against_themselves() -> None:
    gold = read_links(str(SILVER)).links
    assert len(gold) == 1014
    score = alignment_error_rate(gold, [links.sure for links in gold])
    assert (score.aer, score.precision, score.recall) == (0, 1, 1)
    # Possible links cost nothing to a hypothesis that has them all, and one that knows only those loses all recall.
    assert alignment_error_rate(gold, [links.possible for links in gold]).aer == 0
    assert alignment_error_rate(gold, [links.possible - links.sure for links in gold]).recall == 0
