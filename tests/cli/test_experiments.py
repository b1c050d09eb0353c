"""The recipes of papers: published sizes and rates, and twenty steps on data of the same form as the hub's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from hydra.utils import instantiate

from seq2seq.build import build_model
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from tests.cli.conftest import Said
from tests.sentences import sentences

HUB = {"iwslt14_deen": ("de", "en"), "iwslt15_envi": ("en", "vi"), "wmt14_ende": ("en", "de")}
SHARED = {"iwslt15_envi": False}
SMALL = {
    "transformer": [
        "model.d_model=16",
        "model.num_layers=2",
        *(f"{side}.d_feedforward=16" for side in ("encoder", "decoder")),
    ],
    "luong": ["model.d_model=16", "model.d_embedding=16", "encoder.d_model=32"],
}


class Vocabulary:
    """As much of a tokenizer as a model's size needs."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def model_of(experiment: str, *overrides: str, source: int, target: int | None = None) -> EncoderDecoder:
    """Return the model of an experiment, with vocabularies of these sizes, on meta; without target: one for both."""
    config = compose_defaults("train", [f"experiment={experiment}", "output=none", *overrides])
    one: Any = Vocabulary(source)
    other: Any = one if target is None else Vocabulary(target)
    with torch.device("meta"):
        return build_model(config, Tokenizers(one, other))


def count(model: EncoderDecoder) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("experiment", "vocabulary", "expected"),
    [
        ("iwslt14_deen", 10152, 36_741_120),  # of fairseq's transformer_iwslt_de_en with one dictionary
        ("wmt14_ende_big", 32768, 209_911_808),  # of its transformer_vaswani_wmt_en_de_big
        # 6 layers of 3,152,384 and 6 of 4,204,032, and the table: by hand, from section 3.
        ("wmt14_ende", 37000, 6 * 3_152_384 + 6 * 4_204_032 + 37000 * 512),
        ("multi30k_transformer_tiny", 10000, 4 * 132_480 + 4 * 198_784 + 10000 * 128),
    ],
)
def test_transformers_have_the_published_number_of_parameters(experiment: str, vocabulary: int, expected: int) -> None:
    post_norm = "encoder.norm_first=false", "decoder.norm_first=false"
    assert count(model_of(experiment, *post_norm, source=vocabulary)) == expected


@pytest.mark.parametrize(("experiment", "millions"), [("wmt14_ende", 65), ("wmt14_ende_big", 213)])
def test_transformers_of_wmt_are_as_large_as_the_papers_table_says(experiment: str, millions: int) -> None:
    assert count(model_of(experiment, source=37000)) == pytest.approx(1e6 * millions, rel=0.03)


def test_iwslt14_with_a_vocabulary_a_side_is_fairseqs_other_size() -> None:
    assert count(model_of("iwslt14_deen", "model.tie_embeddings=false", source=8848, target=6632)) == 39_469_056


def test_iwslt15_is_as_large_as_its_recipe_says() -> None:
    model = model_of("iwslt15_envi", source=17191, target=7709)
    d = 512
    embeddings = (17191 + 7709 + 7709) * d  # source, target, output
    encoder = 2 * 4 * d * (d + d + 2)  # two directions; PyTorch has two biases a gate
    decoder = 4 * d * (2 * d + d + 2) + 4 * d * (d + d + 2)  # the first layer is fed the attentional vector
    attention = 2 * d * d + (2 * d + d) * d  # the score's matrix, and W_c
    bridge = d * 2 * d + 2 * d
    assert count(model) == embeddings + encoder + decoder + attention + bridge


@pytest.mark.parametrize("experiment", [*HUB, "wmt14_ende_big"])
def test_models_run_on_meta(experiment: str) -> None:
    joint = SHARED.get(experiment, True)
    model = model_of(experiment, source=50, target=None if joint else 50)
    ids = torch.ones(2, 5, dtype=torch.int64, device="meta")
    lengths = torch.full((2,), 5, device="meta")
    logits = model(ids, ids.bool(), lengths, ids, torch.arange(10, device="meta"))
    assert (logits.shape, logits.device.type) == ((10, 50), "meta")
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("experiment", "rates"),
    [
        ("iwslt14_deen", {1: 5e-4 / 4000, 2000: 2.5e-4, 4000: 5e-4, 16000: 2.5e-4}),
        ("iwslt15_envi", {1: 22.0, 8999: 22.0, 9000: 11.0, 10000: 5.5, 11999: 2.75, 12000: 1.375}),
        ("wmt14_ende", {1: 512**-0.5 * 4000**-1.5, 4000: 6.987712e-4, 16000: 3.493856e-4, 100000: 1.397542e-4}),
        ("wmt14_ende_big", {4000: 4.941059e-4, 300000: 5.705443e-5}),
    ],
)
def test_rates_at_given_steps(experiment: str, rates: dict[int, float]) -> None:
    config = compose_defaults("train", [f"experiment={experiment}", "output=none"])
    optimizer = instantiate(config.optimizer)([torch.zeros(1, requires_grad=True)])
    scheduler = instantiate(config.scheduler)["scheduler"](optimizer)
    (factor,) = scheduler.lr_lambdas
    found = {step: scheduler.base_lrs[0] * factor(step - 1) for step in rates}
    assert found == pytest.approx(rates, rel=1e-5)


@pytest.mark.parametrize("experiment", HUB)
def test_twenty_steps_on_stand_in_data(experiment: str, tmp_path: Path, command: Callable[..., Said]) -> None:
    source, target = HUB[experiment]
    rows = [{"translation": {source: pair.source, target: pair.target}} for pair in sentences("val")[:120]]
    splits = {"train": rows[:100], "validation": rows[100:110], "test": rows[110:]}
    datasets.DatasetDict({name: datasets.Dataset.from_list(part) for name, part in splits.items()}).save_to_disk(
        tmp_path / "set"
    )
    said = command(
        "train",
        f"experiment={experiment}",
        f"data.path={tmp_path / 'set'}",
        *SMALL["luong" if experiment == "iwslt15_envi" else "transformer"],
        *("tokenizer.vocab_size=200", "loader.tokens_per_batch=200", "loader.num_workers=0", "search.max_length=5"),
        *(
            "trainer=cpu",
            "trainer.max_steps=20",
            "trainer.val_check_interval=null",
            "trainer.check_val_every_n_epoch=1",
        ),
        *("callbacks.pinned=null", "hydra.run.dir=run"),
    )
    assert said.status == 0, said.err
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 20
    assert (tmp_path / "run" / "metrics.json").exists()
