"""From a folder of runs to what `compare` shows: the table, the tests of chance, the readings."""

from pathlib import Path
from typing import NamedTuple

from seq2seq.comparison.baseline import links_variant
from seq2seq.comparison.chance import Chance, choose_baseline, compare_with
from seq2seq.comparison.readings import Options, ReadVariant, read_variants
from seq2seq.comparison.runs import Run, find_runs
from seq2seq.comparison.table import rank, splits_of
from seq2seq.comparison.variants import Variant, check_same_data, group_runs
from seq2seq.errors import UserError, nearest


class Compared(NamedTuple):
    """Runs side by side."""

    ranked: list[Variant]  # best first
    left_out: list[Run]  # that are no runs of a comparison
    chance: Chance | None  # None: there is no other variant to test
    read: list[ReadVariant]  # read again; empty where nobody asked for it
    runs: list[Run]


def compare_runs(
    root: Path,
    *,
    split: str,
    baseline: str | None,
    samples: int,
    baseline_links: str | None = None,
    again: Options | None = None,
) -> Compared:
    """Return the runs below a folder as variants, ranked by their scores on a split.

    Args:
        root: the folder.
        split: whose scores count.
        baseline: a variant that the others are tested against; None: of those with most seeds the one of highest BLEU.
        samples: of sentences, for the paired bootstrap.
        baseline_links: a file of links by another tool, which becomes a row.
        again: how each run is to be read again from its best checkpoint; None: not at all.

    Raises:
        UserError: there are no runs, or they are not of the same data; there is no such split or baseline.
    """
    variants, left_out = group_runs(find_runs(root))
    runs = [run for variant in variants for run in variant.runs]
    splits = splits_of(variants)
    if splits and split not in splits:
        raise UserError(f"split={split}: no run was scored on it; {nearest(split, splits)}")
    if samples < 1:
        raise UserError(f"samples={samples}: expected at least 1, such as 1000")
    check_same_data(runs, root, split)
    against = _find_baseline(variants, baseline, split)
    # A file that does not fit is refused before the work.
    linked = [] if baseline_links is None else [links_variant(baseline_links, runs, split)]
    chance = compare_with(against, variants, split, samples=samples) if against else None
    read = read_variants(variants, again) if again else []
    return Compared(rank([*variants, *linked], split), left_out, chance, read, runs)


def _find_baseline(variants: list[Variant], name: str | None, split: str) -> Variant | None:
    """Return the variant of a name, or without one the default.

    Raises:
        UserError: there is none of this name, or it was not scored on the split.
    """
    if name is None:
        return choose_baseline(variants, split)
    found = next((variant for variant in variants if variant.name == name), None)
    if found is None:
        names = [variant.name for variant in variants]
        longer = [each for each in names if each.startswith(f"{name} (")]  # the name of a run, which several share
        hint = f"give one of {', '.join(longer)}" if longer else nearest(name, names)
        raise UserError(f"baseline={name}: no variant has this name; {hint}")
    if found.statistic(f"{split}/bleu") is None:
        raise UserError(f"baseline={name}: it has no scores on {split}; give a variant that has")
    return found
