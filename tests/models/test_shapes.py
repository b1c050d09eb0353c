"""Every model, with every attention in every seat, keeps to the shapes that docstrings tell."""

import torch
from torch import Tensor

from seq2seq.attention import record_attention
from seq2seq.models import EncoderDecoder
from tests.shapes import Told


def test_passes_and_steps_have_the_shapes_that_docstrings_tell(
    model: EncoderDecoder, batch: dict[str, Tensor], documented_shapes: set[tuple[str, Told]]
) -> None:
    documented_shapes.clear()
    with torch.no_grad():
        model(**batch)
        with record_attention(model):
            model(**batch)
        state = model.begin(**{name: x for name, x in batch.items() if name.startswith("source")})
        for tokens in (torch.full((3, 1), 2), torch.randint(2, 29, (3, 1))):
            _, state = model.step(tokens, state)
    met = {function.rpartition(".")[2] for function, told in documented_shapes if told.owner == ""}
    assert met > {"features", "forward", "step"}
