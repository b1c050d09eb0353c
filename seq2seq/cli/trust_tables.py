"""The tables of `seq2seq trust`."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from seq2seq.evaluation.changes import Outcome
from seq2seq.evaluation.trust import Mean, Trust


def methods_table(found: dict[str, Trust]) -> Table:
    """Return the table of methods, the most comprehensive one first."""
    linked = any(trust.hit_rate is not None for trust in found.values())
    heads = ["method", "without its words", "with them alone", *(["first word is linked"] if linked else []), "ms"]
    made = _table("nats of log p, mean over sentences and its 95 % interval", heads)
    for name, trust in _ranked(found):
        cells = [_interval(trust.comprehensiveness), _interval(trust.sufficiency)]
        cells += [_percent(trust.hit_rate or 0)] if linked else []
        made.add_row(name, *cells, f"{1e3 * trust.seconds:.0f}")
    return made


def phenomena_table(found: dict[str, Trust]) -> Table | str:
    """Return how often the first word is a linked one, a row a phenomenon: of the words of sentences that show it.

    In the last row, of each pronoun whose gender hangs on a noun, how often that noun is first but for its own links.
    Where there is no row, a line that says why.
    """
    tags = sorted({tag for trust in found.values() for tag in trust.hits_by_tag})
    names = [name for name, _ in _ranked(found)]
    made = _table("first word is linked, %, in sentences with", ["phenomenon", *names])
    for tag in tags:
        made.add_row(tag, *(f"{100 * found[name].hits_by_tag[tag]:.1f}" for name in names))
    rates = [found[name].antecedent_rate for name in names]
    if any(rate is not None for rate in rates):
        made.add_row("antecedent of it", *("–" if rate is None else f"{100 * rate:.1f}" for rate in rates))
    return made if made.rows else "phenomena: the sentences have no names of phenomena and links, as data=grammar has"


def changes_table(outcomes: Sequence[Outcome]) -> Table:
    """Return the table of other weights: what they do to the output, and how far they are from the model's own."""
    title = "other weights: how far output (TVD, 0-1) and weights (JSD, 0-0.69) move; mean and its 95 % interval"
    made = _table(title, ["changed", "weights", "output moves", "weights move", "same word"], left=2)
    for changed, weights, moved, distance, same in outcomes:
        output = ["–", _interval(distance), "–"]
        if moved is not None and same is not None:
            output = [_interval(moved), _interval(distance), _percent(same.mean)]
        made.add_row(changed, Text(weights), *output)
    return made


def _table(title: str, heads: Sequence[str], *, left: int = 1) -> Table:
    made = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        made.add_column(head, justify="left" if i < left else "right", overflow="fold")
    return made


def _ranked(found: dict[str, Trust]) -> list[tuple[str, Trust]]:
    return sorted(found.items(), key=lambda item: -item[1].comprehensiveness.mean)


def _interval(mean: Mean) -> str:
    return f"{mean.mean:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
