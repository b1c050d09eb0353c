"""Both pages where rows do not sum to one: a column apart for what goes nowhere, and a line on what was changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from seq2seq.cli.main import main
from seq2seq.pages.visualize import Target, visualize_page
from tests.comparison.writer import REFERENCES, SOURCES, rows, write_run
from tests.pages.test_visualize_data import SOURCE, TARGET, attention

Open = Callable[[Path], WebDriver]
LABEL = "(nowhere)"


def texts(browser: WebDriver, selector: str) -> list[str]:
    return [str(found.get_property("textContent")) for found in browser.find_elements(By.CSS_SELECTOR, selector)]


def last_column(browser: WebDriver, selector: str, columns: int) -> list[float]:
    cells = browser.find_elements(By.CSS_SELECTOR, f'{selector} [data-column="{columns - 1}"]')
    return [float(str(cell.get_attribute("data-value"))) for cell in cells]


def press(browser: WebDriver, selector: str) -> None:
    browser.execute_script("arguments[0].click()", browser.find_element(By.CSS_SELECTOR, selector))


@pytest.fixture
def visualized(tmp_path: Path, open_page: Open) -> WebDriver:
    """A page of heads that keep all their weight, half of it, and give three times as much, and of a causal one."""
    even = torch.full((3, 4), 0.25)
    cross = attention("cross", torch.stack((even, even / 2, 3 * even)))
    causal = torch.ones(3, 3).tril()
    decoder = attention("decoder", 0.4 * (causal / causal.sum(-1, keepdim=True)).unsqueeze(0))
    weak = attention("cross", torch.stack((even / 10, even, even)))
    targets = [
        Target("hypothesis-1", TARGET, -1.0, [cross, decoder]),
        Target("reference", TARGET, None, [weak, decoder]),
    ]
    page = tmp_path / "page.html"
    page.write_text(visualize_page(SOURCE, targets, alignment=None, checkpoint="x.ckpt"), encoding="utf-8")
    return open_page(page)


def test_column_stands_only_where_the_chosen_head_loses(visualized: WebDriver) -> None:
    columns = ["a", "wolf", "</s>"]
    for head, lost in ((0, None), (1, 0.5), (2, None), ("mean", 1 / 6)):
        press(visualized, f'[data-choice="head {head}"]')
        assert texts(visualized, "[data-column-label]") == [*columns, *([LABEL] if lost else [])]
        assert texts(visualized, "[data-column-word] bdi") == [*columns, *([LABEL] if lost else [])]
        assert len(visualized.find_elements(By.CSS_SELECTOR, "line.apart")) == bool(lost)
        if lost:
            assert last_column(visualized, "svg.heatmap", 4) == pytest.approx([lost] * 3, abs=1e-3)
        assert (LABEL in texts(visualized, "p.foot")[0]) == bool(lost)


def test_rows_above_one_are_said_to_be_scaled(visualized: WebDriver) -> None:
    for head, said in ((0, ""), (2, "rows sum to up to 3.00, scaled down to 1")):
        press(visualized, f'[data-choice="head {head}"]')
        assert texts(visualized, "p.remark") == [said]


def test_causal_attention_shows_the_column_in_every_row(visualized: WebDriver) -> None:
    press(visualized, '[data-choice="attention decoder"]')
    assert last_column(visualized, "svg.heatmap", 4) == pytest.approx([0.6] * 3, abs=1e-3)


def test_targets_side_by_side_have_the_same_columns(visualized: WebDriver) -> None:
    press(visualized, '[data-choice="head 0"]')
    press(visualized, "#side")
    for name, lost in (("hypothesis-1", 0), ("reference", 0.9)):
        found = last_column(visualized, f'[data-panel="{name}"] svg.heatmap', 4)
        assert found == pytest.approx([lost] * 3, abs=1e-3)


def test_comparison_subtracts_a_map_that_loses_from_one_that_does_not(tmp_path: Path, open_page: Open) -> None:
    sizes = len(REFERENCES[0].split()) + 1, len(SOURCES[0].split()) + 1
    even = torch.full((1, *sizes), 1 / sizes[1])
    for name, weights in (("a", even), ("b", even / 2), ("c", 2 * even)):
        write_run(
            tmp_path / name,
            variant=name,
            metrics={"test/bleu": {"a": 90.0, "b": 80.0, "c": 70.0}[name], "test/nowhere": 0.5 * (name == "b")},
            sentences={"test": rows(REFERENCES)},
            pinned=[weights],
        )
    assert main(["compare", f"runs={tmp_path}", "samples=20"]) == 0
    browser = open_page(tmp_path / "comparison.html")
    columns = [*SOURCES[0].split(), "</s>"]
    for number, shown in enumerate((columns, [*columns, LABEL], columns)):
        assert texts(browser, f'#gallery [data-variant="{number}"] [data-column-label]') == shown
    assert "rows sum to up to 2.00, scaled down to 1" in texts(browser, '#gallery [data-variant="2"]')[0]
    assert "50 % of the weight lies elsewhere" in texts(browser, '[data-part="difference"]')[0]
    assert last_column(browser, '[data-part="difference"]', len(columns) + 1) == pytest.approx([-0.5] * sizes[0])
    Select(browser.find_element(By.ID, "variant-b")).select_by_value("2")
    assert "0 % of the weight lies elsewhere" in texts(browser, '[data-part="difference"]')[0]
    assert texts(browser, 'th[data-key="test/nowhere"]') == ["nowhere"]
