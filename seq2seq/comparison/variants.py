"""Variants: runs that differ in their seed alone, what to call them, and whether they may be compared at all."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seq2seq.comparison.runs import Run, read_sentences
from seq2seq.config_files import config_folder
from seq2seq.errors import UserError
from seq2seq.options import with_new_keys

NEUTRAL = (
    *("seed", "output", "run_name", "resume", "loader.cache_dir", "variants", "training.test_splits", "logger"),
    *("pinned", "trainer.enable_progress_bar", "trainer.log_every_n_steps"),
    *(f"callbacks.{name}" for name in ("pinned", "progress_bar", "report", "checks", "learning_rate")),
)
"""Keys, with all below them, in which the runs of a variant may differ: which run it is, where it is kept, what it
shows while it trains."""

STREAMED = "data.streaming"
SHOWN_KEYS = 4


class Statistic(NamedTuple):
    """A metric over the seeds of a variant."""

    mean: float
    deviation: float | None  # of the sample, over n - 1; None for a single seed
    n: int


@dataclass
class Variant:
    """Runs of one configuration, one a seed, in the order of their seeds."""

    name: str
    runs: list[Run]

    @property
    def finished(self) -> list[Run]:
        """The runs that have scores."""
        return [run for run in self.runs if run.finished]

    def statistic(self, metric: str) -> Statistic | None:
        """Return mean and standard deviation of a metric; None where no run has it."""
        values = [run.metrics[metric] for run in self.finished if metric in run.metrics]
        return statistic_of(values) if values else None

    @property
    def state(self) -> str:
        """Return `finished` where a run has scores, else the state of the first run."""
        return "finished" if self.finished else self.runs[0].state


def statistic_of(values: Sequence[float]) -> Statistic:
    """Return mean and standard deviation of a value a seed, at least one."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Statistic(float(np.mean(values)), deviation, len(values))


class Grouped(NamedTuple):
    """All variants, and the repeats that newer runs of the same configuration and seed replace."""

    variants: list[Variant]
    left_out: list[Run]


def group_runs(runs: Iterable[Run]) -> Grouped:
    """Return the runs as variants; of one configuration and seed the newest finished run counts, else the newest."""
    groups: dict[str, list[Run]] = defaultdict(list)
    unknown = []
    for run in runs:
        if run.config:
            groups[_identity(run)].append(run)
        else:
            unknown.append(run)
    for run in unknown:  # failed before its configuration was written: it belongs where its name does
        same = [key for key, group in groups.items() if base_name(group[0]) == base_name(run)]
        groups[same[0] if len(same) == 1 else f"folder {base_name(run)}"].append(run)
    variants, left_out = [], []
    for group in groups.values():
        by_seed: dict[Any, Run] = {}
        for run in sorted(group, key=lambda run: (run.finished, run.started)):
            if run.seed in by_seed:
                left_out.append(by_seed[run.seed])
            by_seed[run.seed] = run
        variants.append(Variant("", sorted(by_seed.values(), key=lambda run: (run.seed is None, run.seed or 0))))
    _name(variants)
    return Grouped(variants, left_out)


def base_name(run: Run) -> str:
    """Return the run's name without its seed."""
    return re.sub(rf"[-_ ](s|seed){run.seed}$", "", run.name) or run.name


def _identity(run: Run) -> str:
    """Return the configuration as text that is equal for the runs of a variant, also of an earlier version's."""
    return json.dumps(_settings(run, with_new_keys(run.config)), sort_keys=True, default=str)


def _settings(run: Run, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a run's configuration that make a variant, by their dotted names."""
    output = str(run.config.get("output") or "")

    def walk(node: Any, prefix: str) -> Iterable[tuple[str, Any]]:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, f"{prefix}.{key}" if prefix else str(key))
        elif isinstance(node, str) and output and node.startswith(output):
            yield prefix, "${output}" + node[len(output) :]  # resolved, it would tell every two runs apart
        elif node is not None:  # a key that is null and one that an older version did not have mean the same
            yield prefix, node

    below = tuple(f"{key}." for key in NEUTRAL)
    return {key: value for key, value in walk(config, "") if key not in NEUTRAL and not key.startswith(below)}


def _name(variants: Sequence[Variant]) -> None:
    """Give every variant its name; where several share one, what is unusual comes after it."""
    shared = defaultdict(list)
    for variant in variants:
        newest = max(variant.runs, key=lambda run: run.started)
        variant.name = base_name(newest)
        shared[variant.name].append(variant)
    for name, group in shared.items():
        for variant in [variant for variant in group if len(group) > 1 and not variant.runs[0].config]:
            variant.name = f"{name} (no configuration)"
            group.remove(variant)
        if len(group) > 1:
            runs = [variant.runs[0] for variant in group]
            named = {key for run in runs for key in _settings(run, run.config)}
            whole = [_settings(run, with_new_keys(run.config)) for run in runs]
            settings = [{key: value for key, value in each.items() if key in named} for each in whole]
            columns = {key: [_short(key, values.get(key)) for values in settings] for key in _differing(settings)}
            for number, variant in enumerate(group):
                own = [key for key, column in columns.items() if column[number] != _usual(column)]
                own = [key for key in own if not _follows(key, number, columns)]
                parts = [f"{key.removesuffix('._target_')}={columns[key][number]}" for key in own]
                shown = [*parts[:SHOWN_KEYS], *(["…"] if len(parts) > SHOWN_KEYS else [])]
                variant.name = f"{name} ({', '.join(shown)})" if shown else name
    seen: dict[str, int] = defaultdict(int)
    for variant in variants:
        seen[variant.name] += 1
        if seen[variant.name] > 1:
            variant.name += f" #{seen[variant.name]}"


def _usual(column: Sequence[str]) -> str | None:
    """Return the value that more than half of the variants have, which a name need not say; None for no such value."""
    value, count = Counter(column).most_common(1)[0]
    return value if 2 * count > len(column) else None


def _follows(key: str, number: int, columns: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the part that a variant has, which its name says, always comes with its value of this key."""
    parts = columns.get(f"{key.rpartition('.')[0]}._target_")
    if parts is None or key.endswith("_target_") or parts[number] == _usual(parts):
        return False
    return len({value for value, part in zip(columns[key], parts, strict=True) if part == parts[number]}) == 1


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the keys whose values differ; of those that differ alike, as model.dropout and encoder.dropout, one."""
    keys = dict.fromkeys(key for values in settings for key in values)
    found: dict[str, str] = {}
    # What a person sets first: the model's own keys before those that take their value from them.
    for key in sorted(keys, key=lambda key: (not key.startswith("model."), len(key.removesuffix("._target_")))):
        column = [json.dumps(_short(key, values.get(key))) for values in settings]
        if len({json.dumps(values.get(key), default=str) for values in settings}) > 1:
            found.setdefault(" ".join(column), key)
    return list(found.values())


def _short(key: str, value: Any) -> str:
    """Return a key's value for a name: of a `_target_` the word that a user gives for it, else its last part."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if not key.endswith("_target_"):
        return text
    group = re.sub("^(self|cross)_", "", key.split(".")[-2]) if "." in key else ""
    choices = _choices(group).get(text, [])
    return choices[0] if len(choices) == 1 else text.rsplit(".", 1)[-1]


@cache
def _choices(group: str) -> Mapping[str, list[str]]:
    """Return the choices of a group of configuration files by the class that each makes."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((config_folder() / group).glob("*.yaml")):
        for target in re.findall(r"^_target_: ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[target].append(path.stem)
    return found


def check_same_data(runs: Sequence[Run], root: Path, split: str) -> None:
    """Refuse runs whose scores do not belong side by side.

    Raises:
        UserError: two runs have different data, or different references in the split, naming both and the remedy.
    """
    known = [run for run in runs if run.config]
    data = [_flat_data(run) for run in known]
    for run, theirs in zip(known[1:], data[1:], strict=True):
        ours = data[0]
        if ours != theirs:
            key = next(key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
            what = f"{key}={_short(key, ours.get(key))} and {_short(key, theirs.get(key))}"
            raise UserError(_different(known[0], run, root, f"were trained on different data ({what})"))
    first: Run | None = None
    for run in known:
        if f"{split}/bleu" not in run.metrics or not read_sentences(run, split):
            continue
        if first is None:
            first = run
        if _references(first, split) == _references(run, split):
            continue
        shorter, longer = sorted((first, run), key=lambda run: len(run.sentences[split]))
        counts = [len(r.sentences[split]) for r in (shorter, longer)]
        if counts[0] < counts[1] and _references(longer, split)[: counts[0]] == _references(shorter, split):
            shorter.problems.append(f"sentences-{split}.jsonl: it ends after {counts[0]} of {counts[1]} sentences")
            shorter.sentences[split] = []
            first = longer
        else:
            raise UserError(_different(first, run, root, f"have different references in {split}"))


def _flat_data(run: Run) -> dict[str, Any]:
    """Return which data a run was trained on; how they were read, whole or as a stream, is another matter."""
    settings = _settings(run, with_new_keys(run.config))
    return {key: value for key, value in settings.items() if key.split(".")[0] == "data" and key != STREAMED}


def _references(run: Run, split: str) -> list[tuple[str, str]]:
    return [(sentence["source"], sentence["reference"]) for sentence in run.sentences[split]]


def _different(one: Run, other: Run, root: Path, what: str) -> str:
    ours, theirs = Path(one.where).parts[0], Path(other.where).parts[0]
    folder = root / ours if ours != theirs else one.folder.parent
    return f"{one.where} and {other.where} {what}; compare runs of the same data, such as runs={folder}"
