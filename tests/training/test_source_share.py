"""How much the source counts, against autograd by hand, and models of which it is known."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seq2seq.data.batching import collate
from seq2seq.training.source_share import SourceShare, source_shares
from tests.attribution.conftest import built

PAIRS = [([4, 5, 6, 7], [8, 9, 10], 0), ([4, 5], [9], 1)]


@pytest.mark.parametrize("kind", ["bahdanau", "luong", "odd transformer", "bottleneck"])
def test_share_is_that_of_autograd_a_sentence_at_a_time(kind: str) -> None:
    model = built(kind)
    found = source_shares(model.train(), collate(PAIRS))
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    for row, (source_ids, target_ids, _) in enumerate(PAIRS):
        batch = collate([(source_ids, target_ids, 0)])
        for place, token in enumerate(batch.target_output.tolist()):
            sizes = []
            for side in ("encoder", "decoder"):
                part = getattr(model, side)
                table = getattr(part, "table", None) or part.embedding.table
                kept: list[torch.Tensor] = []
                hook = table.register_forward_hook(
                    lambda _, __, out, kept=kept: kept.append(out.detach().requires_grad_()) or kept[0]
                )
                logits = model(
                    batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
                )
                hook.remove()
                (slope,) = torch.autograd.grad(logits[place].log_softmax(-1)[token], kept, materialize_grads=True)
                sizes.append((slope.norm(dim=-1) * kept[0].norm(dim=-1)).sum())
            assert_close(found[row, place], sizes[0] / sum(sizes), rtol=1e-5, atol=1e-6)
    assert found[1, 2:].isnan().all() and found.shape == (2, 4)


def test_model_that_does_not_hear_its_source_has_a_share_of_none() -> None:
    model: Any = built("luong")
    with torch.no_grad():
        model.decoder.combine.weight[:, :-16] = 0
        model.decoder.bridge.weight.zero_()
    assert source_shares(model, collate(PAIRS)).nan_to_num(0).count_nonzero() == 0


def test_shares_are_logged_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: dict[str, float] = {}
    shares = torch.full((2, 12), torch.nan)
    shares[0, :7], shares[1, :2] = 0.5, 1.0
    monkeypatch.setattr("seq2seq.training.source_share.source_shares", lambda *_: shares)
    monkeypatch.setattr("seq2seq.training.source_share.TranslationModule", object)
    rows = {"source_ids": [[4]], "target_ids": [[5]]}

    class Module:
        model, device = None, torch.device("cpu")

        def log(self, name: str, value: float) -> None:
            logged[name] = value

    class Trainer:
        class datamodule:  # noqa: N801
            @staticmethod
            def dataset(_: str) -> Any:
                return type("Rows", (), {"__getitem__": lambda _, key: rows})()

    SourceShare(sentences=2).on_validation_epoch_end(Trainer(), Module())  # type: ignore[arg-type]
    assert logged["val/source_share"] == pytest.approx(5.5 / 9)
    assert logged["val/source_share/1-5"] == pytest.approx((2.5 + 2) / 7)
    assert logged["val/source_share/6-10"] == 0.5 and len(logged) == 3
