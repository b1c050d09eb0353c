"""Any model as two ONNX graphs, which are all that a search needs: what begins a translation, and what goes on."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxscript  # noqa: F401 what torch.onnx needs: better missed now than in the middle
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention import Memory, record_attention
from seq2seq.checkpoint import AlignmentChoice, Checkpoint
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizers
from seq2seq.models import DecoderState, EncoderDecoder

OPSET = 20


class Begin(nn.Module):
    """Source ids (batch, source) int64 and their lengths (batch,) int64 to the tensors of the decoder's state."""

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the state as a flat tuple."""
        mask = torch.arange(source.shape[1], device=source.device) < source_lengths[:, None]
        return flatten(self.model.begin(source, mask, source_lengths))


class Step(nn.Module):
    """Tokens (batch, beam) int64, their place and a state to logits (batch, beam, vocab) and the state after them.

    Where the model has an alignment, its weights (batch, beam, source) come last.
    """

    def __init__(self, model: EncoderDecoder, like: DecoderState, alignment: AlignmentChoice | None) -> None:
        super().__init__()
        self.model = model
        self.alignment = alignment
        self.masked = [memory.mask is not None for memory in like.memory]

    def forward(self, tokens: Tensor, place: int, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the logits, what of the state has changed (the beams), and the weights."""
        rest = list(state)
        memory = tuple(Memory(rest.pop(0), rest.pop(0), rest.pop(0) if masked else None) for masked in self.masked)
        with record_attention(self.model, names=(self.alignment.layer,) if self.alignment else ()) as record:
            logits, after = self.model.step(tokens, DecoderState(memory, tuple(rest), place))
        if self.alignment is None:
            return logits, *after.beams
        weights, head = record[self.alignment.layer], self.alignment.head
        return logits, *after.beams, weights.mean(1) if head is None else weights[:, head]


def flatten(state: DecoderState) -> tuple[Tensor, ...]:
    """Return the tensors of a state: of each memory keys, value and mask, then the beams."""
    return (*(x for memory in state.memory for x in memory if x is not None), *state.beams)


def names(state: DecoderState) -> list[str]:
    """Return what the graphs call these tensors."""
    memory = [
        f"memory{i}_{name}"
        for i, memory in enumerate(state.memory)
        for name, x in memory._asdict().items()
        if x is not None
    ]
    return [*memory, *(f"beam{i}" for i in range(len(state.beams)))]


def save(model: EncoderDecoder, checkpoint: Checkpoint, tokenizers: Tokenizers, folder: Path) -> None:
    """Write `begin.onnx`, `step.onnx`, and `graphs.json` with special ids and the names of the state's tensors.

    `first` there is the id that every translation begins with; null: any.
    """
    source, lengths = torch.tensor([[4, 4, 4, EOS], [4, 4, EOS, PAD], [4, EOS, PAD, PAD]]), torch.tensor([4, 3, 2])
    tokens = torch.full((3, 2), BOS)
    # Sizes of 0 and 1 would be taken for constants: the example has two beams, each with two earlier tokens.
    state = _after(model, source, lengths, tokens, steps=2)
    others = _after(model, source, lengths, tokens, steps=3), _after(model, F.pad(source, (0, 1)), lengths, tokens, 2)
    state_names = names(state)
    beams = state_names[-len(state.beams) :]
    batch, beam = torch.export.Dim("batch"), torch.export.Dim("beam")
    length = past = torch.export.Dim.DYNAMIC  # a part may know of a longest sentence

    def sizes(name: str, x: Tensor, later: Tensor, longer: Tensor) -> dict[int, Any]:
        """Return which sizes of a tensor of the state are free: those that another state has otherwise."""
        free = {axis: past for axis in range(x.dim()) if x.shape[axis] != later.shape[axis]}
        free |= {axis: length for axis in range(x.dim()) if x.shape[axis] != longer.shape[axis]}
        return free | {0: batch} | ({1: beam} if name in beams else {})

    tensors = zip(state_names, flatten(state), *map(flatten, others), strict=True)
    dynamic = [sizes(*named) for named in tensors]
    _write(
        folder / "begin.onnx",
        Begin(model),
        (source, lengths),
        {"source": {0: batch, 1: length}, "source_lengths": {0: batch}},
        inputs=["source", "source_lengths"],
        outputs=state_names,
    )
    _write(
        folder / "step.onnx",
        Step(model, state, checkpoint.alignment),
        (tokens, state.place, flatten(state)),
        {"tokens": {0: batch, 1: beam}, "place": past, "state": tuple(dynamic)},
        inputs=["tokens", "place", *state_names],
        outputs=["logits", *(f"{name}_next" for name in beams), *(["attention"] if checkpoint.alignment else [])],
    )
    # `place` counts the tokens before: 0 in the first step. Models that do not ask for it take it and let it be.
    special = {"unk": UNK, "pad": PAD, "bos": BOS, "eos": EOS, "first": model.first_token}
    graphs = {**special, "state": state_names, "beams": beams}
    (folder / "graphs.json").write_text(json.dumps(graphs, indent=2), encoding="utf-8")


def _after(model: EncoderDecoder, source: Tensor, lengths: Tensor, tokens: Tensor, steps: int) -> DecoderState:
    """Return the state of two beams of each sentence after some steps."""
    mask = torch.arange(source.shape[1]) < lengths[:, None]
    state = model.begin(source, mask, lengths).reorder(torch.zeros_like(tokens))
    for _ in range(steps):
        _, state = model.step(tokens, state)
    return state


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide what nobody can act on: sizes of the same name, what the exporter uses, torchvision that it misses."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _write(
    path: Path,
    module: nn.Module,
    example: tuple[Any, ...],
    dynamic: dict[str, Any],
    *,
    inputs: list[str],
    outputs: list[str],
) -> None:
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamic_shapes=dynamic,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:  # what a recurrence gives is thought to be as long as that of the example
        for value in node.outputs:
            value.shape = None
    program.save(str(path), external_data=False)
