"""`seq2seq heads` and `seq2seq prune`: which heads matter, and checkpoints without the others, used and trained on."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from seq2seq.alignment.links import parse_links
from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.heads import printed_points
from seq2seq.pruning.curve import Point
from seq2seq.pruning.picture import heads_figure
from seq2seq.pruning.units import Unit

Command = Callable[..., Any]
HEADS = {"encoder": 4, "decoder": 4, "cross": 4}


@pytest.fixture(scope="session")
def cache(text: list[str]) -> str:
    return next(override for override in text if override.startswith("loader.cache_dir="))


def kept(checkpoint: str) -> list[list[int]]:
    config = read_checkpoint(checkpoint).config
    side, own = config["encoder"], config["decoder"]
    return [*side["kept_heads"], *own["kept_heads"], *own["kept_cross_heads"]]


def test_heads_are_measured_printed_and_drawn(command: Command, transformer: Any, tmp_path: Path, cache: str) -> None:
    options = ["search.max_length=20", "output=made", cache]
    said = command("heads", f"checkpoint={transformer.best}", *options)
    assert said.status == 0, said.err
    found = json.loads((tmp_path / "made" / "heads-val.json").read_text())
    assert len(found["heads"]) == 12 and {row["kind"] for row in found["heads"]} == HEADS.keys()
    assert all(
        row["importance"] > 0 and {"bleu", "perplexity", "aer"} <= row["without"].keys() for row in found["heads"]
    )
    for layer in {row["attention"] for row in found["heads"]}:
        norms = [row["normalized"] ** 2 for row in found["heads"] if row["attention"] == layer]
        assert sum(norms) == pytest.approx(1)
    assert [point["heads"] for point in found["curve"]] == [12, 11, 10, 9, 8, 7, 6]
    whole = {name: transformer.metrics[f"val/{name}"] for name in ("bleu", "perplexity", "aer")}
    assert {name: found["curve"][0][name] for name in whole} == pytest.approx(whole)
    gone = [unit["attention"] for point in found["curve"] for unit in point["removed"]]
    assert sorted(gone) == sorted({row["attention"] for row in found["heads"]})  # one of each two
    weakest = min(found["heads"], key=lambda row: row["normalized"])
    assert found["curve"][1]["removed"] == [{"attention": weakest["attention"], "heads": weakest["heads"]}]
    assert found["curve"][1]["bleu"] == pytest.approx(weakest["without"]["bleu"])
    assert len(said.out.splitlines()) == 1 + 12 + 2 + 7 + 2 and "of 12 heads can go for 0.2 BLEU" in said.out
    for table, rows in zip(said.out.split("\n\n"), (12, 7), strict=True):
        head, *lines = table.splitlines()
        for name in ("BLEU", "perplexity", "AER, %"):  # figures end where their name does, with as many decimals each
            end = head.index(name) + len(name)
            assert all(line[end - 1].isdigit() and not line[end : end + 1].strip() for line in lines[:rows]), name
            assert len({line[:end].rindex(".") for line in lines[:rows]}) == 1, name
    with Image.open(tmp_path / "made" / "heads-val.png") as picture:
        assert picture.width > 400
    assert "<svg" in (tmp_path / "made" / "heads-val.svg").read_text()
    before = (tmp_path / "made" / "heads-val.json").read_bytes()
    refused = command("heads", f"checkpoint={transformer.best}", *options, "by=random")
    assert refused.status == 1 and "other settings (by, seed); give another folder" in refused.err
    assert (tmp_path / "made" / "heads-val.json").read_bytes() == before


def test_columns_of_a_perfect_model_stay_apart(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"bleu": 100.0, "perplexity": 1.0, "aer": 0.0}
    units = [Unit("decoder.layers.2.cross_attention", (3,)), Unit("encoder.layers.10.self_attention", (12, 13, 14))]
    list(printed_points(Point(number, tuple(units[:number]), scores) for number in range(3)))
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-3:] for line in lines] == [["100.00", "1.000", "0.0"]] * 3
    assert lines[2].split()[1:3] == ["encoder/layer10", "12-14"]
    assert len({len(line) for line in (head, *lines)}) == 1


def test_heads_that_cannot_be_drawn_leave_no_numbers_alone(
    command: Command, transformer: Any, tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("seq2seq.cli.heads.save_figure", full)
    options = ["search.max_length=2", "sentences=2", "output=made", cache]
    said = command("heads", f"checkpoint={transformer.best}", *options)
    assert said.status == 1 and said.err.splitlines()[-1] == (
        "error: cannot write output=made: No space left on device; make some"
    )
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("by", ["raw_importance", "ablation", "random"])
def test_other_orders_keep_as_many_heads(
    command: Command, transformer: Any, tmp_path: Path, cache: str, by: str
) -> None:
    options = [f"by={by}", "sentences=4", "split=test", cache]
    said = command("prune", f"checkpoint={transformer.best}", "heads=7", "output=new/7.ckpt", *options)
    assert said.status == 0 and said.out.startswith("7 of 12 heads"), said.err
    assert sum(map(len, kept(str(tmp_path / "new" / "7.ckpt")))) == 7


def test_pruned_checkpoint_is_smaller_and_whole(pruned: str, transformer: Any) -> None:
    sizes = [sum(x.numel() for x in read_checkpoint(path).weights.values()) for path in (pruned, transformer.best)]
    assert sizes[0] < sizes[1]
    model: Any = load_model(read_checkpoint(pruned), torch.device("cpu"))[0]
    heads = kept(pruned)
    assert sum(map(len, heads)) == 8 and all(heads)
    attentions = [*(layer.self_attention for layer in model.encoder.layers)]
    attentions += [getattr(layer, f"{own}_attention") for own in ("self", "cross") for layer in model.decoder.layers]
    assert [attention.num_heads for attention in attentions] == [len(found) for found in heads]
    assert [attention.query.out_features for attention in attentions] == [8 * len(found) for found in heads]


def test_every_command_takes_a_pruned_checkpoint(
    command: Command, pruned: str, text_folder: Path, tmp_path: Path, cache: str
) -> None:
    files = [f"{side}={text_folder / f'test.{side}'}" for side in ("source", "target")]
    given = f"checkpoint={pruned}"
    search = ["search.max_length=20"]
    source = (text_folder / "test.source").read_bytes()
    assert command("evaluate", given, "output=scores", cache, *search).status == 0
    found = command("translate", given, *search, stdin=source)
    assert found.status == 0 and len(found.out.splitlines()) == 10
    assert found.out == (tmp_path / "scores" / "translations-test.txt").read_text(encoding="utf-8")
    assert command("align", given, *files, "output=links").status == 0
    links = (tmp_path / "links").read_text().splitlines()
    assert len(links) == 10 and all(parse_links(line, where="links").sure for line in links if line)
    said = command("visualize", given, "source=the wolf slept", "target=der Wolf schlief", "figures=[png]", *search)
    assert said.status == 0, said.err
    assert (tmp_path / "outputs" / "visualize" / "index.html").exists()
    said = command("heads", given, "sentences=3", "output=heads", cache, *search)
    assert said.status == 0, said.err
    assert "the only one of its attention" in said.out
    again = command("prune", given, "heads=6", "output=again.ckpt", cache)
    assert again.status == 0 and again.out.startswith("6 of 8 heads"), again.err
    first, second = kept(pruned), kept(str(tmp_path / "again.ckpt"))
    assert all(set(after) <= set(before) for before, after in zip(first, second, strict=True))


def test_pruned_checkpoint_is_exported(command: Command, pruned: str, tmp_path: Path) -> None:
    for format in ("safetensors", "ctranslate2"):  # ONNX: tests/cli/test_export.py
        said = command("export", f"checkpoint={pruned}", f"format={format}", f"output={format}")
        assert said.status == 0, said.err
    weights = load_file(tmp_path / "safetensors" / "model.safetensors")
    assert weights["encoder.layers.0.self_attention.query.weight"].shape[0] == 8 * len(kept(pruned)[0])


def test_training_goes_on_from_a_pruned_checkpoint(
    command: Command, pruned: str, text: list[str], tmp_path: Path
) -> None:
    options = ["model=transformer", "model.num_layers=2", "encoder.num_heads=2", "decoder.num_heads=2"]
    brief = ["search.max_length=5", "callbacks.pinned=null", "training.test_splits=[]", "optimizer.lr=0.0"]
    run = ["train", *text, *options, *brief, "scheduler=constant", f"begin_with={pruned}"]
    said = command(*run, "trainer.max_epochs=1", "hydra.run.dir=on")
    assert said.status == 0, said.err
    before, after = (read_checkpoint(path) for path in (pruned, tmp_path / "on" / "checkpoints" / "best.ckpt"))
    assert kept(str(tmp_path / "on" / "checkpoints" / "best.ckpt")) == kept(pruned)
    assert all(torch.equal(before.weights[name], tensor) for name, tensor in after.weights.items())  # the rate is 0
    said = command(*run, "trainer.max_epochs=2", "resume=on")
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "on" / "metrics.json").read_text())["epochs"] == 2


@pytest.mark.parametrize("overrides, says", [
    (["begin_with={pruned}"], "its encoder is TransformerEncoder, not RecurrentEncoder"),
    (["model=transformer", "begin_with={pruned}"], r"its model.num_layers is 2, not 3, .*; give the overrides"),
    (["model=transformer", "begin_with=none.ckpt"], "there is no checkpoint none.ckpt"),
    (["--multirun", "seed=1,2", "model=transformer", "begin_with={pruned}"], r"its model.num_layers is 2, not 3"),
])  # fmt: skip
def test_weights_of_another_model_are_refused(
    command: Command, pruned: str, text: list[str], tmp_path: Path, overrides: list[str], says: str
) -> None:
    given = [override.format(pruned=pruned) for override in overrides]
    said = command("train", *text, *given)
    assert said.status == 1 and not (tmp_path / "outputs").exists()
    assert re.search(says, said.err), said.err


@pytest.mark.parametrize("arguments, says", [
    (["heads=99"], "heads=99: the model has 12, and each attention keeps one; expected 6 to 12"),
    (["heads=many"], "heads=many: expected how many heads are left"),
    (["heads=8", "by=magic"], "by=magic is not known; there are ablation, importance, random, raw_importance"),
    (["heads=8", "sentences=0"], "sentences=0: expected above 0"),
    (["heads=8", "output=there"], "output=there is a folder; give a new file"),
    (["heads=8", "output=full.ckpt"], "output=full.ckpt is there already; give a new file"),
    (["heads=8", "output=full.ckpt/a/b.ckpt"], "cannot write output=full.ckpt/a/b.ckpt"),
    (["heads=8", "split=none"], "none"),
])  # fmt: skip
def test_what_cannot_be_pruned_is_said_before_anything_is_written(
    command: Command, transformer: Any, tmp_path: Path, cache: str, arguments: list[str], says: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "full.ckpt").write_text("kept")
    given = arguments if any("output=" in argument for argument in arguments) else [*arguments, "output=new.ckpt"]
    said = command("prune", f"checkpoint={transformer.best}", cache, *given)
    assert said.status == 1 and len(said.err.splitlines()) == 1 and says in said.err, said.err
    assert not (tmp_path / "new.ckpt").exists() and (tmp_path / "full.ckpt").read_text() == "kept"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("search.max_length=0", "search.max_length=0"),
        ("links.threshold=2", "links.threshold=2: expected a share of the weight"),
        ("split=none", "the data has no split none"),
    ],
)
def test_heads_refuse_a_value_before_there_is_a_folder(
    command: Command, transformer: Any, tmp_path: Path, cache: str, key: str, says: str
) -> None:
    said = command("heads", f"checkpoint={transformer.best}", cache, "links=threshold", "output=new", key)
    assert said.status == 1 and says in said.err and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["heads", "prune"])
def test_recurrent_model_has_one_head(command: Command, bahdanau: Any, tmp_path: Path, name: str) -> None:
    more = ["heads=1", "output=new.ckpt"] if name == "prune" else ["output=new"]
    said = command(name, f"checkpoint={bahdanau.best}", *more)
    assert said.status == 1 and "a recurrent decoder has one head" in said.err and len(said.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most", [2, 3, 36])
def test_curves_of_heads_have_ticks_at_whole_heads_alone_and_the_most_at_the_left(most: int) -> None:
    rows = [{"kind": "cross", "layer": 0, "heads": [head], "normalized": 0.5} for head in range(most)]
    points = [Point(heads, (), {"bleu": 9.0 + heads, "perplexity": 2.0}) for heads in range(most, 0, -1)]
    figure = heads_figure(rows, points)
    picture, *curves = figure.axes
    assert picture.get_title(loc="left") == "importance, %"
    assert [text.get_text() for text in picture.get_xticklabels()] == [str(head) for head in range(most)]
    assert len(curves) == 2
    for axes in curves:
        left, right = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if right <= tick <= left]
        assert left > right and len(shown) >= 2 and all(tick == round(tick) for tick in shown)
