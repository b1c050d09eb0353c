import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from seq2seq.data.corpus import Corpus, GrammarCorpus, HubCorpus, Multi30kCorpus, TableCorpus, TextCorpus
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError

MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"
needs_multi30k = pytest.mark.skipif(not MULTI30K.is_dir(), reason="../shared/data/multi30k is absent")
NO_SPLIT = {"source": None, "target": None, "links": None}


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def text_corpus(folder: Path, *, links: str | None = None, transpose_links: bool = False) -> TextCorpus:
    train = {
        "source": write(folder / "train.en", "a dog", "the red car ."),
        "target": write(folder / "train.de", "ein Hund", "das rote Auto"),
        "links": write(folder / "train.links", "0-0 1-1", links) if links is not None else None,
    }
    return TextCorpus(train=train, val=train, test=NO_SPLIT, transpose_links=transpose_links)


def hub_corpus(folder: Path, rows: Sequence[Mapping[str, object]] | pa.Table, **options: Any) -> HubCorpus:
    train = datasets.Dataset(rows) if isinstance(rows, pa.Table) else datasets.Dataset.from_list(list(rows))
    datasets.DatasetDict({"train": train, "validation": train.select([0])}).save_to_disk(folder)
    given: dict[str, Any] = {
        "name": None,
        "revision": None,
        "source": "en",
        "target": "de",
        "train": "train",
        "val": "validation",
        "test": None,
    }
    return HubCorpus(path=str(folder), **{**given, **options})


def test_text_gives_lines_in_order(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    assert corpus.splits() == ["train", "val"]
    assert list(corpus.pairs("train")) == [Pair("a dog", "ein Hund"), Pair("the red car .", "das rote Auto")]


def test_text_gives_links_beside_the_lines(tmp_path: Path) -> None:
    assert [pair.links for pair in text_corpus(tmp_path, links="3p2 0-0").pairs("val")] == ["0-0 1-1", "3p2 0-0"]


def test_links_of_the_other_direction_are_transposed(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, links="2p3 0-1", transpose_links=True)
    assert [pair.links for pair in corpus.pairs("val")] == ["0-0 1-1", "3p2 1-0"]


@pytest.mark.parametrize("link", ["1:1", "1-", "-1-0", "1s1"])
def test_text_that_is_no_link_is_named(tmp_path: Path, link: str) -> None:
    with pytest.raises(UserError, match=rf"train\.links:2: '{link}' is not a link"):
        list(text_corpus(tmp_path, links=f"0-0 {link}").pairs("train"))


@pytest.mark.parametrize("link", ["4-0", "0-3"])
def test_link_past_the_last_word_is_named(tmp_path: Path, link: str) -> None:
    with pytest.raises(UserError, match=rf"train\.links:2: {link} exceeds the 4 source, 3 target words"):
        list(text_corpus(tmp_path, links=link).pairs("train"))


def test_links_of_another_length_are_named_with_the_texts(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path, links="0-0")
    write(tmp_path / "train.links", "0-0")
    with pytest.raises(UserError, match=r"train\.en has 2 lines, .*train\.links has 1 line:"):
        list(corpus.pairs("train"))


@pytest.mark.parametrize("side", ["source", "target"])
def test_split_with_one_side_is_refused(side: str) -> None:
    half = {"source": "a", "target": "a", side: None}
    with pytest.raises(UserError, match=rf"data\.val\.{side} is missing: say data\.val\.{side}=FILE"):
        TextCorpus(train=NO_SPLIT, val=half, test=NO_SPLIT)


def test_split_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no split test, only train, val"):
        text_corpus(tmp_path).pairs("test")


@pytest.mark.parametrize(("file", "text"), [("train.de", "ein Hund\ndas rote Auto!\n"), ("train.links", "0-0\n\n")])
def test_fingerprint_follows_every_file(tmp_path: Path, file: str, text: str) -> None:
    before = text_corpus(tmp_path, links="0-0").fingerprint("train")
    assert text_corpus(tmp_path, links="0-0").fingerprint("train") == before
    changed = text_corpus(tmp_path, links="0-0")
    (tmp_path / file).write_text(text)
    assert changed.fingerprint("train") != before


def test_table_takes_the_two_columns_named(tmp_path: Path) -> None:
    table = write(tmp_path / "a.tsv", "id\tGerman\tEnglish", "1\tein Hund\ta dog", "2\tNA\tnull")
    corpus = TableCorpus(train=table, val=table, test=None, source_column="English", target_column="German")
    assert corpus.splits() == ["train", "val"]
    assert list(corpus.pairs("val")) == [Pair("a dog", "ein Hund"), Pair("null", "NA")]


def test_table_without_the_column_names_those_that_exist(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "en,de", "a,b")
    corpus = TableCorpus(train=table, val=table, test=None, source_column="source", target_column="de")
    with pytest.raises(
        UserError, match=r"a\.csv:2: there is no column source: the columns are 'en', 'de' \(the first line names"
    ):
        list(corpus.pairs("train"))


def test_table_fingerprint_follows_the_columns(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "en,de", "a,b")
    columns = [("en", "de"), ("de", "en")]
    corpora = [TableCorpus(train=table, val=table, test=None, source_column=s, target_column=t) for s, t in columns]
    assert corpora[0].fingerprint("train") != corpora[1].fingerprint("train")


@pytest.mark.parametrize("nested", [False, True])
def test_hub_set_gives_columns_or_languages(tmp_path: Path, nested: bool) -> None:
    rows = [{"en": f"dog {i}", "de": f"Hund {i}"} for i in range(1009)]
    corpus = hub_corpus(tmp_path / "set", [{"id": 1, "translation": row} for row in rows] if nested else rows)
    assert list(corpus.pairs("train")) == [Pair(f"dog {i}", f"Hund {i}") for i in range(1009)]
    assert list(corpus.pairs("val")) == [Pair("dog 0", "Hund 0")]


def test_nothing_is_read_of_another_column_of_a_hub_set(tmp_path: Path) -> None:
    far = pa.array([3 * 10**7], pa.date32())  # the year 84,105, which Python cannot hold
    corpus = hub_corpus(tmp_path / "set", pa.table({"en": ["dog"], "when": far, "de": ["Hund"]}))
    assert list(corpus.pairs("train")) == [Pair("dog", "Hund")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": "dev"}, "has no split dev: say data.val=, one of train, validation"),
        ({"target": "fr"}, "split validation, row 1: there is no column fr: the columns are 'en', 'de'"),
        ({"source": "de"}, "row 1: column de holds None where text is expected"),
    ],
)
def test_mistakes_about_a_hub_set_are_named(tmp_path: Path, options: dict[str, str], message: str) -> None:
    corpus = hub_corpus(tmp_path / "set", [{"en": "dog", "de": None}, {"en": "cat", "de": "Katze"}], **options)
    with pytest.raises(UserError, match=message):
        list(corpus.pairs("val"))


def test_hub_set_that_brings_code_is_refused_and_none_of_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nimport datasets\n")
    names: dict[str, Any] = {"name": None, "revision": None, "val": None, "test": None}
    corpus = HubCorpus(path=str(folder), source="en", target="de", train="train", **names)
    with pytest.raises(UserError, match=r"data.path=.*evil needs code of its own, which is not run"):
        next(corpus.pairs("train"))
    assert not (tmp_path / "ran").exists()


def test_empty_split_of_a_hub_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = datasets.DatasetDict(validation=datasets.Dataset.from_dict({"en": [], "de": []}))
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: empty)
    corpus = HubCorpus(
        path="a/b", name="c", revision=None, source="en", target="de", train=None, val="validation", test=None
    )
    with pytest.raises(UserError, match="a/b: the split validation is empty"):
        list(corpus.pairs("val"))


def test_saved_set_with_an_empty_split_is_refused(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"en": ["dog"], "de": ["Hund"]})
    datasets.DatasetDict(train=rows, validation=rows.select([])).save_to_disk(tmp_path)
    corpus = HubCorpus(
        path=str(tmp_path), name=None, revision=None, source="en", target="de", train="train", val=None, test=None
    )
    with pytest.raises(UserError, match="one of its splits is empty"):
        list(corpus.pairs("train"))


def test_revision_of_a_hub_set_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, name: str | None, *, revision: str | None, streaming: bool) -> datasets.DatasetDict:
        return datasets.DatasetDict(train=datasets.Dataset.from_dict({"en": [f"{path} {name}"], "de": [revision]}))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = HubCorpus(
        path="a/b", name="c", revision="v2", source="en", target="de", train="train", val=None, test=None
    )
    assert [pair[:2] for pair in corpus.pairs("train")] == [("a/b c", "v2")]


@pytest.mark.parametrize("name, shown", [("c", r"data\.path=a/b data\.name=c"), (None, r"data\.path=a/b")])
def test_path_that_is_no_set_is_named(monkeypatch: pytest.MonkeyPatch, name: str | None, shown: str) -> None:
    def load_dataset(path: str, name: str | None, *, revision: str | None, streaming: bool) -> datasets.DatasetDict:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist\non the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = HubCorpus(
        path="a/b", name=name, revision=None, source="en", target="de", train="train", val=None, test=None
    )
    with pytest.raises(UserError, match=f"^{shown} cannot be loaded: Dataset 'a/b' doesn't exist on the Hub; give the"):
        list(corpus.pairs("train"))


def test_hub_fingerprint_follows_the_rows(tmp_path: Path) -> None:
    one, other = (hub_corpus(tmp_path / text, [{"en": "dog", "de": text}]) for text in ("Hund", "Katze"))
    assert one.fingerprint("train") != other.fingerprint("train")
    again = HubCorpus(
        path=one.path, name=None, revision=None, source="en", target="de", train="train", val=None, test=None
    )
    assert one.fingerprint("train") == again.fingerprint("train")


def test_grammar_gives_linked_and_tagged_pairs() -> None:
    corpus = GrammarCorpus(seed=0)
    pairs = list(corpus.pairs("val"))
    assert {"train", "val", "test", "test_long", "test_unseen"} <= set(corpus.splits())
    assert len(pairs) == 500
    assert all(pair.source and pair.target and pair.links for pair in pairs)
    assert any(pair.tags for pair in pairs)
    assert list(corpus.pairs("val")) == pairs
    assert corpus.fingerprint("val") != GrammarCorpus(seed=1).fingerprint("val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "moses"}, "data.form=moses is not known: use raw or tokenized"),
        ({"form": "tokenized", "root": None}, "data.form=tokenized needs data.root=FOLDER"),
        ({"root": "nowhere"}, "there is no folder nowhere"),
    ],
)
def test_mistakes_about_multi30k_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Multi30kCorpus(**{"root": "nowhere", "form": "raw", "source": "en", "target": "de", **options})


@needs_multi30k
@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("fr", "en")])
def test_raw_multi30k_is_whole_and_has_no_links(source: str, target: str) -> None:
    corpus = Multi30kCorpus(root=str(MULTI30K), form="raw", source=source, target=target)
    assert {split: sum(1 for _ in corpus.pairs(split)) for split in corpus.splits()} == {
        "train": 29000,
        "val": 1014,
        "test": 1000,
    }
    assert not corpus.tokenized
    assert not any(pair.links for pair in corpus.pairs("val"))


@needs_multi30k
def test_tokenized_multi30k_has_links_in_either_direction() -> None:
    there, back = (
        next(iter(Multi30kCorpus(root=str(MULTI30K), form="tokenized", source=s, target=t).pairs("test")))
        for s, t in (("en", "de"), ("de", "en"))
    )
    assert there.source == "a man in an orange hat starring at something ."
    assert there.links == "0-0 1-1 2-2 3-3 4-4 5-5 8-8 9-10 6p6 6p9 7p7"
    assert (back.source, back.target) == (there.target, there.source)
    assert back.links == "0-0 1-1 2-2 3-3 4-4 5-5 8-8 10-9 6p6 9p6 7p7"


@needs_multi30k
def test_language_that_multi30k_lacks_names_a_file_it_has() -> None:
    corpus: Corpus = Multi30kCorpus(root=str(MULTI30K), form="raw", source="en", target="cs")
    with pytest.raises(UserError, match=r"train\.cs does not exist: did you mean train\.\w\w\?"):
        list(corpus.pairs("train"))


def test_table_is_refused_by_its_name_before_its_content_is_looked_up(tmp_path: Path) -> None:
    """The cache knows a file by its content, and a copy under another name has the same."""
    for name, message in (("a.txt", "a table ends in"), ("a.csv", "there is no column en")):
        table = write(tmp_path / name, "en\tde", "a\tb")
        corpus = TableCorpus(train=table, val=table, test=None, source_column="en", target_column="de")
        with pytest.raises(UserError, match=message):
            corpus.fingerprint("train")


def test_pipe_cannot_be_trained_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    split = {"source": str(tmp_path / "pipe"), "target": write(tmp_path / "b", "b"), "links": None}
    with pytest.raises(UserError, match="pipe is a pipe or a device, but it has to be read more than once"):
        TextCorpus(train=split, val=split, test=NO_SPLIT).fingerprint("train")


@pytest.mark.parametrize("file", [["a.tsv"], {"source": "a.tsv"}, 1.5])
def test_table_that_is_no_file_is_refused_by_its_key(file: Any) -> None:
    with pytest.raises(UserError, match=r"data\.val=.*: say data\.val=FILE"):
        TableCorpus(train="a.tsv", val=file, test=None, source_column="en", target_column="de")


def test_place_of_data_may_be_called_by_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    number: Any = 2024  # as Hydra reads it
    table = TableCorpus(train=number, val=None, test=None, source_column="en", target_column="de")
    with pytest.raises(UserError, match="2024 does not exist"):
        table.fingerprint("train")
    with pytest.raises(UserError, match="there is no folder 2024"):
        Multi30kCorpus(root=number, form="raw", source="en", target="de")


def test_split_that_was_saved_without_a_name_says_what_to_save(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"en": ["dog"], "de": ["Hund"]}).save_to_disk(tmp_path / "set")
    names: dict[str, Any] = {"name": None, "revision": None, "val": None, "test": None}
    corpus = HubCorpus(path=str(tmp_path / "set"), source="en", target="de", train="train", **names)
    with pytest.raises(UserError, match=r"set is one split without a name; save a DatasetDict"):
        next(corpus.pairs("train"))


def test_hub_set_that_was_saved_in_part_is_named(tmp_path: Path) -> None:
    hub_corpus(tmp_path / "set", [{"en": "dog", "de": "Hund"}])
    (tmp_path / "set" / "dataset_dict.json").write_text("{}")
    names: dict[str, Any] = {"name": None, "revision": None, "val": None, "test": None}
    corpus = HubCorpus(path=str(tmp_path / "set"), source="en", target="de", train="train", **names)
    with pytest.raises(UserError, match=r"data\.path=.*set cannot be loaded: 'splits'"):
        next(corpus.pairs("train"))
