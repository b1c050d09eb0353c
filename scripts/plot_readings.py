"""Draw the error rate of every reading of every variant, as `seq2seq compare reading=best` found it.

    seq2seq compare runs=outputs/grammar reading=best output=DIR
    python scripts/plot_readings.py DIR/readings.csv [OTHER/readings.csv ...] --output readings.png

Of several files, such as one for each `links=`, each has a panel, named by `--names`. With --table the error rates
are also printed as a table in Markdown, a row a variant.
"""

import argparse
import csv
import re
import sys
from pathlib import Path

import matplotlib
from arguments import picture

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

COLORS = {
    "output_weights": "#265fa2",
    "output_norms": "#0b8a99",
    "input_weights": "#e8590c",
    "input_norms": "#9a7b00",
}

Found = dict[str, dict[str, tuple[float, float, str]]]
"""By variant and reading: AER and its deviation in percent, and the layers that validation chose."""


def read(path: str) -> Found:
    """Return the readings of a file, variants with more layers later."""
    found: Found = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["aer"]:
                    numbers = 100 * float(row["aer"]), 100 * float(row["aer_sd"] or 0), row["layers"]
                    found.setdefault(row["variant"], {})[row["way"]] = numbers
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"error: {path} is no readings.csv of seq2seq compare reading=best ({error})")
    if not found:
        sys.exit(f"error: {path} has no readings; say reading=best to seq2seq compare")

    def order(name: str) -> tuple[str, int]:
        layers = re.search(r"(\d+)-layer", name)
        return name.split("-")[0], int(layers[1]) if layers else 0

    return {name: found[name] for name in sorted(found, key=order)}


def short(name: str) -> str:
    """Return a variant's name in two lines: what it is, and how deep."""
    layers = re.search(r"(\d+)-layers?", name)
    return f"{name.split('-')[0]}\n{layers[0].replace('-', ' ')}" if layers else name.replace("-", "\n", 1)


def table(found: Found) -> str:
    """Return the error rates, with the layer that each was read in."""
    readings = list(dict.fromkeys(reading for rows in found.values() for reading in rows))
    lines = [f"| variant | {' | '.join(readings)} |", f"|---|{'---:|' * len(readings)}"]
    for name, rows in found.items():
        cells = []
        for reading in readings:
            aer, deviation, layers = rows.get(reading, (None, 0.0, ""))
            spread = f" ± {deviation:.2f}" if deviation else ""
            cells.append("–" if aer is None else f"{aer:.2f}{spread} (layer {layers})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="readings.csv of seq2seq compare")
    parser.add_argument("--names", nargs="+", help="titles of the panels (the files' folders)")
    parser.add_argument("--output", type=picture, default="readings.png", help="PNG or SVG (%(default)s)")
    parser.add_argument("--table", action="store_true", help="print the error rates as Markdown, too")
    options = parser.parse_args()
    names = options.names or [Path(path).resolve().parent.name for path in options.files]
    if len(names) != len(options.files):
        parser.error(f"{len(names)} names for {len(options.files)} files; give one a file")
    panels = [read(path) for path in options.files]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1 + 5.5 * len(panels), 3.8), layout="constrained", sharey=True, squeeze=False
    )
    for axis, name, found in zip(axes[0], names, panels, strict=True):
        variants = list(found)
        named = set()
        for family, reading in dict.fromkeys((name.split("-")[0], r) for name, rows in found.items() for r in rows):
            # A line joins what differs in its depth alone.
            shown = [name for name, rows in found.items() if name.split("-")[0] == family and reading in rows]
            points = [(variants.index(name), *found[name][reading][:2]) for name in shown]
            across, up, deviation = zip(*points, strict=True)
            beside = 0.1 * (list(COLORS).index(reading) - 1.5) if reading in COLORS else 0.0
            label = None if reading in named else reading
            axis.errorbar(
                [place + beside for place in across],
                up,
                yerr=deviation,
                marker="o",
                markersize=4,
                capsize=2,
                label=label,
                color=COLORS.get(reading),
            )
            named.add(reading)
        axis.margins(x=0.12)
        axis.set_xticks(range(len(variants)), [short(variant) for variant in variants], fontsize=8)
        axis.set(yscale="log", title=name)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value in (2, 3, 5, 20, 50) else "")
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("alignment error rate on test, %")
    axes[0][0].legend(frameon=False, fontsize=9, loc="center right")
    figure.savefig(options.output, dpi=130)
    if options.table:
        for name, found in zip(names, panels, strict=True):
            print(f"{name}\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
