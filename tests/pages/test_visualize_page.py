"""The page of `seq2seq visualize` in a browser: what a person points at is what the arrays say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

import seq2seq
from seq2seq.alignment.archive import load_attention
from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import sentence_of
from seq2seq.build import load_model
from seq2seq.checkpoint import AlignmentChoice, read_checkpoint
from seq2seq.cli.main import main
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.pages.visualize import map_statistics
from seq2seq.reading import Reading

LATIN = ["the old wolf slept", "der alte Wolf schlief", "a house saw the wolf", "ein Haus sah den Wolf"] * 3
CHINESE = ["我们昨天在河边看见了一匹马。", "他说这座房子很大,但是没有花园。", "老人喜欢在早上喝茶。"] * 3
ARABIC = ["قال الرجل إن البيت كبير (جدا)!", "رأينا حصانا قرب النهر أمس.", "يحب العجوز أن يشرب الشاي في الصباح."] * 3
TRANSFORMER = ("model=transformer", "model.num_layers=2", "encoder.num_heads=2", "decoder.num_heads=3")
SMALL = ("model.d_model=18", "model.d_embedding=18", "encoder.num_heads=2", "decoder.num_heads=3")

TARGET = "der alte Wolf schlief"
WHITE = "rgba(255, 255, 255, 1)"
CELLS = "svg.heatmap:first-of-type [data-value]"


class Shown(NamedTuple):
    """A page in the browser, and the folder it stands in."""

    browser: WebDriver
    folder: Path

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        (found,) = self.all(selector)
        return found

    def texts(self, selector: str) -> list[str]:
        return [str(element.get_property("textContent")) for element in self.all(selector)]

    def press(self, selector: str) -> None:
        self.browser.execute_script("arguments[0].click()", self.one(selector))

    def hover(self, selector: str) -> None:
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.one(selector))
        ActionChains(self.browser).move_to_element(self.one(selector)).perform()

    def cells(self) -> list[list[float]]:
        """Return the weights of the first heatmap, by row; a cell that is none is 0."""
        script = "return [...document.querySelectorAll(arguments[0])].map((cell) => ({...cell.dataset}))"
        cells = self.browser.execute_script(script, CELLS)
        found = {(int(cell["row"]), int(cell["column"])): float(cell["value"]) for cell in cells}
        rows, columns = (max(key[axis] for key in found) + 1 for axis in (0, 1))
        return [[found.get((y, x), 0.0) for x in range(columns)] for y in range(rows)]

    def shades(self, axis: str) -> list[str]:
        return [word.value_of_css_property("background-color") for word in self.all(f"[data-{axis}-word]")]

    def maps(self, target: str) -> dict[str, AttentionMap]:
        saved = load_attention(self.folder / target / "attention.npz")
        return {str(attention.site): attention for attention in saved.maps}


def write(folder: Path, checkpoint: Path, *arguments: str) -> Path:
    """Run the command; return the folder that it wrote."""
    options = [f"checkpoint={checkpoint}", f"output={folder}", "figures=[]", "search.max_length=8"]
    assert main(["visualize", *options, *arguments]) == 0
    return folder


@pytest.fixture
def visualize(open_page: Callable[[Path], WebDriver], tmp_path: Path) -> Callable[..., Shown]:
    """`visualize(checkpoint, "source=...")`: the page that the command writes, open in the browser."""

    def run(checkpoint: Path, *arguments: str) -> Shown:
        folder = write(tmp_path / "page", checkpoint, *arguments)
        return Shown(open_page(folder / "index.html"), folder)

    return run


@pytest.fixture(scope="module")
def transformer(untrained: Callable[..., Path]) -> Path:
    """Two layers of cross-attention with three heads; the alignment is head 2 of the upper one."""
    choice = AlignmentChoice("decoder.layers.1.cross_attention.attention", 2)
    return untrained(LATIN, *TRANSFORMER, *SMALL, vocab_size=80, alignment=choice)


@pytest.fixture(scope="module")
def folder(transformer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command wrote of a sentence and its reference."""
    folder = tmp_path_factory.mktemp("visualize") / "page"
    return write(folder, transformer, "source=the old wolf slept", f"target={TARGET}")


@pytest.fixture
def shown(open_page: Callable[[Path], WebDriver], folder: Path) -> Shown:
    """The page of that sentence, freshly opened."""
    return Shown(open_page(folder / "index.html"), folder)


def same(cells: list[list[float]], weights: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(cells), weights, atol=1e-4, rtol=0)


def test_heatmap_shows_the_chosen_alignment_with_its_labels(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    assert shown.texts("[data-row-label]") == ["der", "alte", "Wolf", "schlief", "</s>"]
    assert shown.texts("[data-column-label]") == ["the", "old", "wolf", "slept", "</s>"]
    assert shown.texts('.choice [aria-pressed="true"]') == ["cross", "output weights", "1", "2", "words", "0–1"]
    same(shown.cells(), shown.maps("reference")["cross/layer1"].view("words").weights[2])


@pytest.mark.parametrize("kind", ["cross", "encoder", "decoder"])
@pytest.mark.parametrize("unit", ["words", "pieces"])
def test_every_kind_layer_and_head_can_be_chosen(shown: Shown, kind: str, unit: str) -> None:
    shown.press('[data-target="hypothesis-2"]')
    shown.press(f'[data-choice="attention {kind}"]')
    shown.press('[data-choice="layer 0"]')
    shown.press(f'[data-choice="between {unit}"]')
    view = shown.maps("hypothesis-2")[f"{kind}/layer0"].view(unit)
    assert shown.texts("[data-row-label]") == [
        label if len(label) <= 24 else label[:23] + "…" for label in view.query_labels
    ]
    for head in range(len(view.weights)):
        shown.press(f'[data-choice="head {head}"]')
        same(shown.cells(), view.weights[head])
    shown.press('[data-choice="head mean"]')
    same(shown.cells(), view.weights.mean(0))


def test_cross_attention_is_read_in_every_way(shown: Shown, transformer: Path) -> None:
    shown.press('[data-target="reference"]')
    assert shown.texts(".choice[aria-label=read] .marked") == ["output weights"]
    model, tokenizers = load_model(read_checkpoint(transformer), torch.device("cpu"))
    pair = sentence_of(tokenizers.source, "the old wolf slept"), sentence_of(tokenizers.target, TARGET)
    for name in ("input_weights", "output_norms", "input_norms"):
        shown.press(f'[data-choice="read {name}"]')
        (maps,) = inspect_pairs(model, [pair], reading=Reading.named(name))
        view = next(m for m in maps if str(m.site) == "cross/layer1").view("words")
        shown.press('[data-choice="head 2"]')
        same(shown.cells(), view.weights[2])
        shown.press('[data-choice="head mean"]')
        assert view.together is not None
        same(shown.cells(), view.together)
        assert f"read as {name}" in shown.texts(".foot")[0]
    shown.press('[data-choice="attention encoder"]')
    assert not shown.all('[data-choice^="read "]')


def test_method_shows_source_and_words_before_and_the_share_of_the_source(shown: Shown, transformer: Path) -> None:
    shown.press('[data-target="reference"]')
    shown.press('[data-choice="method erasure"]')
    assert not shown.all(
        '[data-choice^="layer"], [data-choice^="head"], [data-choice^="between"], #overview, #statistics'
    )
    found = seq2seq.load(transformer).explain("the old wolf slept", TARGET)
    source, prefix = found.relative
    assert shown.texts("[data-column-label]") == [*found.source, "", *found.prefix, "", "of the source"]
    assert shown.texts("[data-row-label]") == found.target
    cells = torch.tensor(shown.cells())
    same(cells[:, :5].tolist(), source)
    same(cells[:, 6:11].tolist(), prefix.tril())
    same(cells[:, 12:].tolist(), found.source_share[:, None])
    assert not shown.all('[data-row="1"][data-column="8"]')  # read later
    shown.hover('[data-row-word="2"]')
    percent = [round(100 * abs(value)) for value in source[2].tolist()]
    assert shown.texts("[data-column-word] .percent") == [str(p) if p else "" for p in percent]
    assert f"{100 * found.source_share[2]:.0f} % of the source" in shown.texts(".readout")[0]
    assert shown.texts("[data-row-label].lit") == ["Wolf"]


def test_word_stands_beside_the_next_likeliest_where_asked(shown: Shown, transformer: Path) -> None:
    shown.press('[data-target="reference"]')
    shown.press('[data-choice="method erasure"]')
    shown.press('[data-choice="beside true"]')
    labels = shown.texts("[data-row-label]")
    assert [label.split(" - ")[0] for label in labels] == ["der", "alte", "Wolf", "schlief", "</s>"]
    assert all(label.split(" - ")[1] for label in labels)
    shown.press('[data-choice="method alti"]')  # knows no contrast
    assert not shown.all('[data-choice^="beside"]') and shown.texts("[data-row-label]")[0] == "der"
    cells = torch.tensor(shown.cells())
    torch.testing.assert_close(cells[:, :-1].sum(1), torch.ones(5), atol=1e-2, rtol=0)
    shown.press("#side")
    assert len(shown.all(".panel svg.heatmap")) == 4


def test_causal_attention_begins_with_what_was_fed_in_and_shows_no_future(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    shown.press('[data-choice="attention decoder"]')
    labels = ["<s>", "der", "alte", "Wolf", "schlief"]
    assert shown.texts("[data-row-label]") == shown.texts("[data-column-label]") == labels
    assert shown.all("svg.heatmap [data-value]") and not shown.all('[data-row="1"][data-column="2"]')


def test_word_that_is_pointed_at_shades_what_it_looks_at(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    weights = shown.maps("reference")["cross/layer1"].view("words").weights[2]
    for selector in ('[data-row-word="1"]', '[data-row-label="1"]'):
        shown.hover("h1")
        assert set(shown.shades("column")) == {WHITE}
        shown.hover(selector)
        percent = [round(100 * round(w, 4)) for w in weights[1].tolist()]
        assert shown.texts("[data-column-word] .percent") == [str(p) if p else "" for p in percent]
        assert len(set(shown.shades("column"))) > 1
        assert shown.texts(".word.lit bdi") == ["alte"]
        assert shown.one("text.lit").get_attribute("data-row-label") == "1"
    assert "alte" in shown.texts(".readout")[0] and "looks at" in shown.texts(".readout")[0]


def test_source_word_that_is_pointed_at_shades_the_words_that_look_at_it(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    shown.hover('[data-column-word="2"]')
    weights = shown.maps("reference")["cross/layer1"].view("words").weights[2]
    percent = [round(100 * round(w, 4)) for w in weights[:, 2].tolist()]
    assert shown.texts("[data-row-word] .percent") == [str(p) if p else "" for p in percent]
    assert set(shown.shades("column")) == {WHITE}


def test_click_keeps_a_cell_until_escape(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    shown.hover('[data-row="0"][data-column="3"]')
    ActionChains(shown.browser).click().perform()
    shown.hover("h1")
    assert shown.texts(".word.lit bdi") == ["slept", "der"]
    assert f"{shown.cells()[0][3]:.3f}" in shown.texts(".readout")[0]
    ActionChains(shown.browser).send_keys(Keys.ESCAPE).perform()
    assert shown.texts(".word.lit bdi") == []


def test_keyboard_reaches_words_and_heads(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    shown.browser.execute_script("document.querySelector('[data-row-word]').focus()")
    ActionChains(shown.browser).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT).perform()
    assert shown.texts(".word.lit bdi") == ["Wolf"]
    shown.browser.execute_script("document.querySelector('[data-choice=\"head 2\"]').focus()")
    ActionChains(shown.browser).send_keys(Keys.ARROW_LEFT, Keys.ENTER, Keys.ARROW_LEFT, Keys.ENTER).perform()
    same(shown.cells(), shown.maps("reference")["cross/layer1"].view("words").weights[0])


def test_overview_has_a_picture_of_every_head_and_chooses_it(shown: Shown) -> None:
    assert len(shown.all("#overview canvas")) == 2 * (1 + 3)
    shown.press('#overview [data-head="cross 0 1"]')
    same(shown.cells(), shown.maps("hypothesis-1")["cross/layer0"].view("words").weights[1])
    assert shown.one('#overview [aria-pressed="true"]').get_attribute("data-head") == "cross 0 1"


def test_statistics_are_those_of_the_shown_sentence_and_choose_a_head(shown: Shown) -> None:
    shown.press('[data-target="reference"]')
    Select(shown.one("#statistic")).select_by_value("previous")
    for place, attention in shown.maps("reference").items():
        kind, layer = place.split("/layer")
        expected = [str(round(100 * value)) for value in map_statistics(attention)["previous"]]
        assert shown.texts(f'#statistics [data-head^="{kind} {layer} "]') == expected
    shown.press('#statistics [data-head="encoder 1 0"]')
    same(shown.cells(), shown.maps("reference")["encoder/layer1"].view("words").weights[0])


def test_translations_stand_side_by_side_and_share_the_source_word(shown: Shown) -> None:
    shown.press("#side")
    names = ["hypothesis-1", "hypothesis-2", "hypothesis-3", "reference"]
    assert [panel.get_attribute("data-panel") for panel in shown.all(".panel")] == names
    shown.hover('[data-panel="hypothesis-2"] [data-column-word="1"]')
    assert shown.texts(".word.lit bdi") == ["old"] * 4
    shown.press('[data-target="hypothesis-3"]')
    assert not shown.all(".panel")


def test_words_that_the_first_translation_has_not_are_marked(shown: Shown) -> None:
    assert shown.texts('[data-target="hypothesis-1"] mark') == []
    first = shown.texts('[data-target="hypothesis-1"] .text')[0].split()
    assert not set(first) & set(TARGET.split())
    assert shown.texts('[data-target="reference"] mark') == TARGET.split()
    script = """
        const [first] = DATA.targets, place = document.body.appendChild(document.createElement("div"));
        const targets = ["a b c d", "b x c d e"].map((text, i) => ({ ...first, text, name: `made-${i}` }));
        viewer({ ...DATA, targets }, place, null);
        return place.querySelector('[data-target="made-1"] .text').innerHTML;
    """
    after = shown.browser.execute_script(script)
    assert after == "b <mark>x</mark> c d <mark>e</mark> "


def test_colours_reach_to_the_largest_weight_where_asked(shown: Shown) -> None:
    darkest = "rgb(29,45,95)"
    assert not shown.all(f'svg.heatmap [fill="{darkest}"]')
    shown.press('[data-choice="scale true"]')
    assert len(shown.all(f'svg.heatmap [fill="{darkest}"]')) == 1


def test_nothing_in_a_sentence_is_read_as_html(visualize: Callable[..., Shown], transformer: Path) -> None:
    hostile = "<script>alert(1)</script> <img/src=x/onerror=alert(2)> &lt; </script><b>"
    shown = visualize(transformer, f"source={hostile}", f"target={hostile}")
    assert shown.texts("h1") == [hostile]
    assert shown.texts("[data-column-word] bdi")[:-1] == hostile.split()
    assert not shown.all("img, b, main script")


def test_chinese_is_shown_piece_by_piece(visualize: Callable[..., Shown], untrained: Callable[..., Path]) -> None:
    shown = visualize(untrained(CHINESE, "model=luong", vocab_size=60), f"source={CHINESE[0]}", f"target={CHINESE[1]}")
    shown.press('[data-target="reference"]')
    labels = shown.texts("[data-column-label]")
    assert len(labels) > 5 and "".join(labels[:-1]) == CHINESE[0]


def test_arabic_runs_from_right_to_left(visualize: Callable[..., Shown], untrained: Callable[..., Path]) -> None:
    shown = visualize(untrained(ARABIC, vocab_size=70), f"source={ARABIC[0]}", "search=greedy")
    places = [word.rect["x"] for word in shown.all("[data-column-word]")]
    assert places == sorted(places, reverse=True)
    assert shown.texts("[data-column-label]") == [*ARABIC[0].split(), "</s>"]
    shown.browser.execute_script("document.querySelector('[data-column-word]').focus()")
    ActionChains(shown.browser).send_keys(Keys.ARROW_LEFT).perform()
    assert shown.texts(".word.lit bdi") == [ARABIC[0].split()[1]]


def test_one_head_alone_has_nothing_to_choose_and_all_its_statistics(
    visualize: Callable[..., Shown], untrained: Callable[..., Path]
) -> None:
    shown = visualize(untrained(LATIN, vocab_size=80), "source=the wolf", "search=greedy", "methods=[]")
    assert not shown.all('[data-choice^="head"], [data-choice^="layer"], [data-choice^="attention"], #overview, #side')
    expected = map_statistics(shown.maps("hypothesis-1")["cross/layer0"])
    assert shown.texts("#statistics td:last-child") == [str(round(100 * value)) for (value,) in expected.values()]


def test_long_labels_are_cut_and_told_whole(visualize: Callable[..., Shown], transformer: Path) -> None:
    long = "wolf" * 12
    shown = visualize(transformer, f"source=the {long} slept")
    assert shown.texts("[data-column-label]")[1] == long[:23] + "…"
    shown.hover('[data-column-label="1"]')
    assert shown.texts('[data-column-label="1"] title') == [long]
    assert shown.texts("[data-column-word] bdi")[1] == long


def page_scrolls_sideways(browser: WebDriver) -> Any:
    return browser.execute_script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_long_sentence_stays_within_the_page(visualize: Callable[..., Shown], transformer: Path) -> None:
    shown = visualize(transformer, "source=" + "the old wolf slept " * 12)
    assert not page_scrolls_sideways(shown.browser)
    shown.press("#side")
    assert not page_scrolls_sideways(shown.browser)
