"""`data=mixture` from the command line: training by corpus, and what is done with a model that knows tags."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seq2seq
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.units import ByteConfig, tokenizer_of
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults
from tests.checkpoints import write_random
from tests.cli.conftest import ONE_STEP, TINY, Run, Said, _command

Command = Callable[..., Said]
SMALL = [override for override in TINY if override != "data=text"]


def parts(text_folder: Path) -> list[str]:
    """Two corpora of the tiny text, the second without links."""
    given = ["data=mixture", "data.corpora.de=text", "data.corpora.news=text"]
    for name, kinds in {"de": ("source", "target", "links"), "news": ("source", "target")}.items():
        for split in ("train", "val"):
            given += [f"data.corpora.{name}.{split}.{kind}={text_folder / f'{split}.{kind}'}" for kind in kinds]
    return [*given, "data.corpora.de.tag=2de", "data.corpora.news.tag=<news>"]


@pytest.fixture(scope="module")
def mixed(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on both; tests only read it."""
    folder = tmp_path_factory.mktemp("mixed")
    cache = f"loader.cache_dir={folder / 'cache'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HYDRA_FULL_ERROR", raising=False)
        few = [override for override in ONE_STEP if "limit_val" not in override]
        said = _command("train", *SMALL, *few, *parts(text_folder), cache, "hydra.run.dir=run", folder=folder)
    assert said.status == 0, said.err
    assert "de                      loss" in said.out and "news                    loss" in said.out
    assert " tag=2de 'source=" in said.out
    return Run(folder / "run")


def test_validation_is_by_corpus_and_links_count_where_there_are_some(mixed: Run) -> None:
    metrics = mixed.metrics
    for metric in ("loss", "bleu", "chrf"):
        assert {f"val/{metric}_by_corpus/{name}" for name in ("de", "news")} <= metrics.keys()
    assert metrics["val/aer_by_corpus/de"] == pytest.approx(metrics["val/aer"])
    assert "val/aer_by_corpus/news" not in metrics
    assert metrics["val/loss"] == pytest.approx(
        (metrics["val/loss_by_corpus/de"] + metrics["val/loss_by_corpus/news"]) / 2  # the same text twice
    , rel=0.2)  # fmt: skip


def test_pictures_label_the_tag_beside_the_words(mixed: Run) -> None:
    with np.load(mixed.folder / "alignments" / "sentence-1.npz") as archive:
        assert archive["source_pieces"][0] == "<2de>" and archive["source_word_of_piece"][0] == -1
    model = seq2seq.load(mixed.best, tag="2de")
    seen = model.attention("The wolf slept .", "Der Wolf schlief .")
    assert seen.view().key_labels == ["The", "wolf", "slept", ".", "<2de>", "</s>"]
    assert seen.view(unit="pieces").key_labels[0] == "<2de>"
    assert all(source < 4 for links in model.align([("The wolf slept .", "Der Wolf .")]) for source, _ in links)


def test_tag_is_given_for_all_lines_or_line_by_line(command: Command, mixed: Run, tmp_path: Path) -> None:
    text, options = b"The wolf slept .\n\n<news> The dog .\n", ["search=greedy", "search.max_length=9"]
    said = {
        tag: command("translate", f"checkpoint={mixed.best}", f"tag={tag}", *options, stdin=text)
        for tag in ("2de", "<news>")
    }
    assert [found.status for found in said.values()] == [0, 0]
    (tmp_path / "tags").write_text("2de\nnews\n<news>\n")
    mixed_lines = command("translate", f"checkpoint={mixed.best}", "tags=tags", *options, stdin=text)
    one, other = said["2de"].out.split("\n"), said["<news>"].out.split("\n")
    assert mixed_lines.out.split("\n") == [one[0], "", other[2], ""]


@pytest.mark.parametrize(("given", "said"), [
        ([], "was trained with a tag before every source; say which: tag=..., of 2de, news"),
        (["tag=2fr"], "tag=2fr is not known to the model: it knows 2de, news"),
        (["tag=2de", "tags=tags"], "give one tag for all lines, or one for each line"),
        (["tags=tags"], "tags:2: tag=xy is not known"),
        (["tags=short"], "stdin has more lines than there are tags, 1; give one a line"),
        (["tags=blank"], "blank:1: "),
    ],
)  # fmt: skip
def test_tag_that_cannot_be_is_refused_in_one_line(
    command: Command, mixed: Run, tmp_path: Path, given: list[str], said: str
) -> None:
    for name, content in {"tags": "2de\nxy\n", "short": "2de\n", "blank": "\n2de\n"}.items():
        (tmp_path / name).write_text(content)
    found = command("translate", f"checkpoint={mixed.best}", *given, stdin=b"a\nb\n")
    assert found.status and said in found.err and len(found.err.splitlines()) == 1 and found.out == ""


@pytest.mark.parametrize("name", ["align", "score", "visualize", "explain", "evaluate"])
def test_every_command_asks_for_the_tag(command: Command, mixed: Run, text_folder: Path, name: str) -> None:
    files = {side: str(text_folder / f"val.{side}") for side in ("source", "target")}
    given = {
        "visualize": ["source=a dog"],
        "explain": ["source=a dog"],
        "evaluate": ["data=text", *(f"data.test.{side}={file}" for side, file in files.items())],
    }.get(name, [f"{side}={file}" for side, file in files.items()])
    found = command(name, f"checkpoint={mixed.best}", *given)
    assert found.status and "say which: tag=..., of 2de, news" in found.err
    if name in ("align", "score"):
        found = command(name, f"checkpoint={mixed.best}", "tag=news", *given)
        assert found.status == 0 and len(found.out.splitlines()) == 10


@pytest.fixture(scope="module")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Transformer to which a tag matters."""
    train = ByteConfig(vocab_size=260, joint=True, normalization="nfc").train
    made = tokenizer_of(train([])).with_tags(["2de", "news"])
    small = ["tokenizer=byte", "model=transformer", "model.d_model=16", "model.num_layers=1", "model.output_bias=true"]
    choice = AlignmentChoice("decoder.layers.0.cross_attention.attention", 1)
    corpora = {"de": {"tag": "2de"}, "news": {"tag": "news"}}
    file = tmp_path_factory.mktemp("sharp") / "a.ckpt"
    return write_random(file, Tokenizers(made, made), *small, alignment=choice, corpora=corpora)


@pytest.mark.parametrize("name", ["align", "score", "evaluate"])
def test_tags_of_the_lines_are_those_that_one_for_all_would_be(
    command: Command, sharp: Path, text_folder: Path, tmp_path: Path, name: str
) -> None:
    files = {side: str(text_folder / f"val.{side}") for side in ("source", "target")}
    given = [f"{side}={file}" for side, file in files.items()] + (["links=argmax"] if name == "align" else [])
    if name == "evaluate":
        given = ["data=text", "split=val", "output=scores", "search=greedy", "search.max_length=9"]
        given += [f"data.val.{side}={file}" for side, file in files.items()]

    def said(*tags: str) -> list[str]:
        found = command(name, f"checkpoint={sharp}", *given, *tags)
        assert found.status == 0, found.err
        whole = tmp_path / "scores" / "translations-val.txt"
        return (whole.read_text() if name == "evaluate" else found.out).splitlines()

    (tmp_path / "tags").write_text("2de\n<news>\n" * 5)
    one, other, mix = said("tag=2de"), said("tag=news"), said("tags=tags")
    assert len(mix) == 10 and mix == [(one, other)[i % 2][i] for i in range(10)] and one != other
    for lines, says in (("2de\n" * 9, "9"), ("2de\n" * 11, "11"), ("2de\n\n", "2: "), ("2de\nxy\n", "2: tag=xy is")):
        (tmp_path / "tags").write_text(lines)
        found = command(name, f"checkpoint={sharp}", *given, "tags=tags", "output=new")
        assert found.status == 1 and says in found.err and found.err.count("\n") == 1 and "tags" in found.err
        assert not (tmp_path / "new").exists()


def test_other_direction_has_tags_of_its_own(
    command: Command, sharp: Path, bahdanau: Run, text_folder: Path, tmp_path: Path
) -> None:
    files = [f"{side}={text_folder / f'val.{side}'}" for side in ("source", "target")]
    (tmp_path / "tags").write_text("2de\n<news>\n" * 5)
    back = ["reverse_tag=2de", "reverse_tag=news", "reverse_tags=tags"]
    one, other, mix = (
        command(
            "align",
            f"checkpoint={bahdanau.best}",
            f"reverse={sharp}",
            *files,
            "symmetrize=reverse",
            "links=argmax",
            tag,
        )
        for tag in back
    )
    assert mix.status == 0, mix.err
    both = one.out.splitlines(), other.out.splitlines()
    assert both[0] != both[1]
    assert mix.out.splitlines() == [both[i % 2][i] for i in range(10)]
    found = command("align", f"checkpoint={bahdanau.best}", f"reverse={sharp}", *files, *back[1:])
    assert "reverse_tag=news and reverse_tags=tags: give one tag for all lines" in found.err


@pytest.mark.parametrize("name", ["heads", "trust", "prune"])
def test_what_is_measured_on_other_data_asks_for_the_tag(
    command: Command, sharp: Path, text_folder: Path, name: str
) -> None:
    given = ["data=text", "split=val", "sentences=4", f"output={'a.ckpt' if name == 'prune' else 'found'}"]
    given += [f"data.val.{side}={text_folder / f'val.{side}'}" for side in ("source", "target")]
    given += {"prune": ["heads=4"], "trust": ["methods=[attention]"], "heads": ["search.max_length=5"]}[name]
    found = command(name, f"checkpoint={sharp}", *given)
    assert found.status == 1 and "say which: tag=..., of 2de, news" in found.err
    found = command(name, f"checkpoint={sharp}", *given, "tag=news")
    assert found.status == 0, found.err


def test_data_with_tags_of_their_own_take_no_other(command: Command, mixed: Run, tmp_path: Path) -> None:
    (tmp_path / "tags").write_text("2de\n")
    for given in ("tag=2de", "tags=tags"):
        found = command("evaluate", f"checkpoint={mixed.best}", "split=val", given)
        assert found.status and f"{given}: the data have tags of their own (2de, news); leave it out" in found.err


def test_model_in_python_has_a_tag_that_can_be_changed(mixed: Run) -> None:
    with pytest.raises(UserError, match="say which: tag=..., of 2de, news"):
        seq2seq.load(mixed.best)
    model = seq2seq.load(mixed.best, tag="2de")
    assert model.tags == ["2de", "news"]
    assert model.tagged("news").tokenizers.source.tag == "news" and model.tokenizers.source.tag == "2de"
    with pytest.raises(UserError, match="say which"):
        model.tagged(None)


def test_kind_of_a_corpus_may_stand_behind_its_keys() -> None:
    keys, kinds = ["data.corpora.de.weight=2", "data.corpora.de.form=raw"], ["data.corpora.de=multi30k"]
    (first,), (last,) = expand(["data=mixture", *kinds, *keys]), expand(["data=mixture", *keys, *kinds])
    assert compose_defaults("train", first) == compose_defaults("train", last)


@pytest.mark.parametrize(("given", "said"), [
        (["data.corpora.de.weight=0", "data.corpora.news.weight=1"], "data.corpora.de.weight=0: expected above 0"),
        (["data.corpora.de.weight=2"], "data.corpora.news has no weight, and others have one"),
        (["data.corpora.new=texts"], "data.corpora.new=texts: there is no such kind of corpus; did you mean text?"),
        (["data.corpora.ä=text"], "data.corpora.ä: call a corpus by letters of English, digits, - and _"),
        (["+data.corpora.de.foo=1"], "data.corpora.de.foo is no option of TextCorpus; leave it out"),
        (["data.corpora.de.train=null"], "data.corpora.de has no training pairs"),
        (["data.corpora.de.train=FILE"], "data.corpora.de.train=FILE: say data.corpora.de.train.source=FILE"),
        (["data.streaming=true"], "data.corpora.de has no weight, and nobody knows"),
        (["data.corpora.de.tag=a b"], "data.corpora.de: tag=a b is no name of a tag"),
        (["noise.drop=1"], "noise.drop=1 must be a share of the words"),
        (["noise.typo=0.1", "training.guided_alignment.weight=0.1"], "which noise changes"),
    ],
)  # fmt: skip
def test_training_that_cannot_be_is_refused_before_anything_is_made(
    command: Command, text_folder: Path, tmp_path: Path, given: list[str], said: str
) -> None:
    found = command("train", *SMALL, *parts(text_folder), *given, "hydra.run.dir=run", "loader.cache_dir=cache")
    assert found.status and said in found.err and len(found.err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_models_with_tags_are_served_beside_those_without(
    command: Command, mixed: Run, bahdanau: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = pytest.importorskip("seq2seq.serving.server", reason="install seq2seq[serve] to test the server")
    served = []
    monkeypatch.setattr(server.Server, "run", lambda self, sockets: served.append(self.service))
    said = command("serve", f"checkpoint=[{bahdanau.best},{mixed.best}]", "tag=2de", "port=0")
    assert said.status == 0, said.err
    (service,) = served
    service.batcher.stop()
    assert [model.model.tokenizers.source.tag for model in service.models] == ["", "2de"]
    said = command("serve", f"checkpoint={bahdanau.best}", "tag=2de", "port=0")
    assert said.status == 1 and "it was trained without tags" in said.err
