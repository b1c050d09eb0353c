"""The live page in a browser: what is typed is answered, what is shown has an address, text stays text."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

import seq2seq
from seq2seq.api import Model
from seq2seq.checkpoint import AlignmentChoice

serving = pytest.importorskip("seq2seq.serving.server", reason="install seq2seq[serve] to test the server")

LATIN = ["the old wolf slept", "der alte Wolf schlief", "a house saw the wolf", "ein Haus sah den Wolf"] * 3
SENTENCE = "the old wolf slept"


@pytest.fixture(scope="module")
def models(untrained: Callable[..., Path]) -> list[Model]:
    """A Transformer, a recurrent model, and one without attention."""
    alignment = AlignmentChoice("decoder.layers.0.cross_attention.attention", 1)
    sizes = ("model.num_layers=1", "encoder.num_heads=2", "decoder.num_heads=2")
    files = [
        untrained(LATIN, "model=transformer", *sizes, vocab_size=80, alignment=alignment),
        untrained(LATIN, "model=luong", vocab_size=80, alignment=AlignmentChoice("decoder.attention", None)),
        untrained(LATIN, "model=bottleneck", vocab_size=80),
    ]
    return [seq2seq.load(file) for file in files]


@pytest.fixture(scope="module")
def server(models: list[Model]) -> Iterator[Any]:
    """They are served from a thread."""
    limits = serving.Limits(bytes=65536, lines=8, waiting=100, seconds=60)
    made = serving.Server(serving.Service(models, engine=None, limits=limits, tokens=4096, wait=0.0))
    with serving.open_port("127.0.0.1", 0) as listening:
        made.address = serving.address_of(listening)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]})
        thread.start()
        while not made.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield made
        made.stop()
        thread.join(60)


class Live(NamedTuple):
    """The live page in the browser."""

    browser: WebDriver
    server: Any

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        (found,) = self.all(selector)
        return found

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((found) => found.textContent.trim())"
        return self.browser.execute_script(script, selector)

    def open(self, **asked: str) -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{self.server.address}/#{urlencode(asked)}")
        if asked:
            self.until(lambda: self.texts(".status")[0].endswith("ms"))

    def until(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.browser, 60, 0.05).until(lambda _: condition())

    def address(self) -> dict[str, str]:
        fragment = self.browser.current_url.partition("#")[2]
        return {key: value for key, (value,) in parse_qs(fragment).items()}


@pytest.fixture
def live(browser: WebDriver, server: Any) -> Iterator[Live]:
    """The page; at the end, no error was in its console and nothing but the server was asked.

    Random models say what cannot be gone on with: that the server refuses to is told in the box.
    """
    for log in ("browser", "performance"):
        browser.get_log(log)
    page = Live(browser, server)
    yield page
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [error for error in errors if "/alternatives - Failed to load" not in error] == []
    asked = [entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]]
    assert [message for message in asked if '"url":"http' in message and server.address not in message] == []
    browser.get("about:blank")


def test_what_is_typed_is_translated_and_stands_in_the_address(live: Live, models: list[Model]) -> None:
    live.open()
    live.one("#source").send_keys(SENTENCE)  # the pause after it sends it
    live.until(lambda: live.all(".viewer"))
    assert live.texts(".translation .text") == [models[0].translate([SENTENCE])[0]]
    assert live.texts("[data-column-word] bdi") == [*SENTENCE.split(), "</s>"]
    assert live.address() == {"source": SENTENCE}
    Select(live.one("#count")).select_by_value("3")
    live.until(lambda: len(live.all(".translation")) == 3)
    assert live.address() == {"source": SENTENCE, "count": "3"}


def test_address_shows_the_same_again(live: Live, server: Any) -> None:
    names = server.service.names
    live.open(source=SENTENCE, target="der Wolf", model=names[1], beside=names[0], search="greedy")
    assert live.texts(".models > section > h2") == [names[1], names[0]]
    assert [live.one(f"#{key}").get_property("value") for key in ("source", "target")] == [SENTENCE, "der Wolf"]
    assert live.texts('.translation[aria-pressed="true"] .text') == ["der Wolf", "der Wolf"]
    assert len(live.all("svg.heatmap")) == 2
    live.open(source=SENTENCE, model="no such", search="none")
    assert live.texts(".models > section > h2") == [names[0]]


def test_forced_translation_is_beside_the_models_own_and_can_be_taken_back(live: Live) -> None:
    live.open(source=SENTENCE)
    own = live.texts(".translation .text")
    live.one("#target").send_keys("der alte Wolf", Keys.ENTER)
    live.until(lambda: len(live.all(".translation")) == 2)
    assert live.texts(".translation .text") == [*own, "der alte Wolf"]
    assert live.texts("[data-row-word] bdi") == ["der", "alte", "Wolf", "</s>"]
    live.one("#target").send_keys(Keys.CONTROL, "a")
    live.one("#target").send_keys(Keys.DELETE, Keys.ENTER)
    live.until(lambda: live.texts(".translation .text") == own)
    assert "target" not in live.address()


def test_word_that_is_put_in_anothers_place_is_forced(live: Live) -> None:
    live.open(source=SENTENCE, target="der alte Wolf schlief")
    live.one('[data-row-word="1"]').click()
    field = live.one(".alternatives input")
    assert field.get_property("value") == "alte" and live.browser.switch_to.active_element == field
    field.send_keys("junge", Keys.ENTER)
    live.until(lambda: "junge" in live.texts("[data-row-word] bdi"))
    assert live.address()["target"] == "der junge Wolf schlief"
    live.until(lambda: live.texts(".status")[0].endswith("ms"))
    live.one('[data-row-word="4"]').click()  # the end
    live.one(".alternatives input").send_keys("nicht", Keys.ENTER)
    live.until(lambda: "nicht" in live.texts("[data-row-word] bdi"))
    assert live.address()["target"] == "der junge Wolf schlief nicht"


def test_alternative_that_is_chosen_is_forced_as_it_goes_on(live: Live, models: list[Model]) -> None:
    live.open(source=SENTENCE, target="der alte Wolf")
    live.one('[data-row-word="1"]').click()
    live.until(lambda: live.all(".alternative"))
    expected = models[0].alternatives(SENTENCE, "der ")
    assert live.texts(".alternative .text") == [one.text or "(the end)" for one in expected]
    assert live.texts(".alternative .whole") == [one.translation for one in expected]
    live.one(".alternatives input").send_keys(Keys.TAB, Keys.TAB, Keys.ARROW_DOWN, Keys.ENTER)
    live.until(lambda: live.address()["target"] == expected[1].translation)
    live.until(lambda: live.texts(".status")[0].endswith("ms"))
    assert live.texts('.translation[aria-pressed="true"] .text') == [expected[1].translation]


def test_escape_closes_the_box_and_gives_the_keyboard_back(live: Live) -> None:
    live.open(source=SENTENCE, target="der alte Wolf")
    live.one('[data-row-word="2"]').click()
    live.one(".alternatives input").send_keys(Keys.ESCAPE)
    assert not live.all(".alternatives")
    assert live.browser.switch_to.active_element.get_attribute("data-row-word") == "2"
    live.one('[data-row-word="2"]').send_keys(Keys.ENTER)
    assert live.all(".alternatives")
    live.one("h1").click()
    assert not live.all(".alternatives")


def test_layer_and_head_stay_when_the_sentence_changes(live: Live) -> None:
    live.open(source=SENTENCE)
    live.one('[data-choice="attention encoder"]').click()
    live.one('[data-choice="head 0"]').click()
    live.one("#source").send_keys(" a house", Keys.ENTER)
    live.until(lambda: "house" in live.texts("[data-column-word] bdi"))
    assert live.texts('.choice [aria-pressed="true"]')[:2] == ["encoder self", "0"]


def test_other_readings_and_methods_are_beside_attention_where_asked(live: Live) -> None:
    live.open(source=SENTENCE, also="readings")
    live.one('[data-choice="read input_weights"]').click()
    live.open(source=SENTENCE, also="methods")
    live.one('[data-choice="method erasure"]').click()
    assert "of the source" in live.texts("[data-column-label]")


def test_model_without_attention_shows_its_translations(live: Live, server: Any, models: list[Model]) -> None:
    live.open(source=SENTENCE, model=server.service.names[2])
    assert live.texts(".translation .text") == [models[2].translate([SENTENCE])[0] or "(nothing)"]
    live.open(source=SENTENCE, model=server.service.names[2], count="3", search="diverse")
    found = models[2].translations([SENTENCE], search="diverse", n_best=3)[0]
    assert live.texts(".translation .text") == [translation.text or "(nothing)" for translation in found]
    assert "no attention" in live.texts(".models p")[-1]


def test_refusal_is_told_and_what_was_shown_stays(live: Live) -> None:
    live.open(source=SENTENCE)
    live.browser.execute_script(
        'window.fetch = () => Promise.resolve(new Response(\'{"detail": "<b>no</b>"}\', {status: 413}))'
    )
    live.one("#source").send_keys(" a", Keys.ENTER)
    live.until(lambda: live.texts(".status.wrong") == ["<b>no</b>"])
    assert live.all(".viewer") and not live.all("b")


def test_refusal_of_one_model_hides_not_the_other(live: Live, server: Any) -> None:
    first, second = server.service.names[:2]
    live.open(source=SENTENCE, beside=second)
    script = """
        const [ask, name] = [window.fetch, arguments[0]];
        window.fetch = (path, said) => JSON.parse(said.body).model === name
            ? Promise.resolve(new Response('{"detail": "too long"}', {status: 413})) : ask(path, said);
    """
    live.browser.execute_script(script, second)
    live.one("#source").send_keys(" slept", Keys.ENTER)
    live.until(lambda: live.texts(".status.wrong") == [f"{second}: too long"])
    assert live.texts(".models > section > h2") == [first]
    assert live.texts("[data-column-word] bdi") == [*SENTENCE.split(), "slept", "</s>"]


def test_answer_that_is_not_of_the_server_is_told_by_its_status(live: Live, server: Any) -> None:
    live.open(source=SENTENCE, beside=server.service.names[1])
    live.browser.execute_script("window.fetch = () => Promise.resolve(new Response('<p>no', {status: 502}))")
    live.one("#source").send_keys(" a", Keys.ENTER)
    live.until(lambda: live.texts(".status.wrong"))
    assert live.texts(".status") == ["the server answers 502, and not why; try again in a moment"]


def test_tag_is_asked_of_models_that_have_some(live: Live, server: Any) -> None:
    live.open(source=SENTENCE)
    script = """
        DATA.models[0].tags = ["2de"];
        asked.tag = "2de";
        return DATA.models.map(({ name }) => tagOf(name));
    """
    assert live.browser.execute_script(script) == [{"tag": "2de"}, {}, {}]


@pytest.mark.parametrize("key", ["source", "target"])
def test_nothing_that_is_typed_is_read_as_html(live: Live, key: str) -> None:
    hostile = "<script>alert(1)</script> <img/src=x/onerror=alert(2)> &lt; </script><b>"
    live.open(**{"source": SENTENCE, "target": "der Wolf", key: hostile})
    axis = "column" if key == "source" else "row"
    assert live.texts(f"[data-{axis}-word] bdi")[:-1] == hostile.split()
    assert not live.all("main img, main b, main script")


@pytest.mark.parametrize("width", [390, 1280])
def test_page_stays_within_a_window(live: Live, server: Any, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    live.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        live.open(source="the old wolf slept " * 6, beside=server.service.names[1], count="3")
        live.all("[data-row-word]")[-1].click()
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert live.browser.execute_script(script) <= 0
    finally:
        live.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_page_says_what_it_waits_for(live: Live) -> None:
    live.open(source=SENTENCE)
    live.browser.execute_script("window.fetch = () => new Promise(() => {})")
    live.all("[data-row-word]")[0].click()
    live.until(lambda: live.texts(".alternatives .list .note") == ["asking the model …"])
    live.one("#source").send_keys(" and slept")
    live.until(lambda: live.texts(".status") == ["translating …"])


def test_page_is_dark_where_the_readers_pages_are(live: Live) -> None:
    live.open(source=SENTENCE)
    script = """
        const luminance = (color) => color.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
        const cell = document.querySelector('svg.heatmap [data-value]');
        return [getComputedStyle(document.body).backgroundColor, getComputedStyle(cell).fill].map(luminance);
    """
    page, cell = live.browser.execute_script(script)
    assert page > 200 and cell > 100
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    live.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        live.until(lambda: live.browser.execute_script(script)[0] < 60)
        assert live.browser.execute_script(script)[1] < 160
    finally:
        live.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_description_shows_every_request_with_a_command(live: Live) -> None:
    live.browser.get(f"{live.server.address}/docs")
    shown = live.texts("main")[0]
    for path in ("/translate", "/align", "/score", "/attention", "/alternatives", "/health", "/metrics"):
        assert f"{live.server.address}{path}" in shown
    names = live.texts("code")
    assert "translations[].hypotheses[].score" in names and "constraints.forbid" in names
