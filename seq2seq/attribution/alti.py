"""ALTI+: how near each token's part of a sublayer's output is to the whole of it."""

import torch
from torch import Tensor

from seq2seq.attention import Normalizer
from seq2seq.attention.memory import one_a_head
from seq2seq.attribution.flow import ANY_MODEL, FlowMethod, LayerMap, Sublayer, flow, inputs, rows_to_one, sublayers
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Contributions
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder


class Alti(FlowMethod):
    """c_ij = max(0, ‖y_i‖₁ - ‖y_i - T_i(x_j)‖₁), rows scaled to 1, multiplied through layers (Ferrando et al. 2022).

    y_i is what an attention and its residual put out, and T_i(x_j) the part of it that token j brings in:

        T_i(x_j) = L_i(Σ_h α_ijh W_O^h v_jh + [i = j] x_i)

    with v_j the value, its bias included; W_O's own bias and the norm's belong to nobody. A head's gate multiplies its
    weights. In post-norm L_i is the layer norm with the deviation of the whole held; in pre-norm the identity. The
    feed-forward and the last norm look at no other token, and are left out. In cross-attention the residual is one more
    part, which is passed on to the tokens before (ALTI+, eq. 8-12).
    """

    name = "alti"
    meaning = "share of the state at the step, by how near the word's part is to the whole, through all layers"

    def check(self, model: EncoderDecoder) -> None:
        """Refuse a model that is not layers of attention, or in which a context is not the sum of weighted values."""
        super().check(model)
        for module in model.modules():
            if isinstance(module, Normalizer) and type(module).finish is not Normalizer.finish:
                raise UserError(
                    f"method={self.name} takes a context for the sum of weighted values, and {type(module).__name__} "
                    f"changes it after; use method=rollout, value_zeroing, or {ANY_MODEL.removeprefix('method=')}"
                )

    @torch.no_grad()
    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
        encoder, decoder = inputs(forced)
        maps = [_own_map(sublayers(layer)[0]) for layer in encoder]
        both = []
        for layer in decoder:
            own, cross = sublayers(layer)
            near = nearness(cross, torch.cat((parts(cross), cross.x[0][:, None]), dim=1))
            kept = torch.zeros_like(near)
            kept[:, -1] = 1
            near = rows_to_one(near, kept)
            both.append(LayerMap(near[:, :-1], near[:, -1:] * _own_map(own)))
        return Contributions(*forced.sum_units(*flow(maps, both)))


def parts(ran: Sublayer) -> Tensor:
    """Return Σ_h α_ijh W_O^h v_jh (query, key, d_model): what each key brings into each query's output."""
    attention, weights = ran.attention, ran.weights
    if attention.gate is not None:
        weights = weights * torch.sigmoid(attention.gate(ran.query)).mT[..., None]
    value = one_a_head(ran.memory.value, weights)[0]
    out = attention.output.weight.unflatten(1, (attention.num_heads, -1))
    return torch.einsum("hij,hjd->ijd", weights[0].to(value.dtype), torch.einsum("hjv,dhv->hjd", value, out))


def nearness(ran: Sublayer, brought: Tensor) -> Tensor:
    """Return max(0, ‖y_i‖₁ - ‖y_i - L_i(part)‖₁), (query, parts), of parts (query, parts, d_model) before the norm."""
    norm, y = ran.residual.norm, ran.output[0]
    if not ran.residual.norm_first:
        deviation = (ran.total[0].var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        brought = (brought - brought.mean(-1, keepdim=True)) / deviation[:, None] * norm.weight
    return (y.norm(1, -1, keepdim=True) - (y[:, None] - brought).norm(1, -1)).clamp(min=0)


def _own_map(ran: Sublayer) -> Tensor:
    """Return the map (query, key) of a self-attention, the residual on the diagonal."""
    brought = parts(ran)
    own = torch.eye(len(brought), dtype=brought.dtype, device=brought.device)
    return rows_to_one(nearness(ran, brought + own[..., None] * ran.x[0]), own)
