"""The frame of a page: self-contained, closed to the network, and deaf to what its data say."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from seq2seq.pages import render_page

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>document.title='taken'</script>",
    "<!-- <script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "]]> {{data}} {{title}} \\u003c \u2028 \\",
]


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Path]:
    """`page(title, data)`: a rendered page on disk that shows nothing."""

    def write(title: str, data: object, **options: Any) -> Path:
        file = tmp_path / "page.html"
        file.write_text(render_page(title, data, scripts=[], **options), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize("text", HOSTILE)
def test_data_and_title_arrive_as_they_are_and_run_nothing(
    page: Callable[..., Path], open_page: Callable[[Path], WebDriver], text: str
) -> None:
    browser = open_page(page(text, {"text": text, text: [text]}))
    assert browser.execute_script("return JSON.stringify(DATA)") == json.dumps(
        {"text": text, text: [text]}, ensure_ascii=False, separators=(",", ":")
    )
    assert browser.execute_script("return document.querySelector('title').textContent") == text


def test_children_of_an_element_are_text_and_never_html(
    page: Callable[..., Path], open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page("", {}))
    script = "document.body.append(element('p', {}, arguments[0])); return document.querySelectorAll('p *').length"
    assert [browser.execute_script(script, text) for text in HOSTILE] == [0] * len(HOSTILE)


def test_page_forbids_the_network(page: Callable[..., Path]) -> None:
    html = page("title", {}).read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert re.findall(r"(?:src|href)=|@import|url\(", html) == []


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError):
        render_page("", {"value": float("nan")}, scripts=[])


def test_libraries_run_before_scripts(page: Callable[..., Path], open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page("", {}, libraries=["const LIBRARY = typeof heatmap;"]))
    assert browser.execute_script("return LIBRARY") == "undefined"
