"""Tables, one a split."""

from collections.abc import Iterator

from seq2seq.data import files, tables
from seq2seq.data.corpus.base import Corpus
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError


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
        given = {name: file for name, file in (("train", train), ("val", val), ("test", test)) if file}
        for name, file in given.items():
            if not isinstance(file, str | int):
                raise UserError(f"data.{name}={file}: say data.{name}=FILE")
        self._files = {name: str(file) for name, file in given.items()}
        super().__init__(self._files, streaming=streaming)

    def _fingerprint(self, split: str) -> str:
        found = files.digest(self._files[split])
        # The cache knows bytes alone: a copy under another name may be another kind of table, or none.
        tables.check_table(self._files[split], self.columns)
        return f"{found} {self.columns}"

    def _pairs(self, split: str) -> Iterator[Pair]:
        for where, row in tables.read_table(self._files[split], self.columns):
            yield Pair(*(tables.cell(row, column, where) for column in self.columns))
