"""What an explanation is: contributions of the source and of the words before, for every target word."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What each word that was read contributed to each target word, on the CPU.

    Attributes:
        method: its name.
        meaning: what a number is.
        contrast: whether it is of one word beside what might have been said instead.
        signed: whether numbers are nats of log-probability, with a sign; else they are shares, and a row sums to 1.
        source: labels of the source's columns, `</s>` last.
        prefix: labels of the columns of the words before, `<s>` first.
        target: labels of the rows, `</s>` last; of a contrast the one row `es - sie`.
        from_source: (target, source).
        from_prefix: (target, prefix); 0 from words that come later. A word's own earlier pieces stand in its column.
        log_probability: (target,), of each word in nats; of a contrast the difference of two.
        gap: (target,), what the sum of a row misses of what it should be; None where the method promises none.
        remark: what a reader must know of how it was computed.
        source_text: what was read.
        target_text: what was said.
    """

    method: str
    meaning: str
    contrast: bool
    signed: bool
    source: list[str]
    prefix: list[str]
    target: list[str]
    from_source: Tensor
    from_prefix: Tensor
    log_probability: Tensor
    gap: Tensor | None
    remark: str
    source_text: str
    target_text: str

    @property
    def name(self) -> str:
        """What to call its files."""
        return f"{self.method}-contrast" if self.contrast else self.method

    @property
    def source_share(self) -> Tensor:
        """The source's share of each row, 0-1 (target,): of the sizes of numbers, whatever their sign."""
        source, prefix = self.from_source.abs().sum(-1), self.from_prefix.abs().sum(-1)
        total = source + prefix
        return source / total.where(total > 0, 1)

    @property
    def relative(self) -> tuple[Tensor, Tensor]:
        """Both parts of each row, divided by the sum of its sizes: from -1 to 1."""
        total = self.from_source.abs().sum(-1, keepdim=True) + self.from_prefix.abs().sum(-1, keepdim=True)
        total = total.where(total > 0, 1)
        return self.from_source / total, self.from_prefix / total

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, a step a target word."""
        gaps = [None] * len(self.target) if self.gap is None else self.gap.tolist()
        rows = zip(
            self.target,
            self.log_probability.tolist(),
            self.source_share.tolist(),
            self.from_source.tolist(),
            self.from_prefix.tolist(),
            gaps,
            strict=True,
        )
        names = ("word", "log_probability", "source_share", "source", "prefix", "gap")
        return {
            "method": self.method,
            "meaning": self.meaning,
            "contrast": self.contrast,
            "unit": "nats" if self.signed else "share",
            "source_text": self.source_text,
            "target_text": self.target_text,
            "remark": self.remark,
            "source": self.source,
            "prefix": self.prefix,
            "steps": [dict(zip(names, row, strict=True)) for row in rows],
        }
