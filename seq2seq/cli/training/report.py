"""What a training says on the terminal before it begins and when it is done."""

import logging
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import lightning
import torch
from torch import nn

from seq2seq.attention import Attention
from seq2seq.checkpoint import checkpoint_of
from seq2seq.cli.process.output import from_here
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import counted
from seq2seq.evaluation.by_corpus import lines_by_corpus, scores_line
from seq2seq.evaluation.evaluator import Evaluation
from seq2seq.models.encoder_decoder import site_of
from seq2seq.training.module import TranslationModule
from seq2seq.training.precision import Precision
from seq2seq.transfer import whole_parts

log = logging.getLogger(__name__)

SHOWN = 5
"""Translations shown at the end."""


def describe_run(
    folder: Path,
    data: TranslationDataModule,
    module: TranslationModule,
    trainer: lightning.Trainer,
    precision: Precision,
) -> None:
    """Say what is about to be trained, on what, in which precision and why, and where it will be."""
    source, target = data.tokenizers
    pairs = (
        "streamed training pairs" if data.corpus.streaming else counted(len(data.dataset("train")), "training pairs")
    )
    vocabulary = f"{len(source):,}" if source is target else f"{len(source):,} and {len(target):,}"
    log.info(
        "%s\n%s, %s, vocabulary %s, %s parameters, %s, precision %s%s%s\n",
        from_here(folder),
        pairs,
        counted(len(data.dataset("val")), "validation pairs"),
        vocabulary,
        f"{count_parameters(module):,}",
        _device(trainer),
        precision.value,
        f" ({precision.reason})" if precision.reason else "",
        describe_attention(module.model, trainer.strategy.root_device.type) + describe_frozen(module.model),
    )
    if precision.warning:
        log.warning("%s\n", precision.warning)


def describe_attention(model: nn.Module, device: str) -> str:
    """Return a line of what computes each kind of attention on a type of device; empty for a model without any."""
    found: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            parts = ", ".join(type(part).__name__ for part in (module.score, module.normalizer))
            kernel = module.kernel(device)
            said = f"{kernel} ({parts})" if kernel == "explicit" else kernel
            if module.slices_from:
                said += f" in slices from {module.slices_from} tokens"
            kinds = found.setdefault(site_of(name).kind, [])
            if said not in kinds:
                kinds.append(said)
    return "\nattention: " + ", ".join(f"{kind} {' and '.join(said)}" for kind, said in found.items()) if found else ""


def describe_frozen(model: nn.Module) -> str:
    """Return a line of what a training leaves as it is, parts by their names; empty where that is nothing."""
    names = list(dict(model.named_parameters(remove_duplicate=False)))
    frozen = [name for name in names if not model.get_parameter(name).requires_grad]
    if not frozen:
        return ""
    numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    count = sum(number for number, learns in numbers if not learns)
    return f"\nfrozen: {', '.join(whole_parts(frozen, names))}: {count:,} of {sum(n for n, _ in numbers):,} parameters"


def _device(trainer: lightning.Trainer) -> str:
    device = trainer.strategy.root_device
    return (
        counted(torch.get_num_threads(), "CPU threads")
        if device.type == "cpu"
        else f"{trainer.num_devices} × {device.type}"
    )


def count_parameters(module: TranslationModule) -> int:
    """Return the number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def report_results(
    folder: Path,
    data: TranslationDataModule,
    evaluations: dict[str, Evaluation],
    packages: Iterable[str],
) -> None:
    """Show some translations, the scores, and where the rest is; packages are those that the model's parts are from."""
    folder = from_here(folder)
    shown, evaluation = list(evaluations.items())[min(1, len(evaluations) - 1)]
    lines = ["", f"Translations of {shown}:"]
    for row, hypothesis in zip(data.dataset(shown).select(range(min(SHOWN, len(evaluation.hypotheses)))),
                               evaluation.hypotheses, strict=False):  # fmt: skip
        lines += ["", f"  source      {row['source']}", f"  hypothesis  {hypothesis}", f"  reference   {row['target']}"]
    linked = any("aer" in evaluation.metrics for evaluation in evaluations.values())
    head = f"{'AER':>9}{'AER of the diagonal':>22}" if linked else ""
    lines += ["", f"{'split':<14}{'BLEU':>7}{'chrF':>7}{head}"]
    for split, evaluation in evaluations.items():
        metrics = evaluation.metrics
        row = f"{split:<14}{metrics['bleu']:7.2f}{metrics['chrf']:7.2f}"
        if "aer" in metrics:
            row += f"{100 * metrics['aer']:7.1f} %{100 * metrics['aer_diagonal']:20.1f} %"
        lines.append(row)
        lines += [f"  {name:<13} {scores_line(own)}" for name, own in lines_by_corpus(metrics)]
    program = _program("seq2seq")
    checkpoint = shlex.quote(f"checkpoint={checkpoint_of(folder)}")
    first = data.dataset("val")[0]
    source = shlex.quote(f"source={first['source']}")
    tag = f" tag={first['tag']}" if first["tag"] else ""
    if own := sorted({*packages} - {"seq2seq", "torch"}):
        checkpoint += " " + shlex.quote(f"trusted=[{','.join(own)}]")
    runs = shlex.quote(f"runs={folder.parent.parent}")
    split = "" if "test" in evaluations else f" split={shown}"
    looks = evaluation.alignment is not None  # without attention there is nothing to draw
    lines += [
        "",
        *([f"pictures      {folder / 'alignments'}"] if looks else []),
        *([f"one sentence  {program} visualize {checkpoint}{tag} {source}"] if looks else []),
        f"translate     {program} translate {checkpoint}{tag}",
        f"compare       {program} compare {runs}{split}",
    ]
    if any(folder.glob("events.out.*")):  # logger= may have said another one
        lines.append(f"TensorBoard   {program} tensorboard {runs}   then open its {'Images' if looks else 'Text'} tab")
    lines += [f"profile       {file}" for file in sorted(folder.glob("*profile.txt"))]  # of debug=profiler
    log.info("\n".join(lines))


def _program(name: str) -> str:
    """Return how to call a program of this environment from here."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists() or shutil.which(name) == str(beside):
        return name
    return str(from_here(beside))
