"""Multi30k, from a folder or from the hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seq2seq.data.corpus.base import Corpus
from seq2seq.data.corpus.hub import HubCorpus
from seq2seq.data.corpus.text import TextCorpus
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError


class Multi30kCorpus(Corpus):
    """Multi30k task 1 (Elliott et al. 2016) in two of its languages: from a folder, or without one from the hub.

    `form` is raw, or tokenized: the lower-cased and tokenised text in the folder's `tokenized/`. Links belong to the
    tokenised text they were made on; those that are stored for the other direction are transposed.
    """

    def __init__(self, *, root: str | None, form: str, source: str, target: str, streaming: bool = False) -> None:
        if form not in ("raw", "tokenized"):
            raise UserError(f"data.form={form} is not known: use raw or tokenized")
        if root is None and form == "tokenized":
            raise UserError("data.form=tokenized needs data.root=FOLDER: the hub has the raw text only")
        self.tokenized = form == "tokenized"
        if root is None:
            names = {"train": "train", "val": "validation", "test": "test"}
            self._corpus: Corpus = HubCorpus(
                path="bentrevett/multi30k",
                name=None,
                revision=None,
                source=source,
                target=target,
                streaming=streaming,
                **names,
            )
        else:
            self._corpus = _multi30k_files(
                Path(str(root)).expanduser() / ("tokenized" * self.tokenized), source, target
            )
        super().__init__(self._corpus.splits(), streaming=streaming)

    def _pairs(self, split: str) -> Iterator[Pair]:
        return self._corpus.pairs(split)

    def _fingerprint(self, split: str) -> str:
        return self._corpus.fingerprint(split)


def _multi30k_files(folder: Path, source: str, target: str) -> TextCorpus:
    if not folder.is_dir():
        form = " data.form=tokenized" if folder.name == "tokenized" else ""
        raise UserError(f"data.root: there is no folder {folder}; say where it is: data=multi30k data.root=DIR{form}")
    transpose = any(folder.glob(f"*.{target}-{source}.silver"))
    direction = f"{target}-{source}" if transpose else f"{source}-{target}"
    splits: dict[str, Any] = {}
    for split, name in (("train", "train"), ("val", "val"), ("test", "test_2016_flickr")):
        links = folder / f"{name}.{direction}.silver"
        splits[split] = {
            "source": str(folder / f"{name}.{source}"),
            "target": str(folder / f"{name}.{target}"),
            "links": str(links) if links.exists() else None,
        }
    return TextCorpus(**splits, transpose_links=transpose)
