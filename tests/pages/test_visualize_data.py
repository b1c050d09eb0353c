"""What the page of `seq2seq visualize` is given: statistics by hand, labels by unit, the encoder once."""

import math

import pytest
import torch
from torch import Tensor

from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import Sentence
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.models.encoder_decoder import Site
from seq2seq.pages.visualize import Target, map_statistics, page_data

SOURCE = Sentence("a wolf", [4, 5, 6], ["▁a", "▁wo", "lf"], ["a", "wolf"], [0, 1, 1])
TARGET = Sentence("Wolf !", [7, 8], ["▁Wolf", "▁!"], ["Wolf", "!"], [0, 1])
AXES = {
    "cross": (TARGET.ending(), SOURCE.ending()),
    "encoder": (SOURCE.ending(), SOURCE.ending()),
    "decoder": (TARGET.beginning(), TARGET.beginning()),
}


def attention(kind: str, weights: Tensor, layer: int = 0) -> AttentionMap:
    return AttentionMap(f"{kind}.{layer}", Site(kind, layer), weights, *AXES[kind])


def random_maps(heads: int = 2) -> list[AttentionMap]:
    sizes = {kind: (len(query.pieces), len(key.pieces)) for kind, (query, key) in AXES.items()}
    return [attention(kind, torch.rand(heads, *size).softmax(-1)) for kind, size in sizes.items()]


def test_entropy_of_causal_attention_counts_visible_keys_alone() -> None:
    uniform = torch.ones(3, 3).tril()
    uniform = (uniform / uniform.sum(-1, keepdim=True)).unsqueeze(0)
    # The first row sees one key, which is no choice: 0; the others choose evenly: 1.
    assert map_statistics(attention("decoder", uniform))["normalized_entropy"] == pytest.approx([2 / 3])


def test_entropy_under_a_pattern_counts_what_a_head_sees_and_for_the_mean_what_any_does() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]])[:, None].expand(2, 3, 4)
    shown = attention("cross", weights)._replace(seen=weights > 0)
    mean = (0.5 * math.log(4) + 0.5 * math.log(2)) / math.log(3)
    assert map_statistics(shown)["normalized_entropy"] == pytest.approx([mean, 1, 1])


def test_statistics_are_of_the_mean_and_then_of_each_head() -> None:
    first, last = torch.zeros(2, 3, 4)
    first[:, 0] = 1
    last[:, 3] = 1
    found = map_statistics(attention("cross", torch.stack((first, last))))
    assert found["sink_mass"] == pytest.approx([0.5, 0, 1])  # </s> is a sink, `▁a` is none
    assert found["saturation"] == [0, 1, 1]


def test_sinks_of_decoder_self_attention_are_the_targets() -> None:
    weights = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    assert map_statistics(attention("decoder", weights))["sink_mass"] == pytest.approx([2 / 3])  # <s> and `▁!`


def test_units_have_their_labels_and_weights_that_sum_to_one() -> None:
    data = page_data(SOURCE, [Target("reference", TARGET, None, random_maps())], None, "x.ckpt")
    cross, decoder = data["targets"][0]["maps"]
    assert (cross["words"]["rows"], cross["words"]["columns"]) == (["Wolf", "!", "</s>"], ["a", "wolf", "</s>"])
    assert cross["pieces"]["columns"] == ["▁a", "▁wo", "lf", "</s>"]
    assert decoder["words"]["rows"] == decoder["words"]["columns"] == ["<s>", "Wolf", "!"]
    for unit in ("words", "pieces"):
        assert torch.tensor(cross[unit]["weights"]).sum(-1).sub(data["one"]).abs().max() <= 2  # rounding


def test_encoder_stands_in_the_data_once() -> None:
    maps = random_maps()
    targets = [Target(name, TARGET, -1.0, maps) for name in ("hypothesis-1", "hypothesis-2")]
    data = page_data(SOURCE, targets, None, "x.ckpt")
    assert [m["kind"] for m in data["encoder"]] == ["encoder"]
    assert [[m["kind"] for m in target["maps"]] for target in data["targets"]] == [["cross", "decoder"]] * 2


@pytest.mark.parametrize("head", [None, 1])
def test_alignment_is_named_by_its_place(head: int | None) -> None:
    targets = [Target("reference", TARGET, None, [*random_maps(), attention("cross", torch.rand(2, 3, 4), layer=1)])]
    data = page_data(SOURCE, targets, AlignmentChoice("cross.1", head), "runs/x.ckpt")
    assert data["alignment"] == {"kind": "cross", "layer": 1, "head": head, "reading": "output_weights"}
    assert data["checkpoint"].endswith("runs/x.ckpt")
    assert page_data(SOURCE, targets, None, "/runs/x.ckpt")["checkpoint"] == "runs/x.ckpt"
