"""What is seen while a model trains: pictures of attention, and translations, of pinned sentences."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure

from seq2seq.alignment.headmap import head_map
from seq2seq.alignment.heatmap import draw_image, heatmap, heatmap_grid, save_image
from seq2seq.alignment.links import Links, links_within, parse_links
from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import Sentence, sentences_of_row
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import collate
from seq2seq.decoding.search import search_batch
from seq2seq.errors import UserError
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.training.attached import data_of
from seq2seq.training.loggers import show_picture, show_text
from seq2seq.training.module import TranslationModule

KINDS = {"cross": "cross-attention", "encoder": "encoder self-attention", "decoder": "decoder self-attention"}


class PinnedSentences(Callback):
    """Shows a fixed set of validation sentences at every validation, where the run logs and in its folder.

    Of each the heatmap of the alignment, with gold links outlined where there are any; of the first also every layer's
    heads; a map of what every head does on the whole validation set; and as text each sentence's source, reference and
    translation. Weights are of forced decoding of the references.

    Args:
        folder: where the PNG files go.
        sentences: which sentences of the validation set.
        unit: `words` or `pieces`.
        every_head: of which attention to show all layers and heads: any of cross, encoder, decoder.
    """

    def __init__(self, *, folder: str, sentences: list[int], unit: str, every_head: Sequence[str] | None) -> None:
        if unit not in ("words", "pieces"):
            raise UserError(f"callbacks.pinned.unit={unit} must be words or pieces")
        if isinstance(every_head, str) or every_head is None:
            raise UserError(f"callbacks.pinned.every_head={every_head}: expected a list, such as [cross]; [] for none")
        unknown = set(every_head) - set(KINDS)
        if unknown:
            raise UserError(f"callbacks.pinned.every_head: there is no {min(unknown)}; choose among {', '.join(KINDS)}")
        self.folder = Path(folder)
        self.sentences = list(sentences)
        self.unit = unit
        self.every_head = list(every_head)

    @torch.no_grad()
    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Draw and write."""
        assert isinstance(module, TranslationModule) and module.evaluation is not None
        rows = pinned_rows(data_of(trainer).dataset("val"), self.sentences)
        if not rows or not trainer.is_global_zero:
            return
        pairs = [sentences_of_row(module.tokenizers, row) for row in rows]
        for number, (row, text) in enumerate(zip(rows, _translations(module, pairs), strict=True), 1):
            self._write(trainer, f"translation/sentence-{number}", row, text)
        reading = module.alignment.reading if module.alignment else None
        inspected = inspect_pairs(module.model, pairs, reading=reading)
        for number, (row, pair, maps) in enumerate(zip(rows, pairs, inspected, strict=True), 1):
            gold = self._gold(row, pair)
            for tag, figure in self._figures(number, gold, maps, module.alignment, trainer.global_step):
                self._show(trainer, f"alignment/{tag}", figure)
        if any(row["head"] is not None for row in module.evaluation.heads):
            self._show(trainer, "heads", head_map(module.evaluation.heads, title=f"heads · step {trainer.global_step}"))

    def _gold(self, row: dict[str, Any], pair: tuple[Sentence, Sentence]) -> Links | None:
        """Return the gold links of the words that are left of a pair, which may have been cut off."""
        if not row["links"] or self.unit != "words":
            return None
        return links_within(parse_links(row["links"], where="gold links"), *(len(side.words) for side in pair))

    def _figures(
        self,
        number: int,
        gold: Links | None,
        maps: list[AttentionMap],
        choice: AlignmentChoice | None,
        step: int,
    ) -> Iterator[tuple[str, Figure]]:
        """Yield the figures of a sentence by tag: its alignment, and of the first sentence every layer's heads."""
        for attention in maps:
            view = attention.view(self.unit)
            labels, several = (view.key_labels, view.query_labels), len(view.weights) > 1
            kind, layer = attention.site
            links = gold if kind == "cross" else None
            if choice is not None and attention.name == choice.layer:
                weights, rest = view.of(choice.head)
                head = f", {choice.head_name} of layer {layer}" if several else ""
                head += choice.reading_name
                title = f"sentence {number} · step {step} · {KINDS[kind]}{head}\n{attention.remark(choice.head)}"
                yield f"cross/sentence-{number}", heatmap(weights, *labels, title=title, gold=links, nowhere=rest)
                if not several:
                    continue  # the same picture again
            if number == 1 and kind in self.every_head:
                title = f"sentence {number} · step {step} · {KINDS[kind]}, layer {layer}\n{attention.remark(None)}"
                grid = heatmap_grid(view.weights, *labels, title=title, gold=links, nowhere=view.nowhere)
                yield str(attention.site), grid

    def _show(self, trainer: lightning.Trainer, tag: str, figure: Figure) -> None:
        image = draw_image(figure)
        name = tag.removeprefix("alignment/").replace("/", "-")
        save_image(image, self.folder / f"{name}-step-{trainer.global_step:06}.png")
        show_picture(trainer, tag, image)

    def _write(self, trainer: lightning.Trainer, tag: str, row: dict[str, Any], hypothesis: str) -> None:
        show_text(trainer, tag, {"source": row["source"], "reference": row["target"], "hypothesis": hypothesis})


def pinned_rows(dataset: Any, sentences: list[int]) -> list[dict[str, Any]]:
    """Return the rows of a data set that are pinned; those beyond its end are left out."""
    return [dataset[i] for i in sentences if i < len(dataset)]


def _translations(module: TranslationModule, pairs: list[tuple[Sentence, Sentence]]) -> list[str]:
    batch = collate([(source.ids, target.ids, i) for i, (source, target) in enumerate(pairs)]).to(module.device)
    found = search_batch(module.search, module.model, batch, key=module.tokenizers.target.decode)
    return [module.tokenizers.target.decode(hypotheses[0].tokens) for hypotheses in found]
