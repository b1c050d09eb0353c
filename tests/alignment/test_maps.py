"""Attention of a sentence pair with its tokens, and the archive of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.alignment.archive import load_attention, save_attention
from seq2seq.alignment.maps import AttentionMap, attention_maps
from seq2seq.alignment.sentence import Sentence

SOURCE = Sentence("dogs bark", [5, 6, 7], ["▁dog", "s", "▁bark"], ["dogs", "bark"], [0, 0, 1])
TARGET = Sentence("Hunde bellen", [8, 9], ["▁Hunde", "▁bellen"], ["Hunde", "bellen"], [0, 1])
RECORD = {
    "encoder.layers.0.self_attention.attention": torch.rand(2, 3, 6, 6).softmax(-1),
    "decoder.layers.1.self_attention.attention": torch.rand(2, 3, 5, 5).softmax(-1),
    "decoder.layers.1.cross_attention.attention": torch.rand(2, 3, 5, 6).softmax(-1),
    "decoder.attention": torch.rand(2, 1, 5, 6).softmax(-1),
}


def maps() -> dict[str, AttentionMap]:
    return {attention.name: attention for attention in attention_maps(RECORD, 1, SOURCE, TARGET)}


def test_attention_sits_where_its_name_says() -> None:
    assert [str(attention.site) for attention in maps().values()] == [
        "encoder/layer0", "decoder/layer1", "cross/layer1", "cross/layer0",
    ]  # fmt: skip


def test_rows_of_cross_attention_bear_what_they_predict_and_those_of_the_decoder_what_they_read() -> None:
    encoder, decoder, cross, _ = (attention.view("pieces") for attention in maps().values())
    assert (encoder.query_labels, encoder.key_labels) == (["▁dog", "s", "▁bark", "</s>"],) * 2
    assert (decoder.query_labels, decoder.key_labels) == (["<s>", "▁Hunde", "▁bellen"],) * 2
    assert cross.query_labels == ["▁Hunde", "▁bellen", "</s>"]
    assert cross.key_labels == ["▁dog", "s", "▁bark", "</s>"]


def test_padding_is_cut_away() -> None:
    cross = maps()["decoder.attention"]
    torch.testing.assert_close(cross.weights, RECORD["decoder.attention"][1, :, :3, :4])


def test_words_are_merged_on_both_axes() -> None:
    view = maps()["decoder.attention"].view("words")
    assert (view.query_labels, view.key_labels) == (["Hunde", "bellen", "</s>"], ["dogs", "bark", "</s>"])
    weights = RECORD["decoder.attention"][1, 0]
    assert view.weights[0, 0, 0] == pytest.approx((weights[0, 0] + weights[0, 1]).item())
    assert view.weights[0, 2, 2] == pytest.approx(weights[2, 3].item())


def test_last_words_that_normalisation_removed_have_empty_rows_and_columns() -> None:
    target = Sentence("Hunde bellen x", [8, 9], ["▁Hunde", "▁bellen"], ["Hunde", "bellen", "x"], [0, 1])
    for attention in attention_maps(RECORD, 1, SOURCE, target):
        view = attention.view("words")
        assert view.weights.shape[1:] == (len(view.query_labels), len(view.key_labels))
        assert view.nowhere.shape[1:] == (len(view.query_labels),)
        if "x" in view.query_labels:
            assert not view.weights[:, view.query_labels.index("x")].any()


def test_archive_gives_back_what_was_saved_without_pickles(tmp_path: Path) -> None:
    before = list(maps().values())
    save_attention(tmp_path / "folder" / "sentence.npz", SOURCE, TARGET, before)
    found = load_attention(tmp_path / "folder" / "sentence.npz")
    assert (found.source, found.target) == (SOURCE, TARGET)
    for one, other in zip(before, found.maps, strict=True):
        assert one.name == other.name and one.query == other.query and one.key == other.key
        torch.testing.assert_close(one.weights, other.weights)
    with np.load(tmp_path / "folder" / "sentence.npz", allow_pickle=False) as archive:
        assert archive["source_pieces"].tolist() == SOURCE.pieces
        assert archive["decoder.attention"].shape == (1, 3, 4)


def test_reading_is_what_a_view_shows_and_is_kept_in_the_archive(tmp_path: Path) -> None:
    several, single = "decoder.layers.1.cross_attention.attention", "decoder.attention"
    read = {several: torch.rand(2, 4, 5, 6).softmax(-1), single: torch.rand(2, 1, 5, 6).softmax(-1)}
    made = list(attention_maps(RECORD, 1, SOURCE, TARGET, read=read))
    save_attention(tmp_path / "sentence.npz", SOURCE, TARGET, made)
    for found in (made, load_attention(tmp_path / "sentence.npz").maps):
        by_name = {attention.name: attention for attention in found}
        torch.testing.assert_close(by_name[several].weights, RECORD[several][1, :, :3, :4])
        view = by_name[several].view("pieces")
        assert view.weights.shape == (3, 3, 4)
        torch.testing.assert_close(view.of(None)[0], read[several][1, 0, :3, :4])  # not the mean of the heads
        torch.testing.assert_close(view.of(1)[0], read[several][1, 2, :3, :4])
        torch.testing.assert_close(by_name[single].view("pieces").of(None)[0], read[single][1, 0, :3, :4])
        assert by_name["encoder.layers.0.self_attention.attention"].read is None


def test_archive_of_an_empty_translation_opens(tmp_path: Path) -> None:
    nothing = Sentence("", [], [], [], [])
    record = {"decoder.attention": torch.ones(1, 1, 1, 4) / 4}
    save_attention(tmp_path / "empty.npz", SOURCE, nothing, attention_maps(record, 0, SOURCE, nothing))
    found = load_attention(tmp_path / "empty.npz")
    assert found.target == nothing
    assert found.maps[0].view("words").query_labels == ["</s>"]
