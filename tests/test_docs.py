"""The documentation names what there is, and its examples run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seq2seq.build import build_model
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand
from seq2seq.config_files import choices_of
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "explained").glob("*.md"))]
ATTENTION = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")


def name(page: Path) -> str:
    """Return what a test of a page is called."""
    return str(page.relative_to(ROOT).with_suffix(""))


def anchors(page: Path) -> set[str]:
    """Return what links can name in a page, as code hosts make it of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[str]:
    """Return the commands of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^ *(seq2seq .+)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if "://" in target:
            continue  # of another site, which no test asks
        path, _, anchor = target.partition("#")
        other = page if not path else (page.parent / path).resolve()
        assert other.is_file(), target
        assert not anchor or anchor in anchors(other), target


def test_readme_is_short_and_names_every_page() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    pages = [page for page in PAGES[1:] if page.stem != "index" and page.parent.name == "docs"]
    assert [page.name for page in pages if f"docs/{page.name}" not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_trainings_that_are_shown_compose(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(command, comments=True)[1:]
        if words[:1] != ["train"] or "--help" in words or any(word.startswith("hydra") for word in words):
            continue
        multirun, given = "--multirun" in words, [word for word in words[1:] if not word.startswith("--")]
        given = [re.sub(r"=([^,\[]+),.*", r"=\1", word) for word in given] if multirun else given
        (run,) = expand([word for word in given if "my_scores" not in word])  # those are tested below
        compose_defaults("train", run)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_other_commands_that_are_shown_compose(page: Path) -> None:
    for command in commands(page):
        name, *words = shlex.split(re.sub(r" \[\w+=.*?\]", "", command), comments=True)[1:]
        if name == "train" or "--help" in words:
            continue
        given = words[: words.index("<")] if "<" in words else words
        compose_defaults(name, quote(given, text_keys=("checkpoint", "checkpoints"), sentences=("source", "target")))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tables_are_whole(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        heading, rule, *lines = table.splitlines()
        assert re.fullmatch(r"\|[-|]+\|", rule), heading
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {rule.count("|")}, heading


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_packages_are_those_of_this_folder(page: Path) -> None:
    """The registry has another package by the name of seq2seq."""
    assert not re.search(r"pip install ['\"]?seq2seq", page.read_text(encoding="utf-8"))


def rows(heading: str) -> set[str]:
    """Return the names in the first column of the tables below a heading of the page on attention."""
    return _names(re.split(rf"^## {heading}$", ATTENTION, flags=re.MULTILINE)[1].split("\n## ")[0])


def _names(section: str) -> set[str]:
    lines = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in lines for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "group"),
    [("Positions", "positions"), ("Patterns", "pattern"), ("Scores", "score"), ("Normalisers", "normalizer")],
)
def test_every_part_of_attention_is_explained(heading: str, group: str) -> None:
    assert rows(heading) == set(choices_of(group)) - ({"none"} if group == "score" else set())


def test_every_reading_is_explained() -> None:
    text = (Path(__file__).parents[1] / "docs" / "readings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == set(choices_of("reading"))


def test_experiments_that_are_named_exist() -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert _names(page) <= set(choices_of("experiment"))


@pytest.mark.parametrize("model", ["luong", "bahdanau", "transformer"])
def test_score_of_ones_own_learns_and_steps_as_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    code = re.search(r"```python\n(.*?)```", ATTENTION, re.DOTALL)
    assert code
    (tmp_path / "my_scores.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    seats = ["score", *(f"{side}.self_score" for side in ("encoder", "decoder") if model == "transformer")]
    given = [f"model={model}", "score=scaled_dot", "output=none"]
    config = compose_defaults("train", [*given, *(f"{seat}._target_=my_scores.Distant" for seat in seats)])
    vocabulary: Any = range(23)
    built = build_model(config, Tokenizers(vocabulary, vocabulary)).eval()
    ids, real = torch.randint(4, 23, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    forced = built(ids, real, torch.tensor([5, 5]), ids, torch.arange(10))
    forced.square().sum().backward()
    slopes = [parameter for name, parameter in built.named_parameters() if name.endswith("slope")]
    assert len(slopes) == (9 if model == "transformer" else 1)
    assert all(slope.grad is not None and slope.grad.count_nonzero() for slope in slopes)
    state, steps = built.begin(ids, real, torch.tensor([5, 5])), []
    for tokens in ids.split(1, dim=1):
        logits, state = built.step(tokens, state)
        steps.append(logits)
    assert_close(torch.cat(steps, 1).flatten(0, 1), forced)
    sys.modules.pop("my_scores")


def test_attention_as_a_library_is_what_the_page_says() -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["context"].shape == (2, 5, 16) and names["weights"].shape == (2, 5, 7)
    assert names["record"]["attention"].shape == (2, 4, 5, 5)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "explained"], ids=name)
def test_examples_of_the_explanation_run(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, {})


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    docs = [str(ROOT / "docs"), str(tmp_path / "site")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *docs], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    made = {str(file.relative_to(tmp_path / "site")) for file in (tmp_path / "site").rglob("*.html")}
    assert {str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in PAGES[1:]} <= made
    assert {"notebooks/attention_by_hand.html", "one_sentence.html"} <= made
    taken = {"search", "genindex", "py-modindex", "modindex"}  # pages that Sphinx makes itself, in place of ours
    assert not taken & {page.stem for page in PAGES}
    reference = (tmp_path / "site" / "reference" / "configuration.html").read_text(encoding="utf-8")
    assert "score=additive" in reference
