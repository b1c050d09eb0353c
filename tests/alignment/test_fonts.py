"""Fonts: what cannot be drawn is replaced and named, all else is drawn without a warning."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from matplotlib.font_manager import fontManager

from seq2seq.alignment import fonts
from seq2seq.alignment.fonts import FAMILY, make_writable
from seq2seq.alignment.heatmap import draw_image, heatmap

CJK = [entry.name for entry in fontManager.ttflist if "CJK" in entry.name]


@pytest.fixture
def only_own_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with no font but matplotlib's own."""
    cached = (fonts._family_of, fonts._fonts, fonts._warn_absent)
    own = [entry for entry in fontManager.ttflist if entry.name in (FAMILY, "Last Resort High-Efficiency")]
    monkeypatch.setattr(fonts, "fontManager", SimpleNamespace(ttflist=own))
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def test_latin_umlauts_pieces_greek_cyrillic_and_arabic_need_no_other_font(only_own_font: None) -> None:
    texts = ["Gartentür", "ß", "▁the", "</s>", "λόγος", "дом", "الشارع", "…", "·"]
    assert make_writable(texts) == (texts, [FAMILY])


def test_characters_without_a_font_are_replaced_and_named_once(
    only_own_font: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert make_writable(["a動b物", "c"]) == (["a�b�", "c"], [FAMILY])
        make_writable(["動物"])
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert "動" in message
    assert "物" in message
    assert "install a font" in message


def test_picture_without_the_fonts_is_drawn_without_warnings(only_own_font: None) -> None:
    draw_image(heatmap(torch.eye(2), ["動物", "</s>"], ["🙂", "</s>"], title="動物"))


def test_control_characters_are_replaced_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    assert make_writable(["a\nb", "\x07", "\ud800"]).texts == ["a�b", "�", "�"]
    assert not caplog.records


def test_joiners_inside_words_are_kept() -> None:
    assert make_writable(["می\u200cخواهم"]).texts == ["می\u200cخواهم"]


def test_label_in_which_nothing_can_be_seen_is_named() -> None:
    labels = ["\u200d", "\xa0", "\u200e\u200f", "", " ", "a\u200d"]
    assert make_writable(labels).texts == [r"\u200d", r"\xa0", r"\u200e\u200f", "", " ", "a\u200d"]


@pytest.mark.skipif(not CJK, reason="no CJK font is installed")
@pytest.mark.parametrize("words", [["它太累了", "。"], ["疲れて", "いた"], ["너무", "피곤"], ["這", "隻"]])
def test_chinese_japanese_and_korean_find_an_installed_font(words: list[str]) -> None:
    texts, families = make_writable(words)
    assert texts == words
    assert families[0] == FAMILY
    assert set(families[1:]) <= {entry.name for entry in fontManager.ttflist}
    draw_image(heatmap(torch.eye(2), words, words, title=" ".join(words)))


@pytest.mark.skipif(not {"Noto Sans CJK JP", "Noto Sans CJK SC"} <= set(CJK), reason="no Noto Sans CJK is installed")
def test_chinese_characters_take_the_shapes_of_the_language_around_them() -> None:
    assert make_writable(["直", "骨"]).families == [FAMILY, "Noto Sans CJK SC"]
    assert make_writable(["直す", "骨"]).families == [FAMILY, "Noto Sans CJK JP"]
