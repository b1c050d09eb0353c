"""All attention of a model over one sentence pair, as Python has it: arrays with labels, a figure, a page."""

import html
from typing import NamedTuple

from matplotlib.figure import Figure

from seq2seq.alignment.heatmap import heatmap
from seq2seq.alignment.maps import AttentionMap, View
from seq2seq.alignment.sentence import Sentence
from seq2seq.api_arguments import unit_of
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.pages.visualize import Target, visualize_page


class SentenceAttention(NamedTuple):
    """All attention of a model over one sentence pair. In a notebook it shows itself as a page to point at."""

    source: Sentence
    target: Sentence
    maps: list[AttentionMap]  # of every attention: weights (heads, query, key) and what the axes stand for
    alignment: AlignmentChoice  # the attention and head that align best on validation data
    checkpoint: str

    def view(self, *, unit: str = "words") -> View:
        """Return the shares (heads, target, source) of the attention that aligns best, with labels.

        Args:
            unit: `words` or `pieces`.

        Raises:
            UserError: it is neither.
        """
        unit = unit_of(unit)
        return next(m for m in self.maps if m.name == self.alignment.layer).view(unit)

    def plot(self, *, unit: str = "words") -> Figure:
        """Return a heatmap of the head that aligns best, source across and target down."""
        view = self.view(unit=unit)
        weights, rest = view.of(self.alignment.head)
        return heatmap(weights, view.key_labels, view.query_labels, title=self.source.text, nowhere=rest)

    def page(self) -> str:
        """Return the page of `seq2seq visualize` as HTML that needs no network."""
        shown = Target("target", self.target, None, self.maps)
        return visualize_page(self.source, [shown], alignment=self.alignment, checkpoint=self.checkpoint)

    def _repr_html_(self) -> str:
        frame = 'width="100%" height="720" style="border: 0"'
        return f'<iframe srcdoc="{html.escape(self.page())}" {frame}></iframe>'
