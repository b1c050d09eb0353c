"""A headless browser that opens pages from disk and tells what went wrong in them; models to make pages of."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver

from seq2seq.build import build_model
from seq2seq.checkpoint import KEY, MODEL_PREFIX, AlignmentChoice, pack
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers, train_tokenizer
from seq2seq.options import compose_defaults


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    """Chromium without a window; tests that ask for it are skipped where it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no browser: install chromium and chromedriver to test the pages")
    options = Options()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.set_page_load_timeout(60)
    yield opened
    opened.quit()


@pytest.fixture
def open_page(browser: WebDriver) -> Iterator[Callable[[Path], WebDriver]]:
    """`open_page(file)`: the browser at a page; at the end, no error was in its console and nothing was requested."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    opened: list[str] = []

    def run(file: Path) -> WebDriver:
        opened.append(file.resolve().as_uri())
        browser.get(opened[-1])
        return browser

    yield run
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert requested - set(opened) == set()
    browser.get("about:blank")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`untrained(lines, "model=luong", vocab_size=60)`: the checkpoint of a tiny model with random weights.

    Its tokenizer is made of the lines.
    """

    def save(lines: list[str], *overrides: str, vocab_size: int, alignment: AlignmentChoice | None = None) -> Path:
        options = ["output=none", "model.d_model=16", "model.d_embedding=16", "loader.max_length=60", *overrides]
        config = compose_defaults("train", options)
        proto = train_tokenizer(
            lines,
            TokenizerConfig(
                model_type="bpe",
                vocab_size=vocab_size,
                joint=True,
                sampling=0.0,
                normalization="nfc",
                character_coverage=1.0,
                input_sentence_size=0,
            ),
        )
        tokenizer = Tokenizer(proto)
        torch.manual_seed(1)
        weights = build_model(config, Tokenizers(tokenizer, tokenizer)).state_dict()
        plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        file = tmp_path_factory.mktemp("untrained") / "model.ckpt"
        state = {f"{MODEL_PREFIX}{name}": weight for name, weight in weights.items()}
        torch.save({KEY: pack(plain, [proto], alignment), "state_dict": state}, file)
        return file

    return save
