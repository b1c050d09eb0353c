"""The standard streams: UTF-8 whatever the locale says, there even where they were closed, and failing in one line."""

import errno
import io
import os
import sys

from seq2seq.errors import UserError


def use_utf8() -> None:
    """Start this program anew in Python's UTF-8 mode, unless the locale has file names and arguments in UTF-8 already.

    What is written, and what a library opens without naming an encoding, must not depend on the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def open_streams(*, patient: bool) -> None:
    """Put streams in place that write UTF-8 with line feeds; those that others have put there are left alone.

    Args:
        patient: whether the command goes on when stdout cannot be written any more, as a training does.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY if not patient else os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:  # closed; the next file that is opened must not take its place
            os.open(os.devnull, flags)  # which stdin cannot be read from, nor stdout be written to
    if sys.stdout is sys.__stdout__:
        sys.stdout = Output(sys.__stdout__ or _at(1), errors="surrogateescape", patient=patient)
    if sys.stderr is sys.__stderr__:
        sys.stderr = Output(sys.stderr or _at(2), errors="backslashreplace", patient=True)


def _at(number: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "w", closefd=False)), line_buffering=number == 2)


class Output(io.TextIOWrapper):
    """A stream to write to that fails once: after that, what is written goes nowhere.

    Args:
        stream: whose place it takes.
        errors: what becomes of characters that are not in UTF-8, such as those of strange file names.
        patient: whether the command goes on then, instead of an error that ends it.
    """

    def __init__(self, stream: io.TextIOWrapper, *, errors: str, patient: bool) -> None:
        buffering = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
        super().__init__(stream.buffer, encoding="utf-8", errors=errors, newline="\n", **buffering)
        self.stream = stream  # which would close the file if nobody kept it
        self.patient = patient
        self.failed = False
        """Whether something that there was a reader for is lost."""

    def write(self, text: str) -> int:
        """Write a text, as far as there is a place for it."""
        try:
            return super().write(text)
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        """Hand on what has been written."""
        try:
            super().flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # what its buffer holds could not be written later either
        os.close(nowhere)
        left = isinstance(error, BrokenPipeError)
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        if not self.patient:
            raise error if left else UserError(f"cannot write to stdout: {reason}") from error
        if not left and self is sys.stdout:
            self.failed = True
            print(f"error: cannot write to stdout: {reason}", file=sys.stderr)


def check_stdin() -> None:
    """Raise UserError where there is no stdin to read from."""
    if sys.stdin is None:
        raise UserError("stdin is closed; give input=FILE")


def check_stdout() -> None:
    """Raise UserError where there is no stdout to write to."""
    if sys.__stdout__ is None and isinstance(sys.stdout, Output):
        raise UserError("stdout is closed; give output=FILE")
