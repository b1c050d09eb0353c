"""Replay the batch at which a loss was not finite: the range of every module's output, in the order they come.

python scripts/replay_batch.py outputs/.../nonfinite-step-12-rank-0.ckpt
"""

import argparse

import torch
from torch import Tensor

from seq2seq.build import load_model
from seq2seq.checkpoint import load_content, read_checkpoint
from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.training.finite import each_output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="what the training left")
    file = parser.parse_args().file
    try:
        model, tokenizers = load_model(read_checkpoint(file), torch.device("cpu"))
    except UserError as error:
        parser.error(str(error))
    content = load_content(file)
    if "batch" not in content:
        parser.error(f"{file} holds no batch; give the nonfinite-step-... that a training left")
    batch = Batch(**content["batch"])
    print(f"step {content['global_step']}, {len(batch)} sentence pairs, without dropout")
    for ids in batch.source[:3].tolist():
        print(f"  {tokenizers.source.decode(ids)}")
    wrong = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    print(f"weights that are not finite: {', '.join(wrong) or 'none'}\n")

    rows: dict[str, tuple[float, float, int]] = {}

    def see(name: str, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            low, high, count = rows.get(name, (torch.inf, -torch.inf, 0))
            finite = tensor[tensor.isfinite()]
            if len(finite):
                low, high = min(low, finite.min().item()), max(high, finite.max().item())
            rows[name] = low, high, count + tensor.numel() - len(finite)

    with torch.no_grad(), each_output(model, see):
        model.features(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    print(f"{'output of':<60} {'from':>11} {'to':>11} {'not finite':>12}")
    for name, (low, high, count) in rows.items():
        print(f"{name:<60} {low:>11.4g} {high:>11.4g} {count:>12,}")


if __name__ == "__main__":
    main()
