"""A Transformer without some of its heads says what the whole one says with them masked."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.attention import General, Positions, ScaledDot, Score, record_attention
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.pruning import (
    Unit,
    check_cut,
    cut,
    head_importance,
    kept_after,
    kept_options,
    mask_heads,
    multihead_attentions,
    removed_for,
    units_of,
)

KEPT, KEPT_CROSS = [[1], [0, 1]], [[0], [1]]
FOUR = {"num_heads": 4, "num_key_heads": 2, "d_model": 16}


def kept_of(model: EncoderDecoder) -> dict[str, list[int]]:
    """Return KEPT and KEPT_CROSS by the names of the attentions."""
    return {
        name: (KEPT_CROSS if "cross" in name else KEPT)[int(name.split(".")[2])] for name in multihead_attentions(model)
    }


def masks_of(model: EncoderDecoder, kept: Any) -> dict[str, Tensor]:
    return {
        name: torch.tensor([float(head in kept[name]) for head in range(attention.num_heads)])
        for name, attention in multihead_attentions(model).items()
    }


def shaken(model: EncoderDecoder) -> EncoderDecoder:
    """Return the model in float64 with random biases and tables: those that begin at zero would hide a mix-up."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double().eval()


@pytest.fixture
def grouped(build: Callable[..., EncoderDecoder]) -> Callable[..., EncoderDecoder]:
    """Return what builds a Transformer of four heads, two of which share each key head."""

    def made(kept: Any = None, kept_cross: Any = None, **options: Any) -> EncoderDecoder:
        both = {**FOUR, "kept_heads": kept, **options}
        names = "transformer-pre2", "transformer-pre2"
        return build(*names, score=ScaledDot, encoder_options=both, kept_cross_heads=kept_cross, **both)

    return made


def test_smaller_model_equals_the_masked_one(
    with_fewer_heads: Callable[..., EncoderDecoder], batch: dict[str, Tensor]
) -> None:
    whole, small = shaken(with_fewer_heads()), with_fewer_heads(KEPT, KEPT_CROSS).double().eval()
    kept = kept_of(whole)
    cut(whole, small, kept)
    with mask_heads(whole, masks_of(whole, kept)), record_attention(whole) as masked:
        expected = whole(**batch)
    with record_attention(small) as record:
        found = small(**batch)
    assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert_close(small(**batch), expected, rtol=1e-6, atol=1e-6)  # on the fused path too
    assert (expected - whole(**batch)).abs().max() > 1e-3
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in whole.parameters())
    for name, weights in masked.items():
        assert_close(record[name], weights[:, kept[name.rpartition(".")[0]]])


def test_smaller_model_steps_as_it_is_trained(
    with_fewer_heads: Callable[..., EncoderDecoder], batch: dict[str, Tensor]
) -> None:
    small = shaken(with_fewer_heads(KEPT, KEPT_CROSS))
    state = small.begin(batch["source"], batch["source_mask"], batch["source_lengths"])
    steps = []
    for tokens in batch["target_input"].split(1, dim=1):
        logits, state = small.step(tokens, state)
        steps.append(logits)
    found = torch.cat(steps, 1).flatten(0, 1).index_select(0, batch["target_indices"])
    assert_close(found, small(**batch))


def test_heads_that_share_keys_go_together(grouped: Callable[..., EncoderDecoder], batch: dict[str, Tensor]) -> None:
    whole = shaken(grouped())
    units = units_of(whole)
    assert units[:2] == [
        Unit("encoder.layers.0.self_attention", (0, 1)),
        Unit("encoder.layers.0.self_attention", (2, 3)),
    ]
    removed = [units[0], units[5], units[6]]
    kept = kept_after(whole, removed)
    options = kept_options(whole, kept)
    assert options["encoder", "kept_heads"] == [[2, 3], [0, 1, 2, 3]]
    small = grouped(options["encoder", "kept_heads"], options["decoder", "kept_cross_heads"])
    with pytest.raises(UserError, match=r"\[0, 2\] some share keys.*keep all 2 or none"):
        grouped([[0, 2], [0, 1]])
    different = options["encoder", "kept_heads"] != options["decoder", "kept_heads"]
    assert different  # the encoder's alone are built above, so the decoder gets its own
    small.decoder = grouped(options["decoder", "kept_heads"], options["decoder", "kept_cross_heads"]).decoder
    cut(whole, small.double().eval(), kept)
    with mask_heads(whole, masks_of(whole, kept)):
        expected = whole(**batch)
    assert_close(small(**batch), expected)
    assert [unit.heads for unit in units_of(small)[:3]] == [(0, 1), (0, 1), (2, 3)]


def test_pruned_model_can_be_pruned_again(with_fewer_heads: Any, batch: dict[str, Tensor]) -> None:
    whole, once = shaken(with_fewer_heads()), with_fewer_heads([[1], [0, 1]], [[0, 1], [0, 1]])
    first = kept_of(whole) | {f"decoder.layers.{layer}.cross_attention": [0, 1] for layer in (0, 1)}
    cut(whole, once.double(), first)
    again = kept_after(
        once, [Unit("encoder.layers.1.self_attention", (0,)), Unit("decoder.layers.1.self_attention", (0,))]
    )
    options = kept_options(once, again)
    assert options["encoder", "kept_heads"] == [[1], [1]]  # called as in the whole model
    twice = cut(once, with_fewer_heads([[1], [1]], [[0, 1], [0, 1]]).double(), again)
    heads = first | {f"{side}.layers.1.self_attention": [1] for side in ("encoder", "decoder")}
    with mask_heads(whole, masks_of(whole, heads)):
        assert_close(twice(**batch), whole(**batch))


@pytest.mark.parametrize("heads, says", [
    (5, "expected 6 to 12"), (13, "expected 6 to 12"), (0, "expected 6 to 12"),
])  # fmt: skip
def test_number_of_heads_that_cannot_be_left_is_refused(build: Any, heads: int, says: str) -> None:
    units = units_of(build("transformer-pre2", "transformer-pre2", score=ScaledDot))
    assert sum(len(unit.heads) for unit in removed_for(units, 7)) == 5
    with pytest.raises(UserError, match=says):
        removed_for(units, heads)


def test_number_between_groups_is_refused_with_those_near(grouped: Callable[..., EncoderDecoder]) -> None:
    with pytest.raises(UserError, match="heads=21: some heads share keys.*20 or 22"):
        removed_for(units_of(grouped()), 21)


@pytest.mark.parametrize("kept", [[[0]], "all", [[0], [2]], [[1, 0], [0]], [[], [0]], [[0], 1], [[0, 0], [1]]])
def test_heads_that_there_are_not_are_refused(build: Any, kept: Any) -> None:
    options = {"encoder_options": {"kept_heads": kept}}
    with pytest.raises(UserError, match="kept_heads.*expected"):
        build("transformer-pre2", "transformer-pre2", score=ScaledDot, **options)


class Slopes(Positions):
    """Positions of a user's own, with numbers for each head of which nobody was told."""

    biases = True

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor:
        away = (torch.arange(num_keys) - places[:, None]).abs()
        return -away * torch.arange(1, query.shape[1] + 1)[:, None, None]


class Secret(Score):
    """A score of a user's own whose heads differ by something that is no tensor."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.mT * torch.arange(1, query.shape[1] + 1)[:, None, None]


class Fixed(Score):
    """A score of a user's own with a table that does not follow the number of heads as they do."""

    def __init__(self, d_query: int, d_key: int, *, num_heads: int) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self.table = nn.Parameter(torch.ones(num_heads + 1))

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.mT * self.table.sum()


@pytest.mark.parametrize("part", [{"self_score": Secret}, {"positions": Slopes}], ids=["score", "positions"])
def test_part_whose_heads_cannot_be_told_apart_is_found_out(build: Any, part: dict[str, Any]) -> None:
    made = partial(build, "transformer-pre2", "transformer-pre2", score=ScaledDot)
    whole = shaken(made(encoder_options=part, **part))
    kept = {name: [0, 1] for name in multihead_attentions(whole)} | {"encoder.layers.0.self_attention": [1]}
    small = made(encoder_options={**part, "kept_heads": [[1], [0, 1]]}, **part).double().eval()
    with pytest.raises(UserError, match="keeps something for each head that cannot be cut"):
        check_cut(whole, cut(whole, small, kept), kept)


def test_table_that_does_not_follow_the_heads_is_refused_by_name(build: Any) -> None:
    with pytest.raises(UserError, match="Fixed: table does not follow the number of heads"):
        options = {"self_score": Fixed, "kept_heads": [[1], [0]]}
        build("transformer-pre2", "transformer-pre2", score=ScaledDot, encoder_options=options)


def test_recurrent_model_has_no_head_to_spare(build: Callable[..., EncoderDecoder]) -> None:
    with pytest.raises(UserError, match="no multi-head attention: a recurrent decoder has one head"):
        units_of(build("gru1", "luong-gru1"))


class Pairs:
    """What `head_importance` asks of a batch."""

    def __init__(self, given: dict[str, Tensor], wanted: Tensor) -> None:
        self.__dict__ |= given
        self.target_output = wanted

    def to(self, _: torch.device) -> "Pairs":
        return self


def losses(model: EncoderDecoder, batch: dict[str, Tensor], wanted: Tensor) -> Tensor:
    """Return -log p of each pair, (batch,)."""
    log_p = model(**batch).log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    return -torch.zeros(3, dtype=log_p.dtype).index_add(0, batch["target_indices"] // 5, log_p)


@pytest.fixture(params=["transformer-pre2", "luong-gru1"])
def measured(request: pytest.FixtureRequest, build: Any) -> EncoderDecoder:
    return shaken(build("transformer-pre2", request.param, score=General))


def finite_differences(
    model: EncoderDecoder, batch: dict[str, Tensor], wanted: Tensor, step: float = 1e-5
) -> Iterator[tuple[str, int, float]]:
    """Yield each head and the mean over pairs of |ΔL / Δξ|."""
    for name, attention in multihead_attentions(model).items():
        for head in range(attention.num_heads):
            found = []
            for sign in (1, -1):
                mask = torch.ones(attention.num_heads, dtype=torch.float64)
                mask[head] += sign * step
                with mask_heads(model, {name: mask}), torch.no_grad():
                    found.append(losses(model, batch, wanted))
            yield name, head, ((found[0] - found[1]) / (2 * step)).abs().mean().item()


def test_importance_equals_finite_differences(measured: EncoderDecoder, batch: dict[str, Tensor]) -> None:
    wanted = torch.randint(2, 29, (len(batch["target_indices"]),))
    given: Any = [Pairs(batch, wanted)]
    importance = head_importance(measured, given)
    assert importance.keys() == multihead_attentions(measured).keys()
    for name, head, expected in finite_differences(measured, batch, wanted):
        assert importance[name][head].item() == pytest.approx(expected, rel=1e-5, abs=1e-9), (name, head)


def test_importance_is_the_same_where_a_caller_wants_no_gradients(
    measured: EncoderDecoder, batch: dict[str, Tensor]
) -> None:
    given: Any = [Pairs(batch, torch.randint(2, 29, (len(batch["target_indices"]),)))]
    with torch.inference_mode():
        importance = head_importance(measured, given)
    assert_close(importance, head_importance(measured, given))


def test_importance_asks_no_recurrence_of_a_gpu_that_has_no_gradient_in_evaluation(
    build: Any, batch: dict[str, Tensor]
) -> None:
    model = shaken(build("transformer-pre2", "luong-gru1"))
    enabled: list[bool] = []
    model.get_submodule("decoder.rnn").register_forward_hook(lambda *_: enabled.append(torch.backends.cudnn.enabled))
    given: Any = [Pairs(batch, torch.randint(2, 29, (len(batch["target_indices"]),)))]
    head_importance(model, given)
    assert enabled == [False] and torch.backends.cudnn.enabled


def test_gradient_that_is_not_finite_is_an_error(measured: Any, batch: dict[str, Tensor]) -> None:
    with torch.no_grad():
        measured.encoder.layers[0].self_attention.value.weight[0, 0] = float("nan")
    given: Any = [Pairs(batch, torch.randint(2, 29, (len(batch["target_indices"]),)))]
    with pytest.raises(UserError, match="not finite"):
        head_importance(measured, given)


def test_encoder_under_a_recurrent_decoder_loses_heads_alone(build: Any, batch: dict[str, Tensor]) -> None:
    whole = shaken(build("transformer-pre2", "luong-gru1", score=General))
    kept = kept_after(whole, [units_of(whole)[1]])
    options = kept_options(whole, kept)
    assert options == {("encoder", "kept_heads"): [[0], [0, 1]]}
    small = build(
        "transformer-pre2",
        "luong-gru1",
        score=General,
        encoder_options={"kept_heads": options["encoder", "kept_heads"]},
    )
    small = cut(whole, small.double(), kept)
    check_cut(whole, small, kept)
    with mask_heads(whole, masks_of(whole, kept)):
        assert_close(small(**batch), whole(**batch))
