"""Files of token ids in a segmentation of one epoch's own, in a temporary folder that ends with its owner."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from seq2seq.errors import UserError, is_full
from seq2seq.unfinished import lives

SAMPLED = "seq2seq-sampled-"
"""What names of temporary folders begin with; the number of the process follows."""


class SampledFiles:
    """Names a file for each epoch; that of the epoch before is deleted."""

    @contextmanager
    def place_of(self, epoch: int) -> Iterator[Path]:
        """Yield where the ids of an epoch are to be written.

        Raises:
            UserError: there the block finds no space left.
        """
        try:
            self._folder.mkdir(exist_ok=True)  # a system may clear its temporary files after some days
            for file in self._folder.iterdir():
                file.unlink()
            yield self._folder / f"epoch-{epoch}.arrow"
        except OSError as error:
            if not is_full(error):
                raise
            raise UserError(
                f"no space left for the ids of an epoch in {tempfile.gettempdir()}: make some, or say TMPDIR=DIR, on "
                "another disk, before the command"
            ) from error

    @cached_property
    def _folder(self) -> Path:
        for left in Path(tempfile.gettempdir()).glob(f"{SAMPLED}*"):
            process = left.name.removeprefix(SAMPLED).partition("-")[0]
            if process.isdecimal() and not lives(int(process)):
                shutil.rmtree(left, ignore_errors=True)  # its process was killed
        folder = Path(tempfile.mkdtemp(prefix=f"{SAMPLED}{os.getpid()}-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
