"""Sets of the Hugging Face hub."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.data import tables
from seq2seq.data.corpus.base import Corpus
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError

if TYPE_CHECKING:
    import datasets


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
        self.path, self.name, self.revision, self.columns = str(path), name, revision, (source, target)
        self._names = {ours: theirs for ours, theirs in (("train", train), ("val", val), ("test", test)) if theirs}
        super().__init__(self._names, streaming=streaming)

    @cached_property
    def _set(self) -> "datasets.DatasetDict | datasets.IterableDatasetDict":
        import datasets  # a second, which a command that reads no set is not to wait for

        folder = Path(self.path).expanduser()
        if (folder / "state.json").is_file():
            raise UserError(
                f"data.path={self.path} is one split without a name; save a DatasetDict, which names its splits: "
                'DatasetDict({"train": ..., "validation": ...}).save_to_disk(FOLDER)'
            )
        try:
            if (folder / "dataset_dict.json").is_file():
                return datasets.load_from_disk(folder)
            return datasets.load_dataset(self.path, self.name, revision=self.revision, streaming=self.streaming)
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            raise UserError(
                f"data.path={self.path} needs code of its own, which is not run: give a set of plain files, as parquet"
            ) from error
        except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
            reason = " ".join(str(error).split())
            name = f" data.name={self.name}" if self.name else ""
            raise UserError(
                f"data.path={self.path}{name} cannot be loaded: {reason}; give the name of a set on the hub, for which "
                "there must be a network, or a folder that save_to_disk wrote"
            ) from error
        except IndexError as error:  # what `datasets` makes of it
            raise UserError(f"data.path={self.path} cannot be loaded: one of its splits is empty") from error

    def _rows(self, split: str) -> "datasets.Dataset | datasets.IterableDataset":
        name = self._names[split]
        if name not in self._set:
            raise UserError(f"{self.path} has no split {name}: say data.{split}=, one of {', '.join(self._set)}")
        rows = self._set[name]
        if next(iter(rows.with_format("arrow").iter(1)), None) is None:
            raise UserError(f"{self.path}: the split {name} is empty")
        return rows

    def _pairs(self, split: str) -> Iterator[Pair]:
        parts = self._rows(split).with_format("arrow").iter(1000)
        rows = (row for part in parts for row in tables.rows_of(part, self.columns, part.schema.names))
        for number, row in enumerate(rows, start=1):
            where = f"{self.path}, split {self._names[split]}, row {number}"
            yield Pair(*(tables.cell(row, column, where) for column in self.columns))

    def _fingerprint(self, split: str) -> str:
        import datasets

        rows = self._rows(split)
        if isinstance(rows, datasets.Dataset):
            return f"{rows._fingerprint} {self.columns}"
        return f"{self.path} {self.name} {self.revision} {self._names[split]} {self.columns}"
