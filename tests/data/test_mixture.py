"""Several corpora as one: what share of an epoch each has, its tag, and what is refused before anything is made."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from seq2seq.build_mixture import make_corpus
from seq2seq.data import streaming as stretches
from seq2seq.data.corpus import TextCorpus
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.noise import Noise
from seq2seq.data.units import WordConfig
from seq2seq.errors import UserError
from tests.data.test_datamodule import trainer

SIZES = {"large": 100, "small": 30}
Made = Callable[..., TranslationDataModule]


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Two corpora; the first word of each of their sentences is the name."""
    found = {}
    for name, size in SIZES.items():
        found[name] = {"_target_": "seq2seq.data.corpus.TextCorpus", "test": {}}
        for split in ("train", "val"):
            files = {side: str(tmp_path / f"{name}.{split}.{side}") for side in ("source", "target")}
            for file in files.values():
                Path(file).write_text("".join(f"{name} the dog {i}\n" for i in range(size)))
            found[name][split] = files
    return found


def mixture(parts: dict[str, dict[str, Any]], **options: Any) -> Any:
    base = {"_target_": "seq2seq.data.mixture.MixtureCorpus", "temperature": None, "streaming": False}
    return OmegaConf.create({**base, "corpora": parts, **options})


@pytest.fixture
def made(parts: dict[str, dict[str, Any]], tmp_path: Path) -> Made:
    def make(options: dict[str, Any] | None = None, **of_parts: dict[str, Any]) -> TranslationDataModule:
        given = {name: {**part, **of_parts.get(name, {})} for name, part in parts.items()}
        noise = (options or {}).pop("noise", None)
        data = TranslationDataModule(
            corpus=make_corpus(mixture(given, **(options or {}))),
            tokenizer=WordConfig(min_count=1, vocab_size=1000, joint=True, normalization="nfc"),
            loader=LoaderConfig(
                tokens_per_batch=97, eval_tokens_per_batch=97, max_length=20, max_ratio=4.0,
                cache_dir=str(tmp_path / "cache"),
            ),
            seed=1,
            noise=noise,
        )  # fmt: skip
        data.prepare_data()
        data.setup()
        return data

    return make


def sources(data: TranslationDataModule, number: int, **place: int) -> list[list[str]]:
    """The sources of an epoch as pieces, without the end and padding."""
    data.trainer = trainer(current_epoch=number, global_rank=0, world_size=1, **place)
    pieces = data.tokenizers.source.pieces
    return [
        pieces(row[: length - 1])
        for batch in data.train_dataloader()
        for row, length in zip(batch.source, batch.source_lengths.tolist(), strict=True)
    ]


def shares(data: TranslationDataModule, number: int = 0) -> Counter[str]:
    return Counter(next(piece for piece in row if piece in ("▁large", "▁small")) for row in sources(data, number))


def test_without_weights_each_pair_comes_once(made: Made) -> None:
    assert shares(made()) == {"▁large": 100, "▁small": 30}


def test_weights_say_how_many_come_of_each(made: Made) -> None:
    data = made(large={"weight": 1}, small={"weight": 3})
    assert shares(data) == {"▁large": 32, "▁small": 98}
    rows = Counter(map(tuple, sources(data, 0)))
    assert {rows[row] for row in rows if row[0] == "▁small"} == {3, 4}  # as evenly as can be
    assert sources(data, 0) == sources(data, 0) != sources(data, 1)


def test_epochs_go_on_where_the_one_before_has_ended(made: Made) -> None:
    data = made(large={"weight": 1}, small={"weight": 3})
    seen = Counter(tuple(row) for n in range(3) for row in sources(data, n) if row[0] == "▁large")
    assert set(seen.values()) == {1} and len(seen) == 96


def test_temperature_raises_the_share_of_the_small(made: Made) -> None:
    assert shares(made({"temperature": 1})) == {"▁large": 100, "▁small": 30}
    assert shares(made({"temperature": 5})) == {"▁large": 73, "▁small": 57}


def test_tag_stands_before_the_sources_of_its_corpus_in_training_and_validation(made: Made) -> None:
    data = made(large={"tag": "2de"}, small={"tag": None})
    firsts = Counter((row[0], row[-3]) for row in sources(data, 0))
    assert {first for first, _ in firsts} == {"<2de>", "▁small"}
    rows = data.dataset("val")
    names = data.tokenizers.source.pieces([ids[0] for ids in rows["source_ids"]])
    assert names == ["<2de>"] * 100 + ["▁small"] * 30
    assert (rows["corpus"][0], rows["tag"][0], rows["corpus"][-1], rows["tag"][-1]) == ("large", "2de", "small", "")


def test_pair_that_comes_twice_is_varied_twice(made: Made) -> None:
    data = made({"noise": Noise(mask=0.5)}, large={"weight": 1}, small={"weight": 9})
    assert sources(data, 0) == sources(data, 0) != sources(data, 1)
    assert len({tuple(row) for row in sources(data, 0)}) > 30


@pytest.mark.parametrize("options", [{}, {"noise": Noise(drop=0.2)}])
def test_batches_after_a_stop_are_those_that_would_have_come(made: Made, options: dict[str, Any]) -> None:
    def fresh() -> TranslationDataModule:
        data = made(dict(options), large={"weight": 1}, small={"weight": 2})
        data.trainer = trainer(current_epoch=1, global_rank=0, world_size=1)
        return data

    data, whole = fresh(), [batch.source.tolist() for batch in fresh().train_dataloader()]
    for batch, _ in zip(data.train_dataloader(), range(3), strict=False):
        data.took(batch)
    resumed = fresh()
    resumed.load_state_dict(data.state_dict())
    assert [batch.source.tolist() for batch in resumed.train_dataloader()] == whole[3:]


def test_stream_has_all_corpora_side_by_side_until_each_was_read(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "STRETCH", 33)
    data = made({"streaming": True}, large={"weight": 2, "tag": "2de"}, small={"weight": 1})
    found = shares(data)
    assert found["▁large"] == 100 and abs(found["▁small"] - 50) <= 1
    first = sources(data, 0)[:33]
    assert Counter(row[0] for row in first) == {"<2de>": 22, "▁small": 11}
    assert sources(data, 0) == sources(data, 0)


@pytest.mark.parametrize(("of_part", "options", "said"), [
        ({"weight": 0}, {}, r"data\.corpora\.small\.weight=0 must be a number above 0"),
        ({"weight": -1}, {}, r"data\.corpora\.small\.weight=-1 must be"),
        ({"weight": "much"}, {}, r"data\.corpora\.small\.weight=much must be"),
        ({"weight": float("inf")}, {}, r"data\.corpora\.small\.weight=inf must be"),
        ({"weight": 1e308}, {}, r"data\.corpora\.small\.weight=1e\+308 must be .* at most 1,000,000,000"),
        ({"weight": 10**400}, {}, r"data\.corpora\.small\.weight=10+ must be"),
        ({"weight": 1e-300}, {}, r"data\.corpora\.small\.weight=1e-300 must be"),
        ({"weight": 2}, {}, r"data\.corpora\.large has no weight, and others have one"),
        ({"weight": 2}, {"temperature": 5}, r"data\.corpora\.small\.weight and data\.temperature: say one"),
        ({}, {"temperature": 0.5}, r"data\.temperature=0\.5 must be 1 \(each pair once\) or above"),
        ({}, {"streaming": True}, r"data\.corpora\.large has no weight, and nobody knows how many pairs a stream has"),
        ({}, {"temperature": 5, "streaming": True}, r"data\.temperature needs to know how many pairs"),
        ({"streaming": True}, {}, r"data\.corpora\.small\.streaming=true: a mixture reads all its corpora in one way"),
        ({"tag": "a b"}, {}, r"data\.corpora\.small: tag=a b is no name of a tag"),
        ({"train": {}}, {}, r"data\.corpora\.small has no training pairs"),
        ({"train": {"source": "x"}}, {}, r"^data\.corpora\.small\.train\.target is missing: say data\.corpora\.small"),
    ],
)  # fmt: skip
def test_what_cannot_be_mixed_is_refused_by_its_key(
    made: Made, of_part: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        made(options, small=of_part)


def test_empty_corpus_is_refused_before_anything_is_made(
    made: Made, parts: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in parts["small"]["val"].values():
        Path(file).write_text("")
    with pytest.raises(UserError, match=r"small\.val\.target: empty, there must be at least one line"):
        made()
    monkeypatch.setattr(TextCorpus, "_pairs", lambda corpus, split: iter(()))
    with pytest.raises(UserError, match=r"data\.corpora\.large is empty: its train split has no pair"):
        made()
    assert not (tmp_path / "cache").exists()


def test_no_corpus_at_all_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.corpora is empty: name at least one"):
        make_corpus(mixture({}))
    with pytest.raises(UserError, match=r"data\.corpora\.a is no corpus; first say which kind it is"):
        make_corpus(mixture({"a": {"weight": 1}}))
