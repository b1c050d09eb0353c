"""Files of token ids in a segmentation of one epoch's own, in a temporary folder that ends with its owner."""

import os
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path

from seq2seq.unfinished import lives

SAMPLED = "seq2seq-sampled-"
"""What names of temporary folders begin with; the number of the process follows."""


class SampledFiles:
    """Names a file for each epoch; that of the epoch before is deleted."""

    def place_of(self, epoch: int) -> Path:
        """Where the ids of an epoch are to be written."""
        self._folder.mkdir(exist_ok=True)  # a system may clear its temporary files after some days
        for file in self._folder.iterdir():
            file.unlink()
        return self._folder / f"epoch-{epoch}.arrow"

    @cached_property
    def _folder(self) -> Path:
        for left in Path(tempfile.gettempdir()).glob(f"{SAMPLED}*"):
            process = left.name.removeprefix(SAMPLED).partition("-")[0]
            if process.isdecimal() and not lives(int(process)):
                shutil.rmtree(left, ignore_errors=True)  # its process was killed
        folder = Path(tempfile.mkdtemp(prefix=f"{SAMPLED}{os.getpid()}-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
