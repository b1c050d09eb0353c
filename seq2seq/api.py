"""A trained model in Python: `model = seq2seq.load("best.ckpt")`; the commands do the same."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seq2seq.alignment.links import Link
from seq2seq.alignment.sentence import Sentence
from seq2seq.api_arguments import listed, names, pairs_of_texts, place, places, text, texts, whole
from seq2seq.api_attention import SentenceAttention
from seq2seq.api_loaded import LoadedModel
from seq2seq.attribution import Explanation, explain
from seq2seq.attribution.sentences import read_sentence
from seq2seq.build import build_extraction, build_method, build_search
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.text import comparable
from seq2seq.decoding.alternatives import MOST, Alternative, find_alternatives
from seq2seq.decoding.requests import requests_of
from seq2seq.decoding.scoring import PairScore
from seq2seq.decoding.translator import Translation, own_translation
from seq2seq.errors import UserError
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.evaluation.metrics import TranslationScores, score_translations
from seq2seq.export.exporting import export
from seq2seq.options import choice_of


class Model(LoadedModel):
    """A trained model with its vocabulary, ready for text; made as `LoadedModel` is, mostly by `load`."""

    def translate(
        self,
        lines: Iterable[str],
        *,
        search: str = "beam",
        prefix: Iterable[str] | None = None,
        constraints: Iterable[Mapping[str, Any] | None] | None = None,
        **options: Any,
    ) -> list[str]:
        """Return the best translation of each line, in order.

        Args:
            lines: sentences; an empty one has an empty translation.
            search: a file of `configs/search`: `greedy`, `beam`, `nbest`, `diverse`, `sample`, `mbr`, `mbr_sample`.
            prefix: what each translation must begin with, a text a line; an empty text is nothing. Its last word may
                be half a word, unless a space follows it.
            constraints: what each translation must say and must not say, such as
                `{"require": ["Haus", ["Auto", "Wagen"]], "forbid": ["Hund"]}`, one a line; None is nothing.
            options: keys of that file, such as `beam_size=10`.

        Raises:
            UserError: there is no such search, or it has no such key; lines is a single text, or one is none; what is
                asked cannot be said, or contradicts itself.
        """
        asked: dict[str, Any] = {"prefix": prefix, "constraints": constraints}
        return [found[0].text for found in self.translations(lines, search=search, **asked, **options)]

    def translations(
        self,
        lines: Iterable[str],
        *,
        search: str = "nbest",
        prefix: Iterable[str] | None = None,
        constraints: Iterable[Mapping[str, Any] | None] | None = None,
        **options: Any,
    ) -> list[list[Translation]]:
        """Return several translations of each line, best first, each with its score; arguments as `translate`."""
        lines = texts("lines", lines)
        chosen = build_search(choice_of("search", search, options))
        requests = None
        if prefix is not None:
            prefix = texts("prefix", prefix)
        if constraints is not None:
            constraints = listed("constraints", constraints, "dictionaries", '[{"require": ["Haus"]}, None]')
        if prefix is not None or constraints is not None:
            requests = requests_of(self.tokenizers.target, search=chosen, prefixes=prefix, constraints=constraints)
            if len(requests) != len(lines):
                raise UserError(
                    f"there are {len(lines)} lines, and {len(requests)} are asked for; give one for each line"
                )
        return list(self._translator.translate(lines, chosen, requests=requests))

    def alternatives(
        self, source: str, prefix: str = "", *, n: int = 5, unit: str = "words", search: str = "beam", **options: Any
    ) -> list[Alternative]:
        """Return the likeliest next words after the beginning of a translation, the likeliest first.

        Each is a text, the probability that it comes next, and the best translation that goes on so. An empty text is
        the end of the translation.

        Args:
            source: a sentence.
            prefix: what the translation begins with. Its last word may be half a word, unless a space follows it.
            n: how many.
            unit: `words` or `pieces`.
            search: how the continuations are found, a file of `configs/search`.
            options: keys of that file.

        Raises:
            UserError: the prefix cannot be said or is too long; the source is empty; unit is none, or n is not from 1
                to 200.
        """
        chosen = build_search(choice_of("search", search, options))
        ids, begun = self._sentence("source", source).ids, text("prefix", prefix)
        n = whole("n", n, least=1, most=MOST)
        return find_alternatives(
            self.network, self.tokenizers, ids, begun, search=chosen, n=n, unit=unit, device=self._translator.device
        )

    def align(self, pairs: Iterable[tuple[str, str]], *, links: str | None = None, **options: Any) -> list[set[Link]]:
        """Return the word links (source, target) of each pair, counted from 0, by forced decoding of the target.

        Args:
            pairs: source and target sentences.
            links: a file of `configs/links`; None: as at training.
            options: keys of that file, such as `threshold=0.3`.

        Raises:
            UserError: the model has no attention, or there is no such choice; one of them is no pair of texts.
        """
        if links is None and options:
            raise UserError(f"{next(iter(options))} is a key of a way from weights to links; say which: links=...")
        watched = copy.copy(self._translator)
        watched.model = self._apart()
        chosen = None if links is None else choice_of("links", links, options)
        extraction = build_extraction(chosen, self.checkpoint)
        return list(watched.align(pairs_of_texts(pairs), self._alignment(), extraction))

    def score(self, pairs: Iterable[tuple[str, str]]) -> list[PairScore]:
        """Return how likely the model finds the target of each (source, target) pair, in order.

        Each is the pieces of the target and its end, with a log-probability in nats each, and
        `log_probability` of them all.

        Raises:
            UserError: one of them is no pair of texts.
        """
        return list(self._translator.score(pairs_of_texts(pairs)))

    def evaluate(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        search: str = "beam",
        tokenize: str = "13a",
        lowercase: bool = False,
        **options: Any,
    ) -> TranslationScores:
        """Return BLEU, chrF and TER of the translations of sources beside their references, with signatures.

        Args:
            pairs: source and reference sentences.
            search: a file of `configs/search`.
            tokenize: sacreBLEU's tokeniser, for BLEU alone; `none` for text that is tokenised already.
            lowercase: compare without regard to case.
            options: keys of the search.

        Raises:
            UserError: there are no pairs, or one is no pair of texts; there is no such search, key or tokeniser.
        """
        pairs = pairs_of_texts(pairs)
        if not isinstance(lowercase, bool):
            raise UserError(f"lowercase={lowercase!r}: expected True or False")
        said = self.translate([source for source, _ in pairs], search=search, **options)
        form = comparable(self.tokenizers.target.normalization)  # a model cannot say what its tokenizer leaves out
        texts = ([form(text) for text in of] for of in (said, [reference for _, reference in pairs]))
        return score_translations(*texts, tokenize=tokenize, lowercase=lowercase)

    def export(self, folder: str | Path, format: str, *, quantization: str | None = None) -> None:
        """Write the model for another program, with its vocabularies and a model card.

        Args:
            folder: new or empty.
            format: `ctranslate2`, `huggingface`, `onnx` or `safetensors`.
            quantization: of CTranslate2, such as `int8`; None: float32.

        Raises:
            UserError: the format cannot hold this model; there is no such choice; something is at the place.
        """
        if self.others:
            raise UserError("several models together have no one export; load one of them")
        export(self.checkpoint, place("folder", folder), form=format, quantization=quantization)

    def attention(self, source: str, target: str | None = None) -> SentenceAttention:
        """Return every attention of the model while it says a target.

        Args:
            source: a sentence.
            target: what it is forced to say; None: its own translation, by beam search.

        Raises:
            UserError: the model has no attention; a sentence is empty.
        """
        network = self._apart()
        read = self._sentence("source", source)
        said = self._own_translation(read) if target is None else self._sentence("target", target)
        alignment = self._alignment()
        (maps,) = inspect_pairs(network, [(read, said)], reading=alignment.reading)
        return SentenceAttention(read, said, maps, alignment, self.checkpoint.path)

    def explain(
        self,
        source: str,
        target: str | None = None,
        *,
        method: str = "erasure",
        contrast: str | None = None,
        at: int | None = None,
        unit: str = "words",
        **options: Any,
    ) -> Explanation:
        """Return what each word of the source, and of the target before, contributed to each word of the target.

        Args:
            source: a sentence.
            target: what it is forced to say; None: its own translation, by beam search.
            method: a file of `configs/method`.
            contrast: what might have been said instead of one word of the target.
            at: the number of that word, from 1; None: where the contrast is likeliest.
            unit: `words` or `pieces`.
            options: keys of the method's file, such as `tolerance=0.01`.

        Raises:
            UserError: the model cannot have the method; a sentence is empty, or cannot be said.
        """
        network = self._apart()
        chosen = build_method(choice_of("method", method, options))
        chosen.check(network)
        contrast = None if contrast is None else text("contrast", contrast)
        at = None if at is None else whole("at", at, least=1)
        length = self.checkpoint.max_length
        read = read_sentence("source", self.tokenizers.source, text("source", source), max_length=length)
        said = self._own_translation(read) if target is None else text("target", target)
        return explain(
            network, self.tokenizers, read, said, method=chosen, contrast=contrast, at=at, unit=unit,
            max_length=length,
        )  # fmt: skip

    def _own_translation(self, read: Sentence) -> Sentence:
        return own_translation(self.alone(), self.tokenizers, read, build_search(choice_of("search", "beam", {})))


def load(
    path: str | Path | Iterable[str | Path],
    *,
    device: str = "auto",
    trusted: Iterable[str] = (),
    ensemble: str = "log",
    tag: str | None = None,
) -> Model:
    """Return the trained model of a checkpoint, ready for text: `translate`, `align`, `attention`, `score`.

    Args:
        path: of the checkpoint; or a list of several of one vocabulary, which translate and score as one model.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
        trusted: packages of your own whose parts the checkpoint may name.
        ensemble: of several, the `log` (geometric) or the `linear` mean of what they say about the next piece.
        tag: what stands before every source, of a model that was trained with tags, such as `2de`.

    Raises:
        UserError: a checkpoint or the device cannot be used; the models have different vocabularies; they need
            a tag, or do not know this one.
    """
    trusted = names("trusted", trusted)
    if isinstance(path, Iterable) and not isinstance(path, str | bytes):
        paths = places("path", path)
    else:
        paths = [place("path", path)]
    if not paths:
        raise UserError("there is no checkpoint in the list; give at least one")
    first, *others = [read_checkpoint(each, trusted=trusted) for each in paths]
    return Model(first, *others, device=device, ensemble=ensemble, tag=tag)
