"""One table of all variants: its columns, its rows, and what there is to say about them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.alignment.shares import LEAST
from seq2seq.comparison.chance import Chance, Tested
from seq2seq.comparison.runs import Run
from seq2seq.comparison.variants import Variant


class Column(NamedTuple):
    """A metric as a column."""

    key: str  # in metrics.json; those in `TESTED` are of the test against the baseline
    label: str
    decimals: int = 1
    factor: float = 1.0
    better: int = 0  # 1: more, -1: less, 0: neither
    spread: bool = True  # whether a deviation is worth showing
    about: str = ""


TESTED = ("bleu_difference", "bleu_p", "aer_difference", "aer_p")


class Cell(NamedTuple):
    """What stands in a column, in the column's units."""

    value: float
    deviation: float | None = None


class Row(NamedTuple):
    """A variant."""

    name: str
    seeds: str  # how many runs count, of how many
    state: str
    story: str  # why there is nothing to show
    cells: dict[str, Cell]
    baseline: bool  # whether the others are tested against it


class Comparison(NamedTuple):
    """All that the four forms of the table show."""

    split: str
    columns: list[Column]
    rows: list[Row]  # highest BLEU first, those without scores at the end
    variants: list[Variant]  # as the rows
    notes: list[str]
    remarks: list[tuple[str, str, str]]  # state, of which runs, story


def rank(variants: Sequence[Variant], split: str) -> list[Variant]:
    """Return the variants in the table's order: highest BLEU on the split first, those without scores at the end."""

    def bleu(variant: Variant) -> float:
        statistic = variant.statistic(f"{split}/bleu")
        return statistic.mean if statistic else -1.0

    return sorted(variants, key=lambda variant: (not variant.finished, -bleu(variant), variant.name))


def make_table(variants: Sequence[Variant], left_out: Sequence[Run], chance: Chance | None, split: str) -> Comparison:
    """Return the table of ranked variants whose scores on a split count."""
    columns = [column for column in _columns(variants, split, chance) if _has(variants, column, chance)]
    rows = [_row(variant, columns, chance, split) for variant in variants]
    stories: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run in (run for variant in variants for run in variant.runs if run.state != "finished"):
        stories[run.state, run.story].append(run.where)
    for run in left_out:
        stories["left out", "a newer run has the same configuration and seed"].append(run.where)
    remarks = [(state, ", ".join(where), story) for (state, story), where in stories.items()]
    return Comparison(split, columns, rows, list(variants), _notes(variants, chance, split), remarks)


def splits_of(variants: Sequence[Variant]) -> list[str]:
    """Return the splits that some run was scored on, tests first."""
    names = {
        name.removesuffix("/bleu")
        for variant in variants
        for run in variant.finished
        for name in run.metrics
        if name.endswith("/bleu")
    }
    return sorted(names, key=lambda name: (not name.startswith("test"), name))


def _columns(variants: Sequence[Variant], split: str, chance: Chance | None) -> list[Column]:
    others = [name for name in splits_of(variants) if name.startswith("test") and name != split]
    harder = []
    for name in others:
        short = name.removeprefix("test_").replace("_", " ")
        harder += [
            Column(f"{name}/bleu", f"BLEU {short}", better=1, about=f"BLEU on {name}"),
            Column(
                f"{name}/aer", f"AER {short}", factor=100, better=-1, about=f"alignment error rate on {name}, percent"
            ),
        ]
    return [
        Column(f"{split}/bleu", "BLEU", better=1, about=f"BLEU on {split}"),
        Column("bleu_difference", "ΔBLEU", about="BLEU less the baseline's, over the seeds that both have"),
        Column("bleu_p", "p ΔBLEU", 3, about="paired bootstrap: how often chance alone differs as much in BLEU"),
        Column(f"{split}/chrf", "chrF", better=1, about=f"chrF on {split}"),
        Column(f"{split}/ter", "TER", better=-1, about=f"translation edit rate on {split}"),
        Column(f"{split}/aer", "AER", factor=100, better=-1, about=f"alignment error rate on {split}, percent"),
        Column("aer_difference", "ΔAER", factor=100, about="AER less the baseline's, over the seeds that both have"),
        Column("aer_p", "p ΔAER", 3, about="paired bootstrap: how often chance alone differs as much in AER"),
        Column(
            f"{split}/aer_argmax",
            "AER argmax",
            factor=100,
            better=-1,
            about="alignment error rate where each target word takes its heaviest source word",
        ),
        *harder,
        Column("parameters", "params M", 2, 1e-6, spread=False, about="millions of parameters"),
        Column(
            "train/target_tokens_per_second", "train tok/s", 0, better=1, about="target tokens a second of training"
        ),
        Column(f"{split}/sentences_per_second", "decode sent/s", 0, better=1, about=f"sentences a second on {split}"),
        Column("train/peak_memory_mib", "peak MiB", 0, better=-1, about="peak memory of training"),
        Column(f"{split}/entropy", "entropy", 2, about="of the rows of the alignment's weights, nats"),
        Column(f"{split}/sink_mass", "sink", 2, about="weight on end of sentence and punctuation, 0-1"),
        Column(f"{split}/nowhere", "nowhere", 2, about="weight that goes to no word, 0-1"),
        Column("epochs", "epochs", 0, spread=False, about="epochs trained"),
        Column("train/seconds", "train s", 0, spread=False, about="seconds of training, without validation"),
    ]


def _has(variants: Sequence[Variant], column: Column, chance: Chance | None) -> bool:
    if column.key in TESTED:
        return bool(_tests(column, chance))
    if column.key.endswith("/nowhere"):  # in most comparisons nothing goes there
        return any(found.mean > LEAST for variant in variants if (found := variant.statistic(column.key)))
    return column.key.endswith("/bleu") or any(variant.statistic(column.key) for variant in variants)


def _tests(column: Column, chance: Chance | None) -> dict[str, Tested]:
    """Return the tests by variant that a column shows."""
    if chance is None or column.key not in TESTED:
        return {}
    return chance.bleu if column.key.startswith("bleu") else chance.aer


def _row(variant: Variant, columns: Sequence[Column], chance: Chance | None, split: str) -> Row:
    cells = {}
    for column in columns:
        statistic = variant.statistic(column.key)
        if statistic is not None:
            deviation = (
                statistic.deviation * column.factor if statistic.deviation is not None and column.spread else None
            )
            cells[column.key] = Cell(statistic.mean * column.factor, deviation)
        elif variant.name in (tests := _tests(column, chance)):
            value = getattr(tests[variant.name], column.key.partition("_")[2])
            cells[column.key] = Cell(value * column.factor)
    # A finished run may not have been scored on the split.
    count = sum(any(name.startswith(f"{split}/") for name in run.metrics) for run in variant.finished)
    total = len(variant.runs)
    seeds = str(count) if count == total else f"{count} of {total}"
    story = "" if variant.finished else variant.runs[0].story
    baseline = chance is not None and chance.baseline == variant.name
    return Row(variant.name, seeds, variant.state, story, cells, baseline)


def _notes(variants: Sequence[Variant], chance: Chance | None, split: str) -> list[str]:
    several = any(len(variant.finished) > 1 for variant in variants)
    notes = [
        f"Scores are of {split}" + (", mean ± standard deviation over seeds" if several else "") + "; AER in percent."
    ]
    if chance is not None and chance.bleu:
        tests = list(chance.bleu.values())
        if max(len(tested.seeds) for tested in tests) > 1:
            how = (
                "run against run of each seed that both have: the mean difference and the largest p, which is 1 where "
                "seeds disagree about which is better; below 0.05 the variant differs with every seed."
            )
        else:
            alike = len({test.seeds for test in tests}) == 1 and tests[0].seeds[0] is not None
            which = f"on seed {tests[0].seeds[0]}" if alike else "on one seed"
            how = f"{which}; below 0.05 a difference is unlikely to be chance, as far as one seed can tell."
        notes.append(
            f"Δ and p: paired bootstrap against {chance.baseline} with {chance.samples:,} samples "
            f"({chance.signature}), {how}"
        )
    known = {chance.baseline, *chance.bleu} if chance else set()
    scored = [variant for variant in variants if variant.statistic(f"{split}/bleu")]
    untested = [variant.name for variant in scored if variant.name not in known]
    if chance and untested:
        notes.append(f"Not tested, for want of a seed whose sentences the baseline has too: {', '.join(untested)}.")
    return notes


def format_cell(row: Row, column: Column) -> str:
    """Return a row's cell as text: `97.2 ± 0.3`; `–` where there is nothing."""
    cell = row.cells.get(column.key)
    if cell is None:
        return "baseline" if row.baseline and column.key == "bleu_difference" else "–"
    sign = "+" if column.key.endswith("_difference") else ""
    text = f"{cell.value:{sign},.{column.decimals}f}"
    return text if cell.deviation is None else f"{text} ± {cell.deviation:,.{column.decimals}f}"
