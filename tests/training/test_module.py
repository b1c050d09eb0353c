"""A training step against PyTorch's own loss, clipping, and what a checkpoint carries."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.checkpoint import KEY, AlignmentChoice
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers, train_tokenizer
from seq2seq.training.module import TranslationModule
from seq2seq.training.schedule import cosine

VOCAB = 11
BATCH = collate([([4, 5, 6], [7, 8], 0), ([4], [9, 10, 7, 8, 5], 1)])


class Fixed(nn.Module):
    """Logits that are its parameter, a row for each target token."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(BATCH.num_tokens, VOCAB))
        self.output = nn.Linear(VOCAB, VOCAB, bias=False).requires_grad_(False)
        nn.init.eye_(self.output.weight)

    def features(self, *_: Tensor) -> Tensor:
        return self.logits


@pytest.fixture
def logged() -> dict[str, Any]:
    return {}


def make(logged: dict[str, Any], *, smoothing: float = 0.1, **options: Any) -> TranslationModule:
    module = TranslationModule(
        Fixed(),
        tokenizers=options.pop("tokenizers", None),
        search=None,
        evaluator=lambda *_: None,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        scheduler={"scheduler": partial(cosine, warmup_steps=2, total_steps=None), "interval": "step"},
        label_smoothing=smoothing,
        config={"seed": 1},
    )
    module.log = lambda name, value, **_: logged.__setitem__(name, value)  # type: ignore[method-assign]
    return module


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_the_mean_over_real_target_tokens(logged: dict[str, Any], smoothing: float) -> None:
    module = make(logged, smoothing=smoothing)
    loss = module.training_step(BATCH, 0)
    expected = nn.functional.cross_entropy(module.model.logits, BATCH.target_output, label_smoothing=smoothing)
    plain = nn.functional.cross_entropy(module.model.logits, BATCH.target_output)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logged["train/perplexity"], plain.exp().detach())
    assert not logged["train/loss"].requires_grad and logged["train/padding_share"] == BATCH.padding_share > 0


@pytest.mark.parametrize("limit, expected", [(0.5, 0.5), (100.0, 10.0), (None, 10.0)])
def test_gradient_is_clipped_and_its_norm_before_is_logged(
    logged: dict[str, Any], limit: float | None, expected: float
) -> None:
    module = make(logged)
    weight = module.model.logits
    weight.grad = torch.randn_like(weight)
    weight.grad *= 10 / weight.grad.norm()
    module.configure_gradient_clipping(torch.optim.Adam([weight]), limit)
    assert logged["train/gradient_norm"].item() == pytest.approx(10)
    assert weight.grad.norm().item() == pytest.approx(expected, rel=1e-4)


def make_tokenizer(letters: str) -> Tokenizer:
    config = TokenizerConfig(
        model_type="bpe", vocab_size=20, joint=True, sampling=0.0, character_coverage=1.0, input_sentence_size=1000
    )
    return Tokenizer(train_tokenizer([f"{letters} {letters[::-1]}"] * 3, config))


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("alignment", [None, AlignmentChoice("decoder.attention", 3), AlignmentChoice("a", None)])
def test_checkpoint_carries_configuration_tokenizers_and_alignment(
    logged: dict[str, Any], joint: bool, alignment: AlignmentChoice | None
) -> None:
    source = make_tokenizer("abcdef")
    target = source if joint else make_tokenizer("ghijkl")
    module = make(logged, tokenizers=Tokenizers(source, target))
    module.alignment = alignment
    content: dict[str, Any] = {}
    module.on_save_checkpoint(content)
    assert content[KEY]["config"] == {"seed": 1}
    assert content[KEY]["tokenizers"] == [source.model_proto] if joint else [source.model_proto, target.model_proto]
    other = make({})
    other.on_load_checkpoint(content)
    assert other.alignment == alignment
