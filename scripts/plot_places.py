"""Draw where in a sentence models go wrong: the accuracy of forced tokens by their place in the target, a line a run.

    python scripts/plot_places.py --split test_long --output places.png outputs/grammar/RUN outputs/grammar/OTHER

A run is a folder with metrics.json, or one above it, whose newest run is taken.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
from arguments import picture

matplotlib.use("agg")
from matplotlib import pyplot as plt


def accuracies(folder: Path, split: str) -> dict[str, float]:
    """Return the accuracy of forced tokens by range of places, such as 1-5."""
    files = sorted(folder.glob("metrics.json")) or sorted(folder.glob("*/metrics.json"))
    if not files:
        sys.exit(f"error: {folder} has no finished run; give a folder with metrics.json")
    metrics = json.loads(files[-1].read_text(encoding="utf-8"))
    prefix = f"{split}/token_accuracy_by_place/"
    found = {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}
    if not found:
        sys.exit(f"error: {files[-1]} has no scores on {split}; give --split another")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of runs")
    parser.add_argument("--names", nargs="+", help="what the picture calls them (the folders' names)")
    parser.add_argument("--split", default="test_long", help="of the data (%(default)s)")
    parser.add_argument("--output", type=picture, default="places.png", help="PNG or SVG (%(default)s)")
    options = parser.parse_args()
    names = options.names or [Path(run).name for run in options.runs]
    if len(names) != len(options.runs):
        parser.error(f"{len(names)} names for {len(options.runs)} runs; give one a run")
    lines = [accuracies(Path(run), options.split) for run in options.runs]
    places = max(lines, key=len)
    figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for name, line in zip(names, lines, strict=True):
        panel.plot([list(places).index(place) for place in line], list(line.values()), marker="o", label=name)
    panel.set_xticks(range(len(places)), list(places))
    panel.set(xlabel="place in the target, pieces", ylabel="accuracy of forced tokens", ylim=(0, 1.02))
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9, loc="lower right")
    figure.savefig(options.output, dpi=130)


if __name__ == "__main__":
    main()
