"""What a run leaves behind: settings, scores, checkpoints, pictures, and what TensorBoard shows."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from seq2seq.alignment.archive import load_attention
from seq2seq.checkpoint import read_checkpoint

EPOCHS = 2
EVERYTHING = {"images": 0, "scalars": 0, "tensors": 0}


@pytest.fixture(scope="session", params=["bahdanau", "transformer"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def steps(run: Any) -> list[int]:
    """The step of every validation, all epochs being equally long."""
    last = run.metrics["steps"]
    return [last * epoch // EPOCHS for epoch in range(1, EPOCHS + 1)]


@pytest.fixture(scope="session")
def board(run: Any) -> EventAccumulator:
    """What TensorBoard reads from the folder."""
    return EventAccumulator(str(run.folder), size_guidance=EVERYTHING).Reload()


def test_folder_is_named_after_data_model_score_and_seed(bahdanau: Any, transformer: Any) -> None:
    assert bahdanau.folder.parts[-4:-1] == ("outputs", "text", "bahdanau-additive-s1")
    assert transformer.folder.parts[-4:-1] == ("outputs", "text", "transformer-scaled_dot-s1")


def test_configuration_is_plain_and_resolved(run: Any) -> None:
    text = (run.folder / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert "${" not in text and "???" not in text
    assert config["encoder"]["d_model"] == config["model"]["d_model"] == 16
    assert config["output"] == str(run.folder)
    assert config == read_checkpoint(run.best).config


def test_metrics_are_flat_numbers_on_their_scales(run: Any) -> None:
    metrics = run.metrics
    assert all(isinstance(value, int | float) for value in metrics.values())
    for split in ("val", "test"):
        assert 0 <= metrics[f"{split}/bleu"] <= 100 and 0 <= metrics[f"{split}/chrf"] <= 100
        assert 0 <= metrics[f"{split}/aer"] <= 1
        assert metrics[f"{split}/perplexity"] < 500  # about as many as pieces: a model that has learned nothing
    assert metrics["train/target_tokens_per_second"] > 0
    assert (metrics["seed"], metrics["epochs"]) == (1, EPOCHS) and metrics["steps"] > EPOCHS


def test_parameters_are_counted_once_where_tables_are_tied(run: Any) -> None:
    weights = torch.load(run.best, weights_only=True)["state_dict"]
    shared = {tensor.data_ptr(): tensor.numel() for name, tensor in weights.items() if name.startswith("model.")}
    assert run.metrics["parameters"] == sum(shared.values())


def test_checkpoints_are_the_last_and_the_best(run: Any) -> None:
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    ]
    last = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == run.metrics["steps"]


def test_no_file_name_holds_an_equals_sign(run: Any) -> None:
    assert [path for path in run.folder.rglob("*") if "=" in path.name] == []


ALIGNMENTS = {f"cross/sentence-{number}" for number in range(1, 5)}
EVERY_HEAD = {
    "bahdanau": set(),  # its one attention is the alignment
    "transformer": {"heads", *(f"{kind}/layer{layer}" for kind in ("cross", "encoder", "decoder") for layer in (0, 1))},
}


def pictures(run: Any) -> set[str]:
    return ALIGNMENTS | EVERY_HEAD[run.config.run_name.partition("-")[0]]


def test_pictures_of_alignments_and_every_head_are_kept_from_every_validation(run: Any, steps: list[int]) -> None:
    names = {path.name for path in (run.folder / "alignments").glob("*.png")}
    assert names == {f"{name.replace('/', '-')}-step-{step:06}.png" for name in pictures(run) for step in steps}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (run.folder / "alignments").glob("*.png"))


def test_board_shows_each_picture_at_every_validation(run: Any, board: EventAccumulator, steps: list[int]) -> None:
    tags = board.Tags()["images"]
    assert set(tags) == {name if name == "heads" else f"alignment/{name}" for name in pictures(run)}
    for tag in tags:
        shown = board.Images(tag)
        assert [picture.step for picture in shown] == steps
        assert all(a.encoded_image_string != b.encoded_image_string for a, b in pairwise(shown))
        assert all(min(picture.width, picture.height) > 120 for picture in shown)


def test_attention_of_pinned_sentences_is_kept_as_arrays(run: Any, text_folder: Path) -> None:
    line = (text_folder / "val.source").read_text().splitlines()[0]
    saved = load_attention(run.folder / "alignments" / "sentence-1.npz")
    assert saved.source.text == line
    assert {str(attention.site) for attention in saved.maps} >= {"cross/layer0"}
    for attention in saved.maps:
        torch.testing.assert_close(attention.weights.sum(-1), torch.ones(attention.weights.shape[:-1]))


def test_sentences_and_heads_are_kept_for_a_comparison(run: Any, text_folder: Path) -> None:
    lines = [json.loads(line) for line in (run.folder / "sentences-test.jsonl").read_text().splitlines()]
    assert [line["source"] for line in lines] == (text_folder / "test.source").read_text().splitlines()
    counts = [sum(line[name] for line in lines) for name in ("sure", "links", "sure_hits", "possible_hits")]
    sure, links, sure_hits, possible_hits = counts
    assert run.metrics["test/aer"] == pytest.approx(1 - (sure_hits + possible_hits) / (links + sure))
    heads = json.loads((run.folder / "heads.json").read_text())["val"]
    best = min(row["aer"] for row in heads if "aer" in row)
    assert run.metrics["val/aer"] == pytest.approx(best)
    assert run.metrics["train/peak_memory_mib"] > 50
    assert run.metrics["test/sentences_per_second"] > 0


def test_board_shows_the_curves(board: EventAccumulator) -> None:
    tags = set(board.Tags()["scalars"])
    training = {"loss", "perplexity", "gradient_norm", "target_tokens_per_second", "padding_share", "waiting_share"}
    training.add("flops_utilization")
    validation = {"loss", "perplexity", "token_accuracy", "bleu", "chrf", "aer", "entropy", "sink_mass", "nowhere"}
    assert {f"train/{name}" for name in training} | {f"val/{name}" for name in validation} <= tags
    assert any(tag.startswith("lr") for tag in tags)


def test_curves_have_a_point_a_validation_and_one_each_few_steps(board: EventAccumulator, steps: list[int]) -> None:
    for name in ("loss", "perplexity", "bleu", "aer"):
        seen = [event.step for event in board.Scalars(f"val/{name}")]
        assert len(seen) >= EPOCHS and min(seen) > 0
    losses = board.Scalars("train/loss")
    assert len(losses) == steps[-1] // 2
    assert losses[-1].value < losses[0].value
    assert all(event.value > 0 for event in board.Scalars("train/gradient_norm"))
    assert all(0 <= event.value < 1 for event in board.Scalars("train/padding_share"))


def test_board_groups_the_main_curves_and_every_curve_is_there(board: EventAccumulator) -> None:
    content = board.summary_metadata["custom_scalars__config__"]
    assert content.plugin_data.plugin_name == "custom_scalars"
    layout = Layout.FromString(board.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == ["translation", "alignment", "training"]
    tags = {tag for category in layout.category for chart in category.chart for tag in chart.multiline.tag}
    assert tags <= set(board.Tags()["scalars"])


def test_board_shows_what_each_layer_does(run: Any, board: EventAccumulator) -> None:
    places = {name for name in pictures(run) if "layer" in name} or {"cross/layer0"}
    statistics = ("entropy", "saturation", "sink_mass", "nowhere")
    assert {f"attention/{name}/{place}" for name in statistics for place in places} <= set(board.Tags()["scalars"])


def test_scores_of_the_run_are_those_of_its_best_validation(run: Any, board: EventAccumulator) -> None:
    best = max(board.Scalars("val/bleu"), key=lambda event: event.value)
    for name in ("loss", "bleu", "chrf", "aer", "entropy"):
        seen = {event.step: event.value for event in board.Scalars(f"val/{name}")}
        assert run.metrics[f"val/{name}"] == pytest.approx(seen[best.step], rel=1e-4)


def test_board_shows_source_reference_and_hypothesis_as_text(
    board: EventAccumulator, text_folder: Path, steps: list[int]
) -> None:
    for number, line in enumerate((text_folder / "val.source").read_text().splitlines()[:4], 1):
        events = board.Tensors(f"translation/sentence-{number}/text_summary")
        assert [event.step for event in events] == steps
        text = events[-1].tensor_proto.string_val[0].decode()
        assert line in text
        assert [word for word in ("source", "reference", "hypothesis") if word not in text] == []


def test_board_has_hyperparameters_with_metrics(run: Any) -> None:
    """The tab is empty for a session that has no metric."""
    found: dict[str, Any] = {}
    scalars: set[str] = set()
    for file in run.folder.glob("events.out.tfevents.*"):
        board = EventAccumulator(str(file), size_guidance=EVERYTHING).Reload()
        content = board.summary_metadata.get(SESSION_START_INFO_TAG)
        if content is not None:
            data = HParamsPluginData.FromString(content.plugin_data.content)
            found |= {name: value for name, value in data.session_start_info.hparams.items()}
            scalars |= set(board.Tags()["scalars"])
    assert found["seed"].number_value == 1
    assert found["model.d_model"].number_value == 16
    assert {"score._target_", "normalizer._target_", "cross_pattern._target_"} <= set(found)
    assert not [name for name in found if "_partial_" in name]
    assert {"val/bleu", "val/aer", "test/bleu"} <= scalars


def test_transformer_reports_the_error_rate_of_each_layer(transformer: Any) -> None:
    layers = {name: value for name, value in transformer.metrics.items() if name.startswith("val/aer_by_layer/")}
    assert len(layers) == 2
    assert read_checkpoint(transformer.best).alignment is not None
