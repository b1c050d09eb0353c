"""TensorBoard on a real run, in a real browser: every attention is there under its tag, and can be seen."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.cli.conftest import _command

TRAINING = [
    "callbacks.pinned.every_head=[cross,encoder,decoder]",
    "debug=limit",
    "model=transformer",
    "model.num_layers=2",
    "trainer=cpu",
    "trainer.max_epochs=1",
]
TAGS = {
    "heads",
    *(f"alignment/cross/sentence-{number}" for number in (1, 2, 3, 4)),
    *(f"alignment/{kind}/layer{layer}" for kind in ("cross", "encoder", "decoder") for layer in (0, 1)),
}

# What TensorBoard shows lies in shadow roots, which no selector crosses.
DEEP = """
const found = [], walk = (root) => root.querySelectorAll("*").forEach((node) => {
  if (node.matches(arguments[0])) found.push(node);
  if (node.shadowRoot) walk(node.shadowRoot);
});
walk(document);
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorboard")
    assert _command("train", *TRAINING, folder=folder).status == 0
    return folder / "outputs"


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """Where `seq2seq tensorboard` serves the run."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "seq2seq", "tensorboard", f"runs={runs}", f"port={port}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://localhost:{port}"
    for _ in range(120):
        try:
            if ask(url, "images"):
                break
        except OSError:
            pass
        time.sleep(0.5)
    yield url
    server.terminate()
    server.wait(timeout=30)


def ask(url: str, plugin: str) -> dict[str, Any]:
    """Return the tags of a plugin by run."""
    with urllib.request.urlopen(f"{url}/data/plugin/{plugin}/tags", timeout=30) as answer:
        return json.load(answer)


def test_board_serves_every_attention_under_the_name_of_its_run(address: str) -> None:
    (run,) = ask(address, "images")
    assert run.startswith("grammar/transformer-scaled_dot-limit-s1/")
    assert set(ask(address, "images")[run]) == TAGS
    scalars = set(ask(address, "scalars")[run])
    assert {"val/bleu", "val/aer", "attention/entropy/encoder/layer1", "attention/saturation/cross/layer0"} <= scalars


def test_images_tab_shows_the_heatmaps(address: str, browser: WebDriver) -> None:
    browser.get(f"{address}/#images")

    def pictures(driver: WebDriver) -> list[Any]:
        sizes = driver.execute_script(f"{DEEP} return found.map((image) => image.naturalWidth)", "img")
        return [size for size in sizes if size > 200]

    WebDriverWait(browser, 60).until(lambda driver: len(pictures(driver)) >= 4)
    texts = browser.execute_script(f"{DEEP} return found.map((node) => node.textContent.trim())", "*")
    assert any(text.endswith("cross/sentence-1") for text in texts)
    browser.get("about:blank")
