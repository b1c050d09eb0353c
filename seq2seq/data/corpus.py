"""Where sentence pairs come from: the embedded grammar, text files, tables, Multi30k, or the Hugging Face hub."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets

from seq2seq.data import files, grammar, tables
from seq2seq.data.antecedents import antecedents
from seq2seq.data.link_forms import LinkForm, find_form
from seq2seq.data.linked_text import linked_pairs
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError


class Corpus(ABC):
    """Splits of sentence pairs: `train`, `val`, and tests, the main one of which is `test`."""

    tokenized = False  # whether the words are set apart already, so that BLEU must not tokenise them again
    tags: tuple[str, ...] = ()  # those of its pairs, which the vocabulary of the source needs

    def __init__(self, splits: Iterable[str], *, streaming: bool) -> None:
        self.streaming = streaming  # whether training pairs are encoded as they are read, and never stored
        self._splits = list(splits)
        self._fingerprints: dict[str, str] = {}

    def splits(self) -> list[str]:
        """The names of the splits."""
        return self._splits

    def pairs(self, split: str) -> Iterator[Pair]:
        """The pairs of a split one after another, never all in memory; raises UserError where the data is at fault."""
        return self._pairs(self._checked(split))

    def fingerprint(self, split: str) -> str:
        """A text that changes whenever a sentence of the split does; taken once, as it may read the whole split."""
        if split not in self._fingerprints:
            self._fingerprints[split] = self._fingerprint(self._checked(split))
        return self._fingerprints[split]

    def antecedents(self, pair: Pair) -> frozenset[tuple[int, int]]:
        """Links (source word, target word) from the noun that a pronoun stands for to its translation, where known."""
        return frozenset()

    def _checked(self, split: str) -> str:
        if split not in self._splits:
            raise UserError(
                f"the data has no split {split}, only {', '.join(self._splits) or 'nothing'}: "
                f"data=text and data=table are told its files by data.{split}"
            )
        return split

    @abstractmethod
    def _pairs(self, split: str) -> Iterator[Pair]: ...

    @abstractmethod
    def _fingerprint(self, split: str) -> str: ...


class GrammarCorpus(Corpus):
    """English and German from the embedded grammar, with exact links and tags."""

    tokenized = True

    def __init__(self, *, seed: int = 0, streaming: bool = False) -> None:
        super().__init__(grammar.SPLITS, streaming=streaming)
        self.seed = seed
        self._drawn: dict[str, list[Pair]] = {}

    def antecedents(self, pair: Pair) -> frozenset[tuple[int, int]]:
        """Links from the noun that an `it` stands for to the German pronoun: `data.antecedents`."""
        return antecedents(pair)

    def _pairs(self, split: str) -> Iterator[Pair]:
        if split not in self._drawn:
            self._drawn[split] = [Pair(*sentence) for sentence in grammar.generate(split, seed=self.seed)]
        return iter(self._drawn[split])

    def _fingerprint(self, split: str) -> str:
        code = b"".join(file.read_bytes() for file in sorted(Path(grammar.__file__).parent.glob("*.py")))
        return f"{split} {self.seed} {hashlib.sha256(code).hexdigest()}"


class TextCorpus(Corpus):
    """Two line-parallel files a split, and maybe a third with links; raises UserError for half a split.

    A split is a mapping from `source`, `target` and `links` to files; without source and target it is left out.
    `links_first_index` is what the first word counts as in the files of links; None: what `find_form` says.
    """

    def __init__(
        self,
        *,
        train: Mapping[str, str | None],
        val: Mapping[str, str | None],
        test: Mapping[str, str | None],
        transpose_links: bool = False,
        links_first_index: int | None = None,
        streaming: bool = False,
    ) -> None:
        if links_first_index not in (None, 0, 1):
            raise UserError(f"data.links_first_index={links_first_index}: links are counted from 0 or from 1")
        self.transpose_links, self.links_first_index = transpose_links, links_first_index
        self._doubted: set[str] = set()  # files of links of which was said that they may count from 1
        given = {"train": train, "val": val, "test": test}
        self._files = {name: split for name, split in given.items() if split.get("source") or split.get("target")}
        for name, split in self._files.items():
            for side in ("source", "target"):
                if not split.get(side):
                    raise UserError(f"data.{name}.{side} is missing: say data.{name}.{side}=FILE")
        super().__init__(self._files, streaming=streaming)

    def _fingerprint(self, split: str) -> str:
        found = f"{files.digest(*self._paths(split))} {self.transpose_links}"
        links = self._files[split].get("links")
        return f"{found} from 1" if links and self._form(links).first_index else found

    def _paths(self, split: str) -> list[str]:
        names = self._files[split]
        return [str(names[kind]) for kind in ("source", "target", "links") if names.get(kind)]

    def _form(self, links: str) -> LinkForm:
        return find_form(files.read_lines(links), links, self.links_first_index)

    def _pairs(self, split: str) -> Iterator[Pair]:
        source, target, *links = self._paths(split)
        if not links:
            yield from (Pair(*texts) for texts in files.read_parallel(source, target))
            return
        yield from linked_pairs(
            source,
            target,
            links[0],
            form=self._form(links[0]),
            transpose=self.transpose_links,
            doubted=self._doubted,
        )


class TableCorpus(Corpus):
    """One table a split, two columns of it: `.tsv` and `.csv` with a header line, `.jsonl`, `.parquet`.

    A split whose file is null is left out.
    """

    def __init__(
        self,
        *,
        train: str | None,
        val: str | None,
        test: str | None,
        source_column: str,
        target_column: str,
        streaming: bool = False,
    ) -> None:
        self.columns = source_column, target_column
        self._files = {name: file for name, file in (("train", train), ("val", val), ("test", test)) if file}
        super().__init__(self._files, streaming=streaming)

    def _fingerprint(self, split: str) -> str:
        found = files.digest(self._files[split])
        # The cache knows bytes alone: a copy under another name may be another kind of table, or none.
        tables.check_table(self._files[split], self.columns)
        return f"{found} {self.columns}"

    def _pairs(self, split: str) -> Iterator[Pair]:
        for where, row in tables.read_table(self._files[split]):
            yield Pair(*(tables.cell(row, column, where) for column in self.columns))


class HubCorpus(Corpus):
    """A Hugging Face set, or a folder that `save_to_disk` wrote: two columns, or two languages of a `translation`.

    `train`, `val` and `test` are the names that the set gives its splits; null leaves that split out. `revision` is a
    branch, tag or commit of the set on the hub. Streaming, the set is not downloaded but read as it comes, and is known
    by its name and revision alone: name a commit where it may change.
    """

    def __init__(
        self,
        *,
        path: str,
        name: str | None,
        revision: str | None,
        source: str,
        target: str,
        train: str | None,
        val: str | None,
        test: str | None,
        streaming: bool = False,
    ) -> None:
        self.path, self.name, self.revision, self.columns = path, name, revision, (source, target)
        self._names = {ours: theirs for ours, theirs in (("train", train), ("val", val), ("test", test)) if theirs}
        super().__init__(self._names, streaming=streaming)

    @cached_property
    def _set(self) -> datasets.DatasetDict | datasets.IterableDatasetDict:
        try:
            folder = Path(self.path).expanduser()
            if (folder / "dataset_dict.json").is_file():
                return datasets.load_from_disk(folder)
            return datasets.load_dataset(self.path, self.name, revision=self.revision, streaming=self.streaming)
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            raise UserError(
                f"data.path={self.path} needs code of its own, which is not run: give a set of plain files, as parquet"
            ) from error
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            reason = " ".join(str(error).split())
            name = f" data.name={self.name}" if self.name else ""
            raise UserError(
                f"data.path={self.path}{name} cannot be loaded: {reason}; give the name of a set on the hub, for which "
                "there must be a network, or a folder that save_to_disk wrote"
            ) from error
        except IndexError as error:  # what `datasets` makes of it
            raise UserError(f"data.path={self.path} cannot be loaded: one of its splits is empty") from error

    def _rows(self, split: str) -> datasets.Dataset | datasets.IterableDataset:
        name = self._names[split]
        if name not in self._set:
            raise UserError(f"{self.path} has no split {name}: say data.{split}=, one of {', '.join(self._set)}")
        rows = self._set[name]
        if next(iter(rows), None) is None:
            raise UserError(f"{self.path}: the split {name} is empty")
        return rows

    def _pairs(self, split: str) -> Iterator[Pair]:
        parts = self._rows(split).with_format("arrow").iter(1000)
        for number, row in enumerate((row for part in parts for row in part.to_pylist()), start=1):
            where = f"{self.path}, split {self._names[split]}, row {number}"
            yield Pair(*(tables.cell(row, column, where) for column in self.columns))

    def _fingerprint(self, split: str) -> str:
        rows = self._rows(split)
        if isinstance(rows, datasets.Dataset):
            return f"{rows._fingerprint} {self.columns}"
        return f"{self.path} {self.name} {self.revision} {self._names[split]} {self.columns}"


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
            self._corpus = _multi30k_files(Path(root).expanduser() / ("tokenized" * self.tokenized), source, target)
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
