"""A checkpoint in Python does what the commands do."""

import math
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from matplotlib.figure import Figure

import seq2seq
from seq2seq.api import Model
from seq2seq.averaging import mean_weights
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS, UNK
from seq2seq.errors import UserError
from tests.cli.conftest import ONE_STEP

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SENTENCE = "The wolf slept ."
PACKAGE: Any = seq2seq
"""As one sees it who calls it with what it does not take."""


@pytest.fixture(scope="module")
def model(bahdanau: Any) -> Model:
    return seq2seq.load(bahdanau.best, device="cpu")


def test_translations_are_those_of_the_command(model: Model, bahdanau: Any, command: Any, tmp_path: Path) -> None:
    lines = [SENTENCE, "", "She opens the door ."]
    (tmp_path / "in").write_text("\n".join(lines) + "\n")
    said = command("translate", f"checkpoint={bahdanau.best}", "input=in", "output=out")
    assert said.status == 0, said.err
    assert model.translate(lines) == (tmp_path / "out").read_text().split("\n")[:-1]
    several = model.translations(lines[:1], n_best=2, beam_size=4)[0]
    assert len(several) == 2 and several[0].score >= several[1].score
    assert model.translate(lines[:1], search="greedy", max_length=1)[0].count(" ") == 0


def test_dead_end_hits_its_own_sentence_alone(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"search": "beam", "n_best": 2, "max_length": 6}  # no room for a word between them
    asked: dict[str, Any] = {
        "prefix": ["", "Der "],
        "constraints": [None, {"require": ["Wolf"], "forbid": ["Der Wolf"]}],
    }
    free, (stuck,) = model.translations([SENTENCE] * 2, **asked, **options)
    assert [free] == model.translations([SENTENCE], **options) and stuck == ("", -math.inf)
    assert "constraints[1]: no translation was found" in caplog.text and "its line is left empty" in caplog.text


def test_model_that_computes_no_numbers_is_no_dead_end(model: Model) -> None:
    broken = seq2seq.load(model.checkpoint.path, device="cpu")
    network: Any = broken.network
    network.output.weight.data.fill_(math.nan)
    for search in ("greedy", "beam", "sample"):
        with pytest.raises(UserError, match=r"^sentence 1: .* is no number .nan.; take another checkpoint"):
            broken.translate([SENTENCE], search=search)


def test_links_are_those_of_the_head_that_aligns_best(model: Model) -> None:
    pair = (SENTENCE, "Der Wolf schlief .")
    (loose,), (strict,) = (model.align([pair], links=links) for links in ("argmax", "intersection"))
    assert strict <= loose and len(loose) == 4
    assert len(model.align([pair, ("", "")])) == 2


def test_attention_has_labels_a_picture_and_a_page(model: Model) -> None:
    forced = model.attention(SENTENCE, "Der Wolf schlief .")
    view = forced.view()
    assert view.query_labels == ["Der", "Wolf", "schlief", ".", "</s>"]
    assert view.weights.shape == (1, 5, 5)
    torch.testing.assert_close(view.weights.sum(-1), torch.ones(1, 5))
    assert isinstance(forced.plot(), Figure)
    assert "Der" in forced.page() and forced._repr_html_().startswith("<iframe srcdoc=")
    own = model.attention(SENTENCE)
    assert own.target.text == model.translate([SENTENCE])[0]


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.attention(SENTENCE, "Der Wolf schlief .").view().weights,
        lambda model: model.align([(SENTENCE, "Der Wolf schlief .")], links="argmax"),
        lambda model: model.explain(SENTENCE, "Der Wolf schlief .").from_source,
    ],
    ids=["attention", "align", "explain"],
)
def test_who_looks_and_who_translates_in_another_thread_do_not_meet(
    model: Model, monkeypatch: pytest.MonkeyPatch, ask: Any
) -> None:
    alone, said = ask(model), model.translate([SENTENCE], max_length=9)
    decoder: Any = type(model.network.decoder)
    found: list[list[str]] = []
    forward = decoder.forward

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=lambda: found.append(model.translate([SENTENCE], max_length=9)))
            other.start()
            other.join()
        return forward(*arguments, **options)

    monkeypatch.setattr(decoder, "forward", meanwhile)
    together = ask(model)
    assert torch.equal(together, alone) if torch.is_tensor(alone) else together == alone
    assert found and all(each == said for each in found)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: model.translate("text"), "give a list"),
        (lambda model: model.translate([SENTENCE, None]), r"lines\[1\]=None is no text"),
        (lambda model: model.translate([b"wolf"]), r"lines\[0\]=b'wolf' is no text"),
        (lambda model: model.translate(None), "lines=None is no list of texts"),
        (lambda model: model.translate({"a": 1}), "lines=.* is no list of texts"),
        (lambda model: model.score(None), "pairs=None is no list of pairs"),
        (lambda model: model.align([None]), r"pairs\[0\]=None is no pair of texts"),
        (lambda model: model.attention([SENTENCE]), "source=.* is no text"),
        (lambda model: model.attention(SENTENCE, 3), "target=3 is no text"),
        (lambda model: model.explain(None), "source=None is no text"),
        (lambda model: model.explain(SENTENCE, 3), "target=3 is no text"),
        (lambda model: model.alternatives(SENTENCE, None), "prefix=None is no text"),
        (lambda model: model.translate([SENTENCE], search="bem"), "did you mean beam"),
        (lambda model: model.translate([SENTENCE], beam_sise=3), "did you mean beam_size"),
        (lambda model: model.translate([SENTENCE], beam_size="5"), "beam_size=5: expected a whole number, such as 5"),
        (lambda model: model.translate([SENTENCE], beam_size=True), "beam_size=True: expected a whole number"),
        (lambda model: model.translate([SENTENCE], early_stopping=1), "early_stopping=1: expected true or false"),
        (lambda model: model.translate([SENTENCE], max_ratio=float("inf")), "max_ratio=inf: expected a number"),
        (lambda model: model.translate([SENTENCE], length_penalty=0.5), "length_penalty=0.5: it has keys .* alpha;"),
        (lambda model: model.translate([SENTENCE], length_penalty={"alpha": "a"}), "length_penalty.alpha=a: expected"),
        (lambda model: model.translate([SENTENCE], length_penalty={"alpha": 200}), "alpha=200 must be from -10 to 10"),
        (lambda model: model.align([], links="argmax", threshold="a"), "has no key threshold"),
        (lambda model: model.translate([SENTENCE], prefix=[None]), "prefix.0.=None is no text"),
        (lambda model: model.translate([SENTENCE], constraints=[["require"]]), "constraints.0.: .* no dictionary"),
        (lambda model: model.attention(" "), "give a sentence"),
        (lambda model: model.translate(["\ud800"]), r"lines.0.='.ud800' holds half of a surrogate pair"),
        (lambda model: model.translate(b"wolf"), "lines=b'wolf' is no list of texts"),
        (lambda model: model.translate(np.array("a")), "is no list of texts"),
        (lambda model: model.score(torch.zeros(2, 2, 2)), r"pairs.0.=tensor.* is no pair of texts"),
        (lambda model: model.score([{SENTENCE, "Der"}]), "is no pair of texts"),  # a set has no order
        (lambda model: model.translate([SENTENCE], search=None), "search=None: there is no such choice"),
        (lambda model: model.translate([SENTENCE], search=["beam"]), "did you mean beam"),
        (lambda model: model.translate([SENTENCE], max_length="${x}"), "search=beam: Interpolation key 'x' not found"),
        (lambda model: model.translate([SENTENCE], _target_="os.system"), "search=beam has no key _target_"),
        (lambda model: model.translate([SENTENCE], prefix=3), "prefix=3 is no list of texts"),
        (lambda model: model.translate([SENTENCE], prefix=["\ud800"]), "prefix.0.=.* surrogate pair"),
        (lambda model: model.translate([SENTENCE], constraints=3), "constraints=3 is no list of dictionaries"),
        (lambda model: model.translate([SENTENCE], constraints=[0]), "constraints.0.: 0 is no dictionary"),
        (lambda model: model.translate([SENTENCE], constraints=[np.zeros(2)]), "constraints.0.: .* is no dictionary"),
        (lambda model: model.alternatives(SENTENCE, n="3"), "n='3': expected a whole number"),
        (lambda model: model.alternatives(SENTENCE, n=2.5), "n=2.5: expected a whole number"),
        (lambda model: model.alternatives(SENTENCE, n=True), "n=True: expected a whole number"),
        (lambda model: model.alternatives(SENTENCE, n=10**9), "n=1000000000 must be 1 to 200"),
        (lambda model: model.align([], threshold=0.3), "threshold is a key of a way from weights to links"),
        (lambda model: model.align([], links=3), "links=3: there is no such choice"),
        (lambda model: model.evaluate([("a", "b")], tokenize=["13a"]), "is no tokeniser of sacreBLEU"),
        (lambda model: model.evaluate([("a", "b")], lowercase="no"), "lowercase='no': expected True or False"),
        (lambda model: model.explain(SENTENCE, "Der", method=None), "method=None: there is no such choice"),
        (lambda model: model.explain(SENTENCE, "Der", foo=1), "method=erasure has no key foo; it has none at all"),
        (lambda model: model.explain(SENTENCE, "Der", contrast=3), "contrast=3 is no text"),
        (lambda model: model.explain(SENTENCE, "Der", contrast="die", at=1.0), "at=1.0: expected a whole number"),
        (lambda model: model.attention(SENTENCE, "Der").view(unit="piece"), "unit='piece' is not known"),
        (lambda model: model.attention(SENTENCE, "Der").plot(unit=None), "unit=None is not known"),
        (lambda model: model.export(None, "onnx"), "folder=None is no path"),
        (lambda model: model.export("a\0b", "onnx"), "folder=.* cannot be a path"),
        (lambda model: model.export("x" * 300, "onnx"), "folder=.* is too long for a path"),
        (lambda model: model.export("new", None), "format=None is not known"),
        (lambda model: model.joined(None), "joined takes models"),
        (lambda model: Model(model.checkpoint.path), r"for a file say seq2seq.load"),
        (lambda _: PACKAGE.load(None), "path=None is no path"),
        (lambda _: PACKAGE.load(""), "path is empty; give a path"),
        (lambda _: PACKAGE.compare(""), "folder is empty; give a path"),
        (lambda _: PACKAGE.load(b"best.ckpt"), "path=b'best.ckpt' is no path"),
        (lambda _: PACKAGE.load([None]), "path.0.=None is no path"),
        (lambda _: PACKAGE.load({"best.ckpt": 1}), "path=.* is no list of paths"),
        (lambda model: PACKAGE.load(model.checkpoint.path, trusted=None), "trusted=None is no list of names"),
        (lambda model: PACKAGE.load(model.checkpoint.path, trusted=[3]), "trusted.0.=3 is no text"),
        (lambda _: PACKAGE.train(["a\nb=1"]), "there is no key a"),
        (lambda _: PACKAGE.train(["--cfg", "job"]), "--cfg is an option of the command line"),
        (lambda _: PACKAGE.average(None, "new.ckpt"), "paths=None is no list of paths"),
        (lambda model: PACKAGE.average([model.checkpoint.path] * 2, None), "output=None is no path"),
        (lambda model: PACKAGE.average([model.checkpoint.path] * 2, "new", trusted="a"), "trusted='a' is one name"),
        (lambda _: PACKAGE.compare(None), "folder=None is no path"),
        (lambda _: PACKAGE.compare("outputs", samples=1.5), "samples=1.5: expected a whole number"),
        (lambda _: PACKAGE.Run(None), "folder=None is no path"),
        (lambda _: PACKAGE.Run("nowhere").metrics, "nowhere/metrics.json is not there"),
    ],
)
def test_mistake_is_said_in_one_line(model: Model, call: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        call(model)
    assert "\n" not in str(error.value)


def test_what_can_be_gone_through_once_is_a_list(model: Model, tmp_path: Path) -> None:
    said = model.translate([SENTENCE], prefix=["Der"], max_length=9)
    assert model.translate(iter([SENTENCE]), prefix=iter(["Der"]), max_length=9) == said
    asked = [{"forbid": ["Der"]}]
    assert model.translate(iter([SENTENCE]), constraints=iter(asked), max_length=9) == model.translate(
        [SENTENCE], constraints=asked, max_length=9
    )
    path = model.checkpoint.path
    assert seq2seq.load(map(Path, [path, path]), device="cpu").translate([""]) == [""]


def test_number_of_numpy_is_a_number(model: Model) -> None:
    size: Any
    for size in np.arange(1, 3):
        assert len(model.alternatives(SENTENCE, n=size, max_length=9)) == size
        assert model.translate([SENTENCE], beam_size=size) == model.translate([SENTENCE], beam_size=int(size))


def test_examples_of_the_page_run(bahdanau: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, of_the_library = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(first.replace("outputs/.../checkpoints/best.ckpt", str(bahdanau.best)), names)
    assert (tmp_path / "alignment.png").stat().st_size > 1000
    assert (tmp_path / "exported" / "model.safetensors").exists()
    exec(of_the_library, names)


def test_scores_are_those_of_the_translations(model: Model) -> None:
    own = model.translate([SENTENCE, "She opens the door ."], max_length=20)
    pairs = list(zip([SENTENCE, "She opens the door ."], own, strict=True))
    found = model.evaluate(pairs, tokenize="none", max_length=20)
    assert found.chrf == 100 and found.ter == 0 and "tok:none" in found.signatures["bleu"]
    assert model.evaluate([(SENTENCE, "x y z"), pairs[1]], max_length=20).chrf < 100
    with pytest.raises(UserError):
        model.evaluate([])


def test_export_is_that_of_the_command(model: Model, bahdanau: Any, command: Any, tmp_path: Path) -> None:
    model.export(tmp_path / "ours", "safetensors")
    said = command("export", f"checkpoint={bahdanau.best}", "format=safetensors", "output=theirs")
    assert said.status == 0, said.err
    ours, theirs = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() and ours["config.json"] == theirs["config.json"]
    weights, expected = (safetensors.torch.load(files["model.safetensors"]) for files in (ours, theirs))
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    with pytest.raises(UserError, match="is there already"):
        model.export(tmp_path / "ours", "safetensors")
    with pytest.raises(UserError, match="did you mean onnx"):
        model.export(tmp_path / "new", "onxn")


def test_average_is_that_of_the_command(model: Model, bahdanau: Any, tmp_path: Path) -> None:
    paths = bahdanau.best, bahdanau.best.replace("best.ckpt", "last.ckpt")
    seq2seq.average(paths, tmp_path / "mean.ckpt")
    means = mean_weights([read_checkpoint(path) for path in paths])
    found = seq2seq.load(tmp_path / "mean.ckpt", device="cpu").checkpoint.weights
    assert all(torch.equal(found[name], mean) for name, mean in means.items())
    with pytest.raises(UserError, match="give at least two"):
        seq2seq.average(paths[:1], tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="is one alone; give a list of at least two"):
        seq2seq.average(paths[0], tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (("ab", "cd"), "pairs[0]='ab'"),
        ([("a", "b"), ("a", "b", "0-0")], "pairs[1]=('a', 'b', '0-0')"),
        ([("a", None)], "pairs[0]=('a', None)"),
    ],
)
@pytest.mark.parametrize("ask", ["score", "align", "evaluate"])
def test_what_is_no_pair_of_texts_is_refused(model: Model, ask: str, pairs: Any, named: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"{named} is no pair of texts")):
        getattr(model, ask)(pairs)


def test_import_alone_brings_no_torch() -> None:
    code = "import sys, seq2seq; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_training_returns_its_folder_its_scores_and_its_model(
    text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = seq2seq.train([*text, *ONE_STEP[:-1], "training.test_splits=[test]"])
    assert run.folder.parent.name == "bahdanau-additive-s1" and run.metrics["steps"] == 2
    assert "test/bleu" in run.metrics
    assert run.load(device="cpu").translate([""]) == [""]
    (run.folder / "checkpoints" / "best.ckpt").unlink()  # as of a run that ended before its first validation
    assert run.load(device="cpu").checkpoint.path.endswith("last.ckpt")
    with pytest.raises(UserError, match=re.escape("checkpoints/last.ckpt")):
        seq2seq.load(run.folder)


def test_second_training_at_the_same_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other: list[BaseException] = []

    def both() -> None:
        try:
            seq2seq.train(["seed=2"])
        except UserError as error:
            other.append(error)

    def first(*_: Any, **__: Any) -> list[Path]:
        second = threading.Thread(target=both)
        second.start()
        second.join()
        return [Path("first")]

    monkeypatch.setattr("seq2seq.api_training.train_runs", first)
    for _ in range(2):  # and the next one, after it, is not
        assert seq2seq.train(["seed=1"]).folder == Path("first")
    assert len(other) == 2 and "another thread of this process is training" in str(other[0])


@pytest.mark.parametrize("several", [["--multirun", "seed=1,2"], ["variants=['seed=1','seed=2']"]], ids=str)
def test_training_of_several_runs_is_refused_before_it_begins(
    text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="one at a time"):
        seq2seq.train([*text, *several])
    with pytest.raises(UserError, match="give a list"):
        seq2seq.train("seed=1")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["modle=luong"], "there is no key modle; did you mean model?"),
        (["model=luongg"], "model=luongg does not exist; did you mean luong?"),
        (["seed=${nothing}"], "nothing"),
        (["seed"], "seed"),
        ([3], "overrides[0]=3 is no text"),
        ({"seed": 1}, "overrides={'seed': 1} is no list of texts"),
    ],
)
def test_training_that_cannot_be_is_refused_in_one_line(
    overrides: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(said)) as error:
        seq2seq.train(overrides)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs").exists()


def test_translations_begin_with_what_is_given(model: Model) -> None:
    one, other = model.translate([SENTENCE, SENTENCE], prefix=["Die Tü", ""], max_length=20)
    assert one.startswith("Die Tü") and other == model.translate([SENTENCE], max_length=20)[0]


@pytest.mark.parametrize("unit", ["words", "pieces"])
def test_alternatives_are_the_likeliest_next_units(model: Model, unit: str) -> None:
    found = model.alternatives(SENTENCE, "Der Wo", n=3, unit=unit, max_length=20)
    assert len(found) == 3 and all(one.translation.startswith("Der Wo") for one in found)
    probabilities = [one.probability for one in found]
    assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1.001
    assert len({one.text for one in found}) == 3
    for one in found:
        assert one.text.removeprefix("▁").startswith("Wo")
        if unit == "words":
            assert one.translation.split()[1] == one.text


def test_what_is_unknown_in_a_prefix_goes_on(model: Model) -> None:
    found = model.alternatives(SENTENCE, "⁇", n=3, max_length=20)
    assert len(found) == 3 and all(one.text.startswith("⁇") for one in found)
    assert all(one.translation.lstrip().startswith("⁇") for one in found)


def test_next_piece_is_as_likely_as_the_model_says(model: Model) -> None:
    network, target = model.network, model.tokenizers.target
    prefix = target.encode("Der Wolf")
    batch = collate([(model.tokenizers.source.encode(SENTENCE), prefix, 0)])
    with torch.no_grad():
        logits = network(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
    expected = logits[-1].softmax(-1)
    for one in model.alternatives(SENTENCE, "Der Wolf ", n=4, unit="pieces", max_length=20):
        piece = EOS if one.text == "" else target.pieces(range(len(target))).index(one.text)
        begins = [i for i, spelled in enumerate(target.pieces(range(len(target)))) if spelled.startswith("▁")]
        whole = expected[[*begins, EOS, UNK]].sum()
        assert one.probability == pytest.approx(float(expected[piece] / whole), rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 0}, "n=0"), ({"unit": "letters"}, "unit=letters"), ({"prefix": "Der ☃ "}, "prefix: the vocabulary")],
)
def test_alternatives_that_are_none_are_refused(model: Model, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model.alternatives(SENTENCE, **options)


def test_keys_of_what_a_search_holds_are_options(model: Model) -> None:
    found = model.translations(
        ["the wolf slept"], search="mbr", n_best=3, candidates={"beam_size": 4, "n_best": 4, "max_length": 6}
    )
    assert len(found[0]) == 3 and all(0 <= translation.score <= 100 for translation in found[0])
    with pytest.raises(UserError, match="search=mbr: Key 'size' is not in struct"):
        model.translate(["the wolf"], search="mbr", candidates={"size": 4})


def test_one_trusted_package_stands_in_a_list(bahdanau: Any) -> None:
    with pytest.raises(UserError, match=re.escape("trusted='mine' is one name; give a list: ['mine']")):
        seq2seq.load(bahdanau.best, trusted="mine")


def test_model_loaded_where_no_gradients_are_wanted_has_them(bahdanau: Any) -> None:
    with torch.inference_mode():
        made = seq2seq.load(bahdanau.best, device="cpu").explain("the cat sees a dog", method="gradient_x_input")
    assert made.from_source.isfinite().all()
