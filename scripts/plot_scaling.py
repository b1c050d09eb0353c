"""What 1/sqrt(d_k) is for, as a picture: entropy, saturation, gradient and BLEU as heads grow wider.

seq2seq train experiment=scaling
python scripts/plot_scaling.py outputs/grammar scaling.png
"""

import argparse
import json
from pathlib import Path

import yaml
from arguments import mistakes_in_a_line, picture
from matplotlib.figure import Figure

SCORES = {"ScaledDot": ("q·k / √d_k", "#265fa2"), "Dot": ("q·k", "#e8590c")}
PANELS = {
    "normalized_entropy": "entropy ÷ log(keys)",
    "saturation": "rows with a weight above 0.99",
    "gradient": "gradient at a row of scores",
    "bleu": "BLEU, validation",
}


def read(folder: Path) -> dict[str, list[tuple[int, dict[str, float]]]]:
    """Return (d_k, figures) of every finished run of the experiment, by the name of the score's class."""
    found: dict[str, list[tuple[int, dict[str, float]]]] = {score: [] for score in SCORES}
    for file in sorted(folder.rglob("metrics.json")):
        config = yaml.safe_load((file.parent / "config.yaml").read_text(encoding="utf-8"))
        metrics = json.loads(file.read_text(encoding="utf-8"))
        score = config["score"]["_target_"].rpartition(".")[2]
        gradient = metrics.get("attention/score_gradient/cross/layer0")
        if gradient is None or score not in SCORES or config["decoder"].get("num_heads") != 1:
            continue
        heads = json.loads((file.parent / "heads.json").read_text(encoding="utf-8"))["val"]
        cross = next(row for row in heads if row["kind"] == "cross" and row["head"] is None)
        figures = {**cross, "gradient": gradient, "bleu": metrics["val/bleu"]}
        found[score].append((config["model"]["d_model"], figures))
    return {score: sorted(runs, key=lambda run: run[0]) for score, runs in found.items()}


def plot(found: dict[str, list[tuple[int, dict[str, float]]]]) -> Figure:
    """Return the figure, a panel a statistic."""
    figure = Figure(figsize=(11.5, 2.7), dpi=130, facecolor="white", layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for score, (label, color) in SCORES.items():
            sizes = [d for d, _ in found[score]]
            axes.plot(sizes, [row[name] for _, row in found[score]], "o-", color=color, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, sizes)
        axes.set_ylim(bottom=0)
        axes.set_title(title, size=10, loc="left")
        axes.set_xlabel("d_k")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dcdce2", linewidth=0.6)
    figure.axes[0].legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="a folder with the runs of experiment=scaling in it")
    parser.add_argument("output", type=picture, help="a PNG or SVG file")
    options = parser.parse_args()
    found = read(options.runs)
    if not all(found.values()):
        parser.error(f"no runs of experiment=scaling with both scores below {options.runs}; train them first")
    plot(found).savefig(options.output)
    for score, runs in found.items():
        for d_k, row in runs:
            print(
                f"{SCORES[score][0]:<12} d_k {d_k:>4}   " + "   ".join(f"{t} {row[n]:.3f}" for n, t in PANELS.items())
            )


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
