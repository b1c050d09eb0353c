"""`seq2seq aer`: one line or JSON, in percent, and faults of the files in one line."""

import json
import logging
from pathlib import Path

import pytest

from seq2seq.cli.aer import aer
from seq2seq.cli.main import main
from seq2seq.errors import UserError


@pytest.fixture(autouse=True)
def no_full_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Gold and hypothesis with |A & S| = 2, |A & P| = 3, |A| = 4, |S| = 6: AER 50, precision 75, recall 33.3 %."""
    gold, hypothesis = tmp_path / "gold file.txt", tmp_path / "hypothesis.txt"
    gold.write_text("0-0 1-1 1p2\n0-1 2p0\n0-0 1-1 2-2\n")
    hypothesis.write_text("0-0 1-2 2-2\n0-1\n\n")
    return str(gold), str(hypothesis)


def test_text_is_one_line_in_percent(files: tuple[str, str]) -> None:
    assert aer(*files) == "AER 50.0%  precision 75.0%  recall 33.3%"


def test_json_holds_percent_to_one_decimal_and_the_numbers_of_links(files: tuple[str, str]) -> None:
    expected = {"aer": 50.0, "precision": 75.0, "recall": 33.3, "sure": 6, "links": 4}
    assert json.loads(aer(*files, output_format="json")) == expected


def test_possible_links_of_the_hypothesis_count_like_sure_ones(files: tuple[str, str], tmp_path: Path) -> None:
    possible = tmp_path / "possible.txt"
    possible.write_text("0p0 1p2 2-2\n0p1\n\n")
    assert aer(files[0], str(possible)) == aer(*files)


@pytest.mark.parametrize("gold_first, hypothesis_first", [(1, 0), (0, 1), (1, 1)])
def test_files_may_count_from_one(
    files: tuple[str, str], tmp_path: Path, gold_first: int, hypothesis_first: int
) -> None:
    shifted = []
    for path, first in zip(files, (gold_first, hypothesis_first), strict=True):
        file = tmp_path / f"from-{first}-{Path(path).name}"
        text = Path(path).read_text()
        file.write_text("".join(str(int(c) + first) if c.isdigit() else c for c in text))
        shifted.append(str(file))
    assert aer(*shifted, gold_first_index=gold_first, hypothesis_first_index=hypothesis_first) == aer(*files)


def test_file_that_never_counts_from_zero_is_warned_of(
    files: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from_one = tmp_path / "from-one.txt"
    from_one.write_text("1-1 2-3 3-3\n1-2\n\n")
    with caplog.at_level(logging.WARNING):
        aer(files[0], str(from_one))
    assert [record.getMessage() for record in caplog.records] == [
        f"{from_one}: no link has index 0; if its words are counted from 1, add hypothesis_first_index=1"
    ]


def test_good_files_are_scored_without_a_warning(
    files: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from_one = tmp_path / "from-one.txt"
    from_one.write_text("2-2\n2-3\n\n")
    aer(*files)
    aer(files[0], str(from_one), hypothesis_first_index=1)
    assert not caplog.records


def test_unequal_files_are_refused_with_both_counts(files: tuple[str, str], tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("0-0\n")
    with pytest.raises(UserError, match="gold has 3 lines, hypothesis 1"):
        aer(files[0], str(short))


def test_unknown_format_is_refused_with_those_that_exist(files: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="format=xml: expected one of text, json"):
        aer(*files, output_format="xml")


def test_command_prints_the_line_alone(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aer", f"gold={files[0]}", f"hypothesis={files[1]}"]) == 0
    assert capsys.readouterr().out == "AER 50.0%  precision 75.0%  recall 33.3%\n"


def test_command_prints_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aer", f"gold={files[0]}", f"hypothesis={files[1]}", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["aer"] == 50.0


def test_command_names_the_fault_in_one_line_and_fails(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_text("0-0\n0-0 1_1\n\n")
    assert main(["aer", f"gold={files[0]}", f"hypothesis={broken}"]) != 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{broken}:2: '1_1' is not a link" in captured.err
    assert captured.err.count("\n") == 1
