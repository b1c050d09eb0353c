"""Configurations become objects; what does not fit, or is not ours, is refused in one line."""

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seq2seq.build import MODEL_KEYS, bleu_options, build_model, find_device, load_model, tokenizers_of
from seq2seq.build_training import build_trainer
from seq2seq.checkpoint import Checkpoint
from seq2seq.config_files import config_folder
from seq2seq.data.batching import collate
from seq2seq.data.corpus import Corpus
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults

SMALL = ["model.d_model=12", "model.d_embedding=12", "model.num_layers=1"]
CONFIGS = config_folder()
MODELS, SCORES = (sorted(path.stem for path in (CONFIGS / group).glob("*.yaml")) for group in ("model", "score"))


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    """Two vocabularies of one size."""
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=29,
        joint=False,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=1000,
    )
    texts = (["the dog saw the garden", "dogs see gardens"], ["der hund sah den garten", "hunde sehen"])
    return Tokenizers(*(Tokenizer(train_tokenizer(text, config)) for text in texts))


@pytest.fixture(scope="module")
def joint(tokenizers: Tokenizers) -> Tokenizers:
    return Tokenizers(tokenizers.source, tokenizers.source)


@cache
def compose(*overrides: str) -> DictConfig:
    """Return a configuration that tests share: composing takes longer than building."""
    return compose_defaults("train", list(overrides))


def make_checkpoint(tokenizers: Tokenizers, *overrides: str) -> Checkpoint:
    """Return the checkpoint of an untrained model, as one of a run."""
    config = compose(*SMALL, *overrides)
    protos = [tokenizer.model_proto for tokenizer in dict.fromkeys(tokenizers)]
    plain: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, list(MODEL_KEYS)), resolve=True)
    return Checkpoint(plain, protos, None, dict(build_model(config, tokenizers).state_dict()), "runs/best.ckpt")


def arguments() -> list[torch.Tensor]:
    batch = collate([([4, 5, 6], [7, 8], 0), ([9], [10], 1)])
    return [batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices]


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# A decoder that asks needs a score; the bottleneck takes any, and asks none.
@pytest.mark.parametrize("score", [*SCORES, None], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_with_every_score_trains(joint: Tokenizers, model: str, score: str | None) -> None:
    config: Any = compose(f"model={model}", *SMALL)
    if score is not None:
        config = OmegaConf.merge(config, {"score": None})
        config.score = OmegaConf.load(CONFIGS / "score" / f"{score}.yaml")
    if (score == "none" and model != "bottleneck") or (score == "coverage" and model == "transformer"):
        with torch.device("meta"), pytest.raises(UserError) as error:
            build_model(config, joint)
        assert "score" in one_line(error) or "Coverage" in one_line(error)
        return
    built = build_model(config, joint)
    logits = built(*arguments())
    assert logits.shape == (5, 29)
    logits.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters())
    assert built.output.weight.grad is not None


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "entmax15"])
def test_normalizer_of_the_configuration_is_the_models(joint: Tokenizers, normalizer: str) -> None:
    built = build_model(compose(*SMALL, f"normalizer={normalizer}"), joint)
    found = type(built.get_submodule("decoder.attention.normalizer")).__name__
    assert found.lower() == normalizer


def test_attention_makes_no_plan_for_each_shape_on_a_gpu(joint: Tokenizers) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    build_model(compose("model=transformer", *SMALL), joint)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize(("encoder", "decoder"), [("transformer", "luong"), ("recurrent", "transformer")])
def test_encoder_and_decoder_mix(joint: Tokenizers, encoder: str, decoder: str) -> None:
    built = build_model(compose("model=luong", f"encoder={encoder}", f"decoder={decoder}", *SMALL), joint)
    assert built(*arguments()).isfinite().all()


def test_ties_are_what_the_configuration_says(joint: Tokenizers) -> None:
    def shared(embeddings: bool, output: bool) -> tuple[bool, bool]:
        built = build_model(compose(*SMALL, f"model.tie_embeddings={embeddings}", f"model.tie_output={output}"), joint)
        tables = [m.weight for m in built.modules() if isinstance(m, torch.nn.Embedding)]
        return len({id(w) for w in tables}) == 1, any(w is built.output.weight for w in tables)

    for embeddings in (False, True):
        for output in (False, True):
            assert shared(embeddings, output) == (embeddings, output)


def test_tied_embeddings_of_two_vocabularies_are_refused_with_the_remedy(tokenizers: Tokenizers) -> None:
    with pytest.raises(UserError) as error:
        build_model(compose(*SMALL), tokenizers)
    assert "tokenizer.joint=true" in one_line(error)
    assert build_model(compose(*SMALL, "model.tie_embeddings=false"), tokenizers)


def test_tied_output_of_another_width_is_refused_with_the_remedy(joint: Tokenizers) -> None:
    with pytest.raises(UserError) as error:
        build_model(compose("model=luong", *SMALL, "model.d_embedding=10", "model.tie_output=true"), joint)
    assert "model.d_embedding=12" in one_line(error)


@pytest.mark.parametrize("model", MODELS)
def test_loaded_model_is_the_stored_one_ready_to_use(joint: Tokenizers, model: str) -> None:
    checkpoint = make_checkpoint(joint, f"model={model}")
    loaded, found = load_model(checkpoint, torch.device("cpu"))
    assert not loaded.training
    assert found.source is found.target and found.source.model_proto == joint.source.model_proto
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, checkpoint.weights[name], rtol=0, atol=0)
    assert loaded(*arguments()).shape == (5, 29)


def test_two_tokenizers_come_back_as_two(tokenizers: Tokenizers) -> None:
    checkpoint = make_checkpoint(tokenizers, "model.tie_embeddings=false")
    found = tokenizers_of(checkpoint)
    assert [t.model_proto for t in found] == [t.model_proto for t in tokenizers]
    assert found.source is not found.target


def change(checkpoint: Checkpoint, key: str, value: Any) -> Checkpoint:
    config = OmegaConf.create(checkpoint.config)
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    plain: Any = OmegaConf.to_container(config)
    return checkpoint._replace(config=plain)


# Two are reached through a module of ours, but are not ours; the last two are ours, but no part of a model.
FOREIGN = ["os.mkdir", "builtins.eval", "seq2seq_other.GRU", "seq2seq.data.cache.os.mkdir", "seq2seq.build.torch.load"]
FOREIGN += ["seq2seq.cli.main.main", "seq2seq.data.cache.build_once"]


@pytest.mark.parametrize(
    ("key", "target"),
    [("encoder", target) for target in FOREIGN]
    + [(key, "os.mkdir") for key in ("decoder", "decoder.rnn", "score", "normalizer", "encoder.extra.deep")],
)
def test_code_outside_this_package_is_not_loaded(joint: Tokenizers, tmp_path: Path, key: str, target: str) -> None:
    proof = tmp_path / "ran"
    malicious = {"_target_": target, "path": str(proof)}
    with pytest.raises(UserError) as error:
        load_model(change(make_checkpoint(joint), key, malicious), torch.device("cpu"))
    assert one_line(error).startswith("runs/best.ckpt") and target in one_line(error)
    assert not proof.exists()


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: [[x]], lambda x: [{"deep": x}]])
def test_code_outside_this_package_is_not_loaded_from_a_list(
    joint: Tokenizers, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    proof = tmp_path / "ran"
    malicious = wrap({"_target_": "os.mkdir", "path": str(proof)})
    with pytest.raises(UserError) as error:
        load_model(change(make_checkpoint(joint), "encoder.extra", malicious), torch.device("cpu"))
    assert "os.mkdir" in one_line(error)
    assert not proof.exists()


def test_interpolation_in_a_checkpoint_is_refused(joint: Tokenizers) -> None:
    """It could read the environment, for one."""
    with pytest.raises(UserError, match="extra in its configuration is no plain value"):
        load_model(change(make_checkpoint(joint), "encoder.extra", "${oc.env:HOME}"), torch.device("cpu"))


def test_package_that_the_user_trusts_is_loaded(
    joint: Tokenizers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_models.py").write_text("from seq2seq.attention import Dot\nclass Mine(Dot): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = change(make_checkpoint(joint, "score=dot"), "score._target_", "my_models.Mine")
    with pytest.raises(UserError, match=r"trusted=\[my_models\]"):
        load_model(checkpoint, torch.device("cpu"))
    assert "my_models" not in sys.modules  # not even imported
    model, _ = load_model(checkpoint._replace(trusted=("my_models",)), torch.device("cpu"))
    assert any(type(part).__name__ == "Mine" for part in model.modules())


def test_the_refused_configuration_would_have_run(tmp_path: Path) -> None:
    """What the tests above refuse is a real danger: built without a check, it acts."""
    instantiate({"_target_": "os.mkdir", "path": str(tmp_path / "ran")})
    assert os.path.isdir(tmp_path / "ran")


def test_weights_of_another_size_are_refused_by_name(joint: Tokenizers) -> None:
    checkpoint = make_checkpoint(joint)
    weights = checkpoint.weights | {"output.weight": torch.zeros(31, 12)}
    with pytest.raises(UserError) as error:
        load_model(checkpoint._replace(weights=weights), torch.device("cpu"))
    assert one_line(error).startswith("runs/best.ckpt") and "output.weight" in one_line(error)


@pytest.mark.parametrize(("drop", "add"), [("decoder.bridge.weight", {}), (None, {"decoder.other": torch.ones(1)})])
def test_missing_and_surplus_weights_are_refused_by_name(
    joint: Tokenizers, drop: str | None, add: dict[str, torch.Tensor]
) -> None:
    checkpoint = make_checkpoint(joint)
    weights = {name: tensor for name, tensor in checkpoint.weights.items() if name != drop} | add
    with pytest.raises(UserError) as error:
        load_model(checkpoint._replace(weights=weights), torch.device("cpu"))
    assert (drop or "decoder.other") in one_line(error)


def test_configuration_of_another_size_is_refused(joint: Tokenizers) -> None:
    with pytest.raises(UserError) as error:
        load_model(change(make_checkpoint(joint), "decoder.d_model", 14), torch.device("cpu"))
    assert "decoder." in one_line(error)


def test_checkpoint_without_a_tokenizer_is_refused(joint: Tokenizers) -> None:
    with pytest.raises(UserError) as error:
        load_model(make_checkpoint(joint)._replace(tokenizers=[]), torch.device("cpu"))
    assert "holds no vocabulary" in one_line(error)


def test_damaged_tokenizer_is_refused(joint: Tokenizers) -> None:
    with pytest.raises(UserError) as error:
        load_model(make_checkpoint(joint)._replace(tokenizers=[b"no model"]), torch.device("cpu"))
    one_line(error)


def test_devices_by_name() -> None:
    assert find_device("cpu") == torch.device("cpu")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    assert find_device("auto") == (accelerator or torch.device("cpu"))


@pytest.mark.parametrize("name", ["gpu9000", "cuda:97", "meta", ["cpu"]])
def test_device_that_is_not_there_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(UserError) as error:
        find_device(name)
    assert f"device={name}" in one_line(error) and "device=cpu" in one_line(error)


@pytest.mark.parametrize(
    ("tokenized", "given", "trained", "expected"),
    [
        (True, None, None, "none"),
        (False, None, None, "13a"),
        (True, "13a", None, "13a"),
        (False, "zh", None, "zh"),
        (False, None, "zh", "zh"),
        (False, "char", "zh", "char"),
    ],
)
def test_bleu_is_as_said_else_as_in_training_else_by_the_form_of_the_text(
    tokenized: bool, given: str | None, trained: str | None, expected: str
) -> None:
    class Text:
        pass

    corpus: Any = Text()
    corpus.tokenized = tokenized
    text: Corpus = corpus
    config = OmegaConf.create({"metrics": {"tokenize": given, "lowercase": None}})
    before = {"metrics": {"tokenize": trained, "lowercase": True}}
    assert bleu_options(config, text, trained=before) == (expected, True)
    config.metrics.lowercase = False
    assert bleu_options(config, text, trained=before) == (expected, False)
    assert bleu_options(config, text, trained={} if trained is None else before) == (expected, False)


def test_trainer_gets_callbacks_that_are_not_null_and_the_logger(tmp_path: Path) -> None:
    options = ["trainer=cpu", f"output={tmp_path}", "callbacks.progress_bar=null", "trainer.enable_progress_bar=false"]
    trainer = build_trainer(compose(*options))
    names = [type(callback).__name__ for callback in trainer.callbacks]  # type: ignore[attr-defined]
    assert {"Throughput", "PinnedSentences", "EarlyStopping"} <= set(names)
    assert "ProgressBar" not in names and "EMAWeightAveraging" not in names
    assert [type(logger).__name__ for logger in trainer.loggers] == ["TensorBoardLogger"]
    assert trainer.default_root_dir == str(tmp_path)
