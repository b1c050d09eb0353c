"""Attention rollout: the mean of the heads, and the residual beside it, layer by layer."""

import torch
from torch import Tensor

from seq2seq.alignment.shares import shares
from seq2seq.attribution.flow import FlowMethod, LayerMap, flow, inputs, rows_to_one, sublayers
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Contributions


class Rollout(FlowMethod):
    """Products of ½ A + ½ I, A the mean of a layer's heads, the residual the other half (Abnar & Zuidema 2020, 3).

    The paper has encoders alone. A decoder layer has two attentions, each beside a residual: half of what it puts out
    is from the source, and half is the self-attention's output, itself half residual. Weights are read as shares, and
    rows are scaled to 1: a weight below 0 counts as 0, and what a row gives to nobody is left out.

    Values are not asked: a word that is looked at counts, even if nothing is taken from it.
    """

    name = "rollout"
    meaning = "share of the state at the step, by attention weights through all layers"

    @torch.no_grad()
    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
        encoder, decoder = inputs(forced)
        maps = [_beside_residual(sublayers(layer)[0].weights) for layer in encoder]
        both = []
        for layer in decoder:
            own, cross = sublayers(layer)
            looks = mean_shares(cross.weights)
            # A step that looks nowhere is all residual.
            kept = 1 - looks.sum(-1, keepdim=True) / 2
            both.append(LayerMap(looks / 2, kept * _beside_residual(own.weights)))
        return Contributions(*forced.sum_units(*flow(maps, both)))


def mean_shares(weights: Tensor) -> Tensor:
    """Return the mean (query, key) of heads (1, heads, query, key): rows that sum to 1, or to 0 where nobody looks."""
    mean = shares(weights[0].float()).mean(0)
    return rows_to_one(mean, torch.zeros_like(mean))


def _beside_residual(weights: Tensor) -> Tensor:
    mean = mean_shares(weights)
    own = torch.eye(len(mean), device=mean.device)
    return rows_to_one(mean, own) / 2 + own / 2
