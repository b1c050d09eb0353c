"""Every figure of "Attention, explained", with its numbers, from random vectors and from runs on the embedded grammar.

    seq2seq train trainer.max_epochs=8 --multirun model=bottleneck,bahdanau,transformer
    python scripts/explained_figures.py --bottleneck RUN --bahdanau RUN --transformer RUN --output docs/explained

RUN is the folder of a run, with metrics.json in it. Only the figures of the runs that are given are drawn.
The figures of the two silent bugs are those of scripts/mask_bugs.py.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from arguments import mistakes_in_a_line
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import seq2seq
from seq2seq.alignment.colors import COLORMAP, GOLD, GRID, INK
from seq2seq.alignment.heatmap import draw_image, heatmap
from seq2seq.alignment.links import parse_links
from seq2seq.attention import Attention, Dot, ScaledDot
from seq2seq.cli.process.output import check_folder
from seq2seq.data.grammar import Sentence, generate
from seq2seq.evaluation.metrics import bleu_metric

BLUE = "#265fa2"
LENGTHS = {
    "test": ((4, 5), (6, 7), (8, 9), (10, 11), (12, 13), (14, 17)),
    "test_long": ((22, 23), (24, 25), (26, 27), (28, 31)),
}
"""Words of the source, by split: at least 27 sentences each."""
DOING = {
    "previous": "word before",
    "diagonal": "same place",
    "next": "word after",
    "sink_mass": "ends, punctuation",
    "normalized_entropy": "spread out",
}
TURNED = "Yesterday the wizard bought an old car ."


def save(figure: Figure, path: Path) -> None:
    """Write a figure: SVG as it is, PNG with few colours, so that it stays small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None})
    else:
        Image.fromarray(draw_image(figure)).quantize(128).save(path, optimize=True)
    print(f"  {path}: {path.stat().st_size / 1000:.0f} KB")


def plain(axes: Axes, title: str) -> None:
    axes.set_title(title, size=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.6)


def lookup(path: Path) -> None:
    """The weights of three keys, for a query that grows longer."""
    print("soft lookup: weights by the length of the query")
    keys = torch.tensor([[1.0, 0.0], [0.7, 0.7], [0.0, 1.0]])
    attention = Attention(Dot(2, 2))
    memory = attention.memory(keys[None], keys[None])
    lengths = (0, 1, 2, 5, 10)
    figure = Figure(figsize=(8, 1.9), facecolor="white", layout="constrained")
    for axes, length in zip(figure.subplots(1, len(lengths), sharey=True), lengths, strict=True):
        weights = attention(length * keys[None, :1], memory, need_weights=True)[1]
        assert weights is not None
        row = weights[0, 0].tolist()
        print(f"  length {length:>2}: " + ", ".join(f"{weight:.2f}" for weight in row))
        bars = axes.bar(["equal", "near", "far"], row, color=BLUE, width=0.7)
        axes.bar_label(bars, fmt="%.2f", size=8, color=INK)
        axes.set_ylim(0, 1.12)
        plain(axes, f"query of length {length}")
    save(figure, path)


def scale(path: Path) -> None:
    """Variance, entropy and gradient of softmax rows, with and without 1/sqrt(d), for random vectors."""
    print("scale: rows of ten keys, 2,000 queries; variance of scores, entropy / ln 10, gradient p (1 - p)")
    torch.manual_seed(1)
    sizes = (4, 16, 64, 256, 1024)
    panels = ("variance of a score", "entropy ÷ ln(10)", "gradient of a weight by its score")
    figure = Figure(figsize=(9.5, 2.5), facecolor="white", layout="constrained")
    every_axes = figure.subplots(1, 3)
    for kind, label, color in ((Dot, "q·k", GOLD), (ScaledDot, "q·k / √d", BLUE)):
        rows = []
        for d in sizes:
            scores = kind(d, d)(torch.randn(2000, 1, d), torch.randn(2000, 10, d))[:, 0]
            p = scores.softmax(-1)
            entropy = -(p * p.clamp(min=1e-30).log()).sum(-1).mean() / math.log(10)
            rows.append((scores.var().item(), entropy.item(), (p * (1 - p)).mean().item()))
            print(f"  {label:<9} d {d:>4}: " + "  ".join(f"{value:8.3f}" for value in rows[-1]))
        for axes, title, line in zip(every_axes, panels, zip(*rows, strict=True), strict=True):
            axes.plot(sizes, line, "o-", color=color, label=label)
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, sizes)
            axes.set_xlabel("d")
            plain(axes, title)
    every_axes[0].set_yscale("log")
    every_axes[1].set_ylim(0, 1)
    every_axes[2].set_ylim(bottom=0)
    every_axes[0].legend(frameon=False)
    save(figure, path)


def by_length(runs: dict[str, Path], path: Path) -> None:
    """BLEU against the length of the source, of the translations that each run has stored."""
    print("BLEU by words of the source")
    figure = Figure(figsize=(7.5, 3.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.axvspan(17.5, 32, color="#f3f3f5", zorder=0)
    axes.text(17.8, 103, "longer than any in training", size=9, color=INK)
    for (name, run), color in zip(runs.items(), (GOLD, BLUE), strict=True):
        for split, bins in LENGTHS.items():
            text = (run / f"sentences-{split}.jsonl").read_text(encoding="utf-8")
            line = [_bleu([json.loads(row) for row in text.splitlines()], *ends) for ends in bins]
            axes.plot([length for length, _ in line], [bleu for _, bleu in line], "o-", color=color)
            said = (f"{a}-{b}: {bleu:.0f}" for (a, b), (_, bleu) in zip(bins, line, strict=True))
            print(f"  {name:<32} {split:<10}" + "  ".join(said))
            if split == "test":
                axes.text(line[0][0], line[0][1] - 16, name, size=9, color=color)
    axes.set_ylim(0, 112)
    axes.set_xlim(3, 32)
    axes.set_xlabel("words of the source")
    plain(axes, "BLEU")
    save(figure, path)


def _bleu(rows: list[dict[str, str]], least: int, most: int) -> tuple[float, float]:
    """Return the mean length of the sources of some lengths, and the BLEU of their translations."""
    found = [row for row in rows if least <= len(row["source"].split()) <= most]
    references = [[row["reference"] for row in found]]
    bleu = bleu_metric("none", lowercase=False).corpus_score([row["hypothesis"] for row in found], references)
    return sum(len(row["source"].split()) for row in found) / len(found), bleu.score


def alignment(run: Path, path: Path) -> None:
    """The attention of a sentence whose words change places, gold links outlined."""
    model = seq2seq.load(run / "checkpoints" / "best.ckpt")
    pair = max((p for p in generate("test") if "separable" in p.tags and "perfect" in p.tags), key=_turned)
    print(f"alignment of: {pair.source} -> {pair.target}")
    attention = model.attention(pair.source, pair.target)
    view = attention.view()
    weights, _ = view.of(attention.alignment.head)
    save(heatmap(weights, view.key_labels, view.query_labels, title="Bahdanau", gold=parse_links(pair.links)), path)


def _turned(pair: Sentence) -> int:
    links = parse_links(pair.links).sure
    return sum(abs(source - target) for source, target in links)


def kinds(run: Path, folder: Path) -> None:
    """The three kinds of attention of a Transformer over one sentence, a head of the last layer each."""
    model = seq2seq.load(run / "checkpoints" / "best.ckpt")
    attention = model.attention(TURNED)
    print(f"kinds: {attention.source.text} -> {attention.target.text}")
    for kind in ("encoder", "decoder", "cross"):
        made = next(m for m in reversed(attention.maps) if m.site.kind == kind)
        if kind == "cross":
            made = next(m for m in attention.maps if m.name == attention.alignment.layer)
        view = made.view("words")
        weights, _ = view.of(attention.alignment.head if kind == "cross" else None)
        save(heatmap(weights, view.key_labels, view.query_labels, title=kind), folder / f"{kind}.png")


def heads(run: Path, path: Path) -> None:
    """What each head does, from heads.json."""
    rows = json.loads((run / "heads.json").read_text(encoding="utf-8"))["val"]
    rows = [row for row in rows if row["head"] is not None]
    figure = Figure(figsize=(9.5, 3.6), dpi=130, facecolor="white", layout="constrained")
    kinds_ = [kind for kind in ("encoder", "decoder", "cross") if any(row["kind"] == kind for row in rows)]
    for axes, kind in zip(figure.subplots(1, len(kinds_)), kinds_, strict=True):
        found = [row for row in rows if row["kind"] == kind]
        values = [[row.get(name) or 0.0 for name in DOING] for row in found]
        axes.imshow(values, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(DOING)), list(DOING.values()), rotation=35, ha="right", size=8)
        axes.set_yticks(range(len(found)), [f"{row['layer']}.{row['head']}" for row in found], size=7)
        axes.set_title({"cross": "cross-attention"}.get(kind, f"self-attention, {kind}"), size=10, loc="left")
        print(f"heads: {kind}")
        for row in found:
            aer = "" if row.get("aer") is None else f"  AER {100 * row['aer']:.0f} %"
            print(f"  {row['layer']}.{row['head']}  " + "  ".join(f"{n} {row.get(n) or 0:.2f}" for n in DOING) + aer)
    figure.axes[0].set_ylabel("layer.head", size=8)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bottleneck", "bahdanau", "transformer"):
        parser.add_argument(f"--{name}", type=Path, help="the folder of a run of that model")
    parser.add_argument("--output", type=Path, default=Path("docs/explained"), help="a folder (%(default)s)")
    options = parser.parse_args()
    check_folder(options.output, key="--output=")
    for run in filter(None, (options.bottleneck, options.bahdanau, options.transformer)):
        if not (run / "metrics.json").exists():
            parser.error(f"{run} has no finished run; give a folder with metrics.json")
    lookup(options.output / "lookup.svg")
    scale(options.output / "scale.svg")
    if options.bottleneck and options.bahdanau:
        runs = {"without attention (bottleneck)": options.bottleneck, "with attention (Bahdanau)": options.bahdanau}
        by_length(runs, options.output / "bottleneck.svg")
    if options.bahdanau:
        alignment(options.bahdanau, options.output / "alignment.png")
    if options.transformer:
        kinds(options.transformer, options.output)
        heads(options.transformer, options.output / "heads.png")


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
