"""The page of `seq2seq compare` in a browser: the table says the runs' numbers, and choices change what they name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from seq2seq.alignment.archive import save_attention
from seq2seq.alignment.maps import attention_maps
from seq2seq.alignment.sentence import Sentence
from seq2seq.cli.main import main
from tests.comparison.writer import REFERENCES, SOURCES, rows, write_run

NASTY = "<img src=x onerror=\"document.title='taken'\"> %{x} <b>b</b> &lt;"
SCORES = {
    "test/chrf": 80.0,
    "train/target_tokens_per_second": 1000.0,
    "test/bleu_by_length/1-5": 80.0,
    "test/bleu_by_length/6-10": 60.0,
    "test/exact_match/number": 0.75,
    "test/aer_by_tag/number": 0.25,
}


def _weights(number: int, column: int, heads: int = 1) -> list[list[list[float]]]:
    """Return weights of a pinned sentence that all lie on one source word."""
    sizes = len(REFERENCES[number].split()) + 1, len(SOURCES[number].split()) + 1
    return [[[float(x == column) for x in range(sizes[1])] for _ in range(sizes[0])] for _ in range(heads)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of luong, a transformer with two heads, a bottleneck, one with a name of HTML that failed."""
    folder = tmp_path_factory.mktemp("runs")
    sentences = {"test": rows(REFERENCES), "val": rows([REFERENCES[0], "eine Katze .", *REFERENCES[2:]])}
    for seed, bleu in ((1, 90.0), (2, 94.0)):
        write_run(
            folder / f"a{seed}",
            seed=seed,
            metrics={**SCORES, "test/bleu": bleu, "test/aer": 0.1},
            sentences=sentences,
            curves={"val/bleu": [10.0, bleu], "val/aer": [0.5, 0.1]},
            pinned=[_weights(0, 0), _weights(1, 1)],
        )
    place = {"name": "decoder.0.attention", "kind": "cross", "layer": 0}
    write_run(
        folder / "b",
        variant="transformer",
        metrics={**SCORES, "test/bleu": 95.0, "test/aer": 0.3},
        sentences=sentences,
        curves={"val/bleu": [20.0, 95.0]},
        pinned=[_weights(0, 2, heads=2), _weights(1, 2, heads=2)],
        heads={
            "test": [
                {**place, "head": h, "aer": aer, "saturation": 1.0} for h, aer in ((None, 0.5), (0, 0.2), (1, 0.9))
            ]
        },
    )
    means = {"comprehensiveness": {"mean": 5.5}, "sufficiency": {"mean": 0.5}, "hit_rate": 0.75, "seconds": 0.01}
    (folder / "b" / "trust-test.json").write_text(json.dumps({"methods": {NASTY: means}}), encoding="utf-8")
    curve = [{"heads": 2, "bleu": 95.0, "aer": 0.3}, {"heads": 1, "bleu": 70.0, "aer": 0.5}]
    kept = {"split": "val", "by": "importance", "curve": curve}
    (folder / "b" / "heads-val.json").write_text(json.dumps(kept), encoding="utf-8")
    bottleneck = {**SCORES, "test/bleu": 20.0}
    write_run(folder / "c", variant="bottleneck", metrics=bottleneck, sentences=sentences, pinned=[None, None])
    write_run(folder / "d", variant=NASTY, error=NASTY)
    write_run(folder / "e", variant=f"on {NASTY}", curves={"val/bleu": [5.0]})
    assert main(["compare", f"runs={folder}", "samples=20"]) == 0
    return folder / "comparison.html"


def _cells(browser: WebDriver, key: str) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"table.scores tbody td[data-key='{key}']")
    return [" ".join(cell.text.split()) for cell in cells]


def _names(browser: WebDriver) -> list[str]:
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "table.scores tbody td:first-child")]


def _heaviest_columns(browser: WebDriver, figure: str) -> set[str]:
    """Return the columns in which a figure's heatmap has weight."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' rect[data-value]')].filter((r) => r.dataset.value > 0.5)"
    )
    return {cell.get_attribute("data-column") for cell in browser.execute_script(script, figure)}


def test_table_says_the_numbers(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    assert _names(browser)[:3] == ["transformer", "luong-general", "bottleneck"]
    assert _cells(browser, "test/bleu") == ["95.0", "92.0 ± 2.8", "20.0"]
    assert _cells(browser, "test/aer") == ["30.0", "10.0 ± 0.0", "–"]
    assert _cells(browser, "seeds") == ["1", "2", "1"]


def test_header_sorts_either_way_and_what_has_no_value_stays_last(
    page: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page)
    aer = browser.find_element(By.CSS_SELECTOR, "th[data-key='test/aer']")
    aer.find_element(By.TAG_NAME, "button").click()
    assert _names(browser)[:2] == ["luong-general", "transformer"]
    assert aer.get_attribute("aria-sort") == "ascending"
    aer.find_element(By.TAG_NAME, "button").click()
    assert _names(browser)[:3] == ["transformer", "luong-general", "bottleneck"]
    assert aer.get_attribute("aria-sort") == "descending"


def test_failed_and_unfinished_variants_appear_as_such(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    stories = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "td.story")]
    assert stories == [f"failed {NASTY}", "unfinished epoch 1, val BLEU 5.00"]


def test_names_and_errors_are_text_in_the_table_and_in_the_plots(
    page: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page)
    assert browser.title.endswith("6 runs")
    assert browser.find_elements(By.CSS_SELECTOR, "img, table b") == []
    (text,) = {
        trace["text"]
        for trace in browser.execute_script("return document.querySelector('.curve').data.map(({text}) => ({text}))")
        if "on " in trace["text"]
    }
    assert "<" not in text and "&lt;img" in text


def test_curves_have_a_line_a_seed_and_their_mean(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    script = "return document.querySelector('.curve').data.map(({x, y, text}) => ({x, y, text}))"
    curves = [trace for trace in browser.execute_script(script) if trace["text"] == "luong-general"]
    assert [curve["y"] for curve in curves] == [[10, 90], [10, 94], [10, 92]]
    assert curves[-1]["x"] == [10, 20]
    browser.find_element(By.CSS_SELECTOR, "button[data-value='seconds']").click()
    curves = [trace for trace in browser.execute_script(script) if trace["text"] == "luong-general"]
    assert curves[-1]["x"][1] - curves[-1]["x"][0] == pytest.approx(60)


def test_methods_and_what_is_left_with_fewer_heads_are_shown(
    page: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page)
    (row,) = browser.find_elements(By.CSS_SELECTOR, "table.ways tbody tr")
    assert [cell.text for cell in row.find_elements(By.TAG_NAME, "td")] == [
        "transformer", NASTY, "5.50", "0.50", "75.0", "10.0",
    ]  # fmt: skip
    script = "return [...document.querySelectorAll('.curve')].slice(-2).map(({data}) => data.map(({x, y}) => [x, y]))"
    assert browser.execute_script(script) == [[[[2, 1], [95, 70]]], [[[2, 1], [30, 50]]]]
    browser.find_element(By.CSS_SELECTOR, "nav button[data-variant='0']").click()
    assert browser.find_elements(By.CSS_SELECTOR, "table.ways tbody tr") == []


def test_hidden_variant_leaves_plots_and_gallery(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    browser.find_element(By.CSS_SELECTOR, "nav button[data-variant='0']").click()
    names = browser.execute_script("return document.querySelector('.curve').data.map(({text}) => text)")
    assert "transformer" not in names and "luong-general" in names
    cards = browser.find_elements(By.CSS_SELECTOR, "#gallery figure")
    assert [card.get_attribute("data-variant") for card in cards] == ["1", "2"]


def test_all_variants_can_be_hidden_and_shown_at_once(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    browser.find_element(By.XPATH, "//nav/button[text()='none']").click()
    assert browser.execute_script("return document.querySelector('.curve').data.length") == 0
    assert browser.find_elements(By.CSS_SELECTOR, "#gallery figure") == []
    browser.find_element(By.XPATH, "//nav/button[text()='all']").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#gallery figure")) == 3


def test_variant_that_is_pointed_at_stands_out(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    ActionChains(browser).move_to_element(
        browser.find_element(By.CSS_SELECTOR, "nav button[data-variant='0']")
    ).perform()
    script = "return document.querySelector('.curve').data.filter((t) => t.opacity > 0.5).map(({text}) => text)"
    WebDriverWait(browser, 10).until(lambda browser: browser.execute_script(script) == ["transformer"])


def test_gallery_shows_the_chosen_sentence_under_every_variant(
    page: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page)
    cards = browser.find_elements(By.CSS_SELECTOR, "#gallery figure")
    assert ["no attention" in card.text for card in cards] == [False, False, True]
    assert "translated as the reference" in cards[1].text
    assert _heaviest_columns(browser, "#gallery figure[data-variant='0']") == {"2"}
    assert _heaviest_columns(browser, "#gallery figure[data-variant='1']") == {"0"}
    Select(browser.find_element(By.ID, "sentence")).select_by_value("1")
    assert _heaviest_columns(browser, "#gallery figure[data-variant='1']") == {"1"}
    card = browser.find_element(By.CSS_SELECTOR, "#gallery figure[data-variant='1']")
    assert "translated: eine Katze ." in card.text and "Katze" in card.text


def test_value_that_is_pointed_at_is_told_under_every_variant(
    page: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(page)
    cell = browser.find_element(
        By.CSS_SELECTOR, "#gallery figure[data-variant='0'] rect[data-row='1'][data-column='2']"
    )
    ActionChains(browser).move_to_element(cell).perform()
    told = [span.text for span in browser.find_elements(By.CSS_SELECTOR, "#gallery .about")]
    assert told == ["Hund → sleeps: 1.00", "Hund → sleeps: 0.00", "no attention, seed 1"]


def test_difference_is_that_of_the_two_chosen(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    row = "[data-part=difference] rect[data-row='0']"
    script = f'return [...document.querySelectorAll("{row}")].map((cell) => +cell.dataset.value)'
    assert browser.execute_script(script) == [-1, 0, 1, 0, 0]
    Select(browser.find_element(By.ID, "variant-b")).select_by_value("0")
    assert browser.execute_script(script) == [0, 0, 0, 0, 0]
    Select(browser.find_element(By.ID, "variant-a")).select_by_value("1")
    assert browser.execute_script(script) == [1, 0, -1, 0, 0]


def test_heads_show_the_chosen_statistic(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    cells = browser.find_elements(By.CSS_SELECTOR, "#heads td.value")
    assert [cell.text for cell in cells] == ["50", "20", "90"]
    Select(browser.find_element(By.ID, "heads-statistic")).select_by_value("saturation")
    assert {cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#heads td.value")} == {"100"}


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with twelve layers and gold links, whose second pinned source has a word that is shown in two parts."""
    folder = tmp_path_factory.mktemp("deep")
    english = Sentence("wolf slept", [4, 5], ["▁wolf", "▁slept"], ["wolf", "slept"], [0, 1])
    german = Sentence("Wolf schlief", [4, 5], ["▁Wolf", "▁schlief"], ["Wolf", "schlief"], [0, 1])
    chinese = Sentence("狼 睡觉了", [4, 5, 6], ["▁狼", "▁睡觉", "了"], ["狼", "睡觉了"], [0, 1, 1])
    sources = {"source": [german, chinese], "target": [english, english]}
    data = {name: folder / f"{name}.txt" for name in ("source", "target", "links")}
    for name, sentences in sources.items():
        data[name].write_text("".join(f"{each.text}\n" for each in sentences), encoding="utf-8")
    data["links"].write_text("0-0 1-1\n0-0 1-1\n", encoding="utf-8")
    split = {name: str(file) for name, file in data.items()}
    place = {"name": "encoder", "kind": "encoder"}
    write_run(
        folder / "run",
        config={"data": {"_target_": "seq2seq.data.corpus.TextCorpus", "train": split, "val": split, "test": split}},
        metrics={"val/bleu": 50.0, "val/aer": 0.5},
        heads={"val": [{**place, "layer": n, "head": h, "saturation": 0.5} for n in range(12) for h in (None, 0, 1)]},
    )
    for number, source in enumerate(sources["source"], 1):
        maps = attention_maps({"decoder.attention": torch.eye(3, 4)[None, None]}, 0, source, english)
        save_attention(folder / "run" / "alignments" / f"sentence-{number}.npz", source, english, maps)
    assert main(["compare", f"runs={folder}", "split=val"]) == 0
    return folder / "comparison.html"


def test_layers_stand_in_the_order_of_their_numbers(deep: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(deep)
    rows = browser.find_elements(By.CSS_SELECTOR, "#heads tbody td:first-child")
    assert [row.text for row in rows] == [f"encoder layer {number}" for number in range(12)]


def test_gold_links_are_outlined_only_where_both_sides_are_shown_in_their_words(
    deep: Path, open_page: Callable[[Path], WebDriver]
) -> None:
    browser = open_page(deep)
    outlines = "#gallery rect.gold"
    assert len(browser.find_elements(By.CSS_SELECTOR, outlines)) == 2
    Select(browser.find_element(By.ID, "sentence")).select_by_value("1")
    labels = browser.find_elements(By.CSS_SELECTOR, "#gallery text[data-column-label]")
    assert [label.text for label in labels] == ["狼", "睡觉", "了", "</s>"]
    assert browser.find_elements(By.CSS_SELECTOR, outlines) == []


def test_phenomena_are_percent_of_the_chosen_measure(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    assert {cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "td[data-tag='number']")} == {"75"}
    browser.find_element(By.CSS_SELECTOR, "button[data-value='aer_by_tag']").click()
    assert {cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "td[data-tag='number']")} == {"25"}


def test_page_stays_within_a_phone(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    browser = open_page(page)
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.refresh()
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(script) <= 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_lengths_say_how_many_sentences_they_have(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    counts = open_page(page).execute_script("return DATA.sentences.test")
    assert sum(counts.values()) == len(SOURCES)
    assert counts.get("1-5", 0) == sum(len(source.split()) <= 5 for source in SOURCES)


def test_page_of_runs_without_scores_is_whole(tmp_path: Path, open_page: Callable[[Path], WebDriver]) -> None:
    write_run(tmp_path / "a", error="out of memory")
    assert main(["compare", f"runs={tmp_path}"]) == 0
    assert "out of memory" in open_page(tmp_path / "comparison.html").find_element(By.TAG_NAME, "table").text


def test_page_is_dark_where_the_readers_pages_are(page: Path, open_page: Callable[[Path], WebDriver]) -> None:
    """Page, plots, maps and lines, all in the same look, also when it changes while the page is open."""
    browser = open_page(page)
    script = """
        const luminance = (color) => color.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
        const mean = (selector, property) => {
          const colors = [...document.querySelectorAll(selector)].map((node) => getComputedStyle(node)[property]);
          const found = colors.map(luminance);
          return found.reduce((a, b) => a + b, 0) / found.length;
        };
        return [mean("body", "backgroundColor"), mean('#gallery rect[data-value="0"]', "fill"),
                mean(".main-svg:first-child", "backgroundColor"), mean(".scores .swatch", "borderTopColor")];
    """
    page_, cells, plots, lines = browser.execute_script(script)
    assert page_ > 250 and cells > 250 and plots > 250 and lines < 130
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    try:
        WebDriverWait(browser, 20, 0.05).until(lambda _: browser.execute_script(script)[1] < 40)
        page_, cells, plots, lines = browser.execute_script(script)
        assert page_ < 40 and cells < 40 and plots < 40 and lines > 130
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
