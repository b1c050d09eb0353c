"""`seq2seq visualize`: a page, figures and arrays of one sentence, whole or not at all."""

import errno
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from seq2seq.alignment.archive import load_attention
from seq2seq.alignment.maps import attention_maps
from seq2seq.alignment.sentence import Sentence
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli import visualize
from seq2seq.pages.visualize import Target

Command = Callable[..., Any]
SHORT = "search.max_length=6"
SOURCE, TARGET = "the wolf slept", "der Wolf schlief"


def page_data(folder: Path) -> Any:
    """Return what the page's scripts read."""
    html = (folder / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def refused(said: Any, folder: Path, *parts: str) -> None:
    """Check that there is one line with all parts, and nothing in the folder that was not there before."""
    assert said.status == 1 and said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    assert [part for part in parts if part not in said.err] == [], said.err
    assert not (folder / "outputs").exists() and not (folder / "page").is_dir()


@pytest.mark.parametrize(
    ("model", "encoder", "decoder"),
    [("bahdanau", [], ["cross-layer0"]), ("transformer", [0, 1], ["cross-layer0", "cross-layer1", "decoder-layer0"])],
)
def test_every_layer_is_written_as_figures_and_arrays(
    command: Command, request: pytest.FixtureRequest, tmp_path: Path, model: str, encoder: list[int], decoder: list[str]
) -> None:
    run = request.getfixturevalue(model)
    said = command("visualize", f"checkpoint={run.best}", f"source={SOURCE}", f"target={TARGET}", "output=page", SHORT)
    assert (said.status, said.err) == (0, "")
    page, names = tmp_path / "page", ["hypothesis-1", "hypothesis-2", "hypothesis-3", "reference"]
    files = {str(path.relative_to(page)) for path in page.rglob("*.*")}
    for suffix in ("png", "svg"):
        assert {f"encoder-layer{layer}.{suffix}" for layer in encoder} <= files
        assert {f"{name}/{figure}.{suffix}" for name in names for figure in [*decoder, "alignment"]} <= files
    assert {"index.html", "summary.json", *(f"{name}/attention.npz" for name in names)} <= files
    with Image.open(page / "reference" / "alignment.png") as picture:
        assert picture.width > 100
    assert "<svg" in (page / "reference" / "alignment.svg").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_translations_are_those_of_translate(command: Command, transformer: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={transformer.best}", SHORT]
    said = command("visualize", *options, f"source={SOURCE}", "output=page", "figures=[]")
    translated = command("translate", *options, "search=nbest", stdin=f"{SOURCE}\n".encode())
    expected = [line.split(" ||| ")[1:] for line in translated.out.splitlines()]
    assert [(target["text"], f"{target['score']:.4f}") for target in page_data(tmp_path / "page")["targets"]] == [
        (text, score) for text, score in expected
    ]
    for line, (text, score) in zip(said.out.splitlines(), expected, strict=False):
        assert text in line and score in line
    assert said.out.splitlines()[-1].split() == ["page", "page/index.html"]


def test_page_holds_the_arrays_weights_in_words_and_pieces(command: Command, transformer: Any, tmp_path: Path) -> None:
    command("visualize", f"checkpoint={transformer.best}", f"source={SOURCE}", f"target={TARGET}", "output=page", SHORT)
    data = page_data(tmp_path / "page")
    for target in data["targets"]:
        saved = load_attention(tmp_path / "page" / target["name"] / "attention.npz")
        assert saved.source.text == SOURCE and saved.target.text == target["text"]
        shown: dict[tuple[object, ...], Any] = {(m["kind"], m["layer"]): m for m in [*data["encoder"], *target["maps"]]}
        assert shown.keys() == {tuple(attention.site) for attention in saved.maps}
        for attention in saved.maps:
            for unit in ("words", "pieces"):
                found, view = shown[tuple(attention.site)][unit], attention.view(unit)
                assert (found["rows"], found["columns"]) == (view.query_labels, view.key_labels)
                weights = torch.tensor(found["weights"]) / data["one"]
                torch.testing.assert_close(weights, view.weights, atol=1e-4, rtol=0)
    choice = read_checkpoint(transformer.best).alignment
    assert choice is not None and data["alignment"]["head"] == choice.head
    assert json.loads((tmp_path / "page" / "summary.json").read_text())["alignment"]["layer"] == choice.layer


def test_greedy_search_gives_one_translation_and_formats_can_be_chosen(
    command: Command, bahdanau: Any, tmp_path: Path
) -> None:
    said = command(
        "visualize", f"checkpoint={bahdanau.best}", f"source={SOURCE}", "search=greedy", "figures=[png]", SHORT
    )
    assert said.status == 0
    page = tmp_path / "outputs" / "visualize"
    assert [path.name for path in page.iterdir() if path.is_dir()] == ["hypothesis-1"]
    assert {path.suffix for path in page.rglob("*.*")} == {".html", ".json", ".npz", ".png"}


def test_second_run_replaces_the_first(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=page", "figures=[]", SHORT]
    assert command("visualize", *options, f"target={TARGET}").status == 0
    assert (tmp_path / "page" / "reference").is_dir()
    assert command("visualize", *options, "search.n_best=1").status == 0
    names = sorted(path.name for path in (tmp_path / "page").iterdir())
    assert names == ["hypothesis-1", "index.html", "summary.json"]


def test_folder_with_other_files_is_left_alone(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    said = command("visualize", f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=mine", SHORT)
    refused(said, tmp_path, "output=mine", "holds other files")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["index.html"]


@pytest.mark.parametrize("summary", ["{}", '{"mine": 1}', "[]", "no JSON", '{"files": 3}'])
def test_folder_with_a_summary_of_something_else_is_left_alone(
    command: Command, bahdanau: Any, tmp_path: Path, summary: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.json").write_text(summary)
    said = command("visualize", f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=mine", SHORT)
    refused(said, tmp_path, "output=mine", "holds other files")
    assert (tmp_path / "mine" / "summary.json").read_text() == summary


@pytest.mark.parametrize("note", ["notes.txt", "hypothesis-1/notes.txt"])
def test_note_beside_an_earlier_page_is_not_lost(command: Command, bahdanau: Any, tmp_path: Path, note: str) -> None:
    options = [f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=page", "figures=[]", SHORT]
    assert command("visualize", *options).status == 0
    (tmp_path / "page" / note).write_text("mine")
    said = command("visualize", *options)
    assert said.status == 1 and said.err.startswith(f"error: output=page holds other files ({note})")
    assert (tmp_path / "page" / note).read_text() == "mine"


def test_folder_appears_whole_or_not_at_all(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=page", "figures=[]", SHORT]
    assert command("visualize", *options).status == 0
    before = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")

    def broken(*arguments: Any) -> None:
        raise RuntimeError("the lights went out")

    monkeypatch.setattr(visualize, "save_attention", broken)
    for output in ("page", "new"):
        said = command("visualize", *options, f"output={output}", "source=a house")
        assert said.status == 1 and said.err.count("\n") == 1 and "the lights went out" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (tmp_path / "page" / "index.html").read_text(encoding="utf-8") == before
    assert not [path for path in (tmp_path / "page").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["visualize", "explain"])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5])
def test_signal_while_files_are_exchanged_leaves_those_of_before(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    options = [f"checkpoint={bahdanau.best}", f"source={SOURCE}", f"target={TARGET}", "output=page"]
    options += ["figures=[svg]", "method=erasure"] if name == "explain" else ["figures=[]", "methods=[]", SHORT]
    assert command(name, *options).status == 0
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    rename, moved = Path.rename, 0

    def interrupted(path: Path, place: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == at // 2 + 1 and at % 2:
            os.kill(os.getpid(), signal.SIGTERM)
        rename(path, place)
        if moved == at // 2 + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return place

    monkeypatch.setattr(Path, "rename", interrupted)
    said = command(name, *options, "source=a house", "target=ein Haus")
    assert said.status == 128 + signal.SIGTERM and said.err == "stopped by SIGTERM\n"
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_page_that_was_killed_while_it_was_exchanged_is_made_anew(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    options = [f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=page", "figures=[]", "methods=[]", SHORT]
    options.append("search.n_best=1")
    assert command("visualize", *options).status == 0
    sentence = Sentence("a", [4], ["▁a"], ["a"], [0])
    maps = list(attention_maps({"decoder.attention": torch.eye(2)[None, None]}, 0, sentence, sentence))
    targets = [Target("reference", sentence, None, maps)]

    def killed() -> None:
        rename, left = Path.rename, iter(range(at))

        def until(path: Path, place: Path) -> Path:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(path, place)

        Path.rename = until  # type: ignore[method-assign, assignment]
        visualize.write_folder(tmp_path / "page", sentence, targets, None, "best.ckpt", [])

    child = multiprocessing.get_context("fork").Process(target=killed)
    child.start()
    child.join()
    assert child.exitcode == (-signal.SIGKILL if at < 6 else 0)
    assert command("visualize", *options).status == 0
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["hypothesis-1", "index.html", "summary.json"]


def test_page_that_is_made_while_another_ends_there_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = Sentence("a", [4], ["▁a"], ["a"], [0])
    maps = list(attention_maps({"decoder.attention": torch.eye(2)[None, None]}, 0, sentence, sentence))
    page = visualize.visualize_page

    def write(name: str) -> None:
        visualize.write_folder(tmp_path, sentence, [Target(name, sentence, None, maps)], None, "best.ckpt", [])

    def beside_another(*arguments: Any, **options: Any) -> str:
        monkeypatch.undo()
        child = multiprocessing.get_context("fork").Process(target=write, args=("hypothesis-1",))
        child.start()
        child.join()
        assert child.exitcode == 0
        return page(*arguments, **options)

    write("reference")
    monkeypatch.setattr(visualize, "visualize_page", beside_another)
    write("hypothesis-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hypothesis-2", "index.html", "summary.json"]


def test_full_disk_is_said_of_the_output(
    command: Command, bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".visualize-mb0x8s/new/index.html")

    monkeypatch.setattr(Path, "write_text", full)
    for name in ("visualize", "explain"):
        options = ["target=der Wolf", "method=erasure"] if name == "explain" else [SHORT]
        said = command(name, f"checkpoint={bahdanau.best}", f"source={SOURCE}", "output=page", "figures=[]", *options)
        assert said.status == 1 and said.err == "error: cannot write output=page: No space left on device; make some\n"
        assert list(tmp_path.iterdir()) == []


def test_checkpoint_whose_name_is_not_in_utf_8_is_named_in_page_and_summary(tmp_path: Path) -> None:
    sentence = Sentence("a", [4], ["▁a"], ["a"], [0])
    maps = list(attention_maps({"decoder.attention": torch.eye(2)[None, None]}, 0, sentence, sentence))
    targets = [Target("reference", sentence, None, maps)]
    visualize.write_folder(tmp_path / "page", sentence, targets, None, "/caf\udce9/best.ckpt", [])
    assert page_data(tmp_path / "page")["checkpoint"].endswith("caf\udce9/best.ckpt")
    summary = json.loads((tmp_path / "page" / "summary.json").read_text(encoding="utf-8"))
    assert summary["checkpoint"] == "/caf\udce9/best.ckpt"


def test_source_over_the_limit_is_cut_with_a_warning(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command(
        "visualize", f"checkpoint={bahdanau.best}", f"source={'the wolf slept ' * 9}", f"target={TARGET}",
        "loader.max_length=7", "output=page", "figures=[]", SHORT,
    )  # fmt: skip
    assert said.status == 0
    assert said.err.startswith("source: ") and "more than the model's 7; cut there" in said.err.splitlines()[0]
    pieces = page_data(tmp_path / "page")["targets"][0]["maps"][0]["pieces"]["columns"]
    assert len(pieces) == 8 and pieces[-1] == "</s>"


def test_text_is_taken_as_it_is_typed(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    typed = 'it\'s 50% = "half", (really) ${x} <b> [1,2] {a: b} \\ ü'
    said = command(
        "visualize", f"checkpoint={bahdanau.best}", f"source={typed}", "output=a, (b) = c", "figures=[]", SHORT
    )
    assert (said.status, said.err) == (0, "")
    assert page_data(tmp_path / "a, (b) = c")["source"] == typed


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["source=a"], ["checkpoint is not given"]),
        (["checkpoint=none.ckpt", "source=a"], ["there is no checkpoint none.ckpt"]),
        (["checkpoint={}"], ["source is not given"]),
        (["checkpoint={}", "source="], ["source is empty, so it has an empty translation", 'source="the wolf slept"']),
        (["checkpoint={}", "source=  "], ["source is empty"]),
        (["checkpoint={}", "source=\udce4"], ["is not text in UTF-8"]),
        (["checkpoint={}", "source=a", "target="], ["target is empty"]),
        (["checkpoint={}", "source=a", "output=file"], ["output=file", "is a file"]),
        (["checkpoint={}", "source=a", "output=file/page"], ["file is a file"]),
        (["checkpoint={}", "source=a", "figures=[gif]"], ["figures=['gif']", "png"]),
        (["checkpoint={}", "source=a", "search.n_best=9"], ["search.n_best=9"]),
        (["checkpoint={}", "source=a", "targt=b"], ["there is no key targt", "target?"]),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(
    command: Command, bahdanau: Any, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    said = command("visualize", *(argument.replace("{}", bahdanau.best) for argument in arguments))
    refused(said, tmp_path, *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_model_without_attention_is_refused(command: Command, train_briefly: Any, tmp_path: Path) -> None:
    run = train_briefly("model=bottleneck")
    said = command("visualize", f"checkpoint={run.best}", f"source={SOURCE}", "output=page", SHORT)
    refused(said, tmp_path, "no attention")


def test_bottleneck_behind_a_transformer_shows_the_encoder(
    command: Command, train_briefly: Any, tmp_path: Path
) -> None:
    run = train_briefly("model=bottleneck", "encoder=transformer", "encoder.num_heads=2")
    said = command("visualize", f"checkpoint={run.best}", f"source={SOURCE}", "output=page", "figures=[png]", SHORT)
    assert said.status == 0, said.err
    data = page_data(tmp_path / "page")
    assert data["alignment"] is None and data["encoder"] and data["targets"][0]["maps"] == []
    assert (tmp_path / "page" / "encoder-layer0.png").is_file()
