"""The errors that the command line turns into a line: a user's mistake, and a run that was asked to stop."""

import multiprocessing
import os
import signal
from types import FrameType


class UserError(ValueError):
    """A mistake in a file, a line, a config key or a checkpoint: what was wrong, where, and the remedy, in one line."""


class Interrupted(BaseException):
    """A training stopped because a signal asked it to, and is saved as far as it came. Ends a sweep, as Ctrl-C does."""

    def __init__(self, number: int, place: str = "") -> None:
        self.number = number
        self.remedy = ""
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.reason = f"stopped by {name}" + (f" at {place}" if place else "")
        super().__init__(self.reason)

    def saying(self, remedy: str) -> "Interrupted":
        """Return it with a remedy."""
        self.remedy = remedy
        self.args = (f"{self.reason}; {remedy}",)
        return self


def interrupt(number: int, _: FrameType | None) -> None:
    """End this process by an error, as the handler of a signal; a process that it has forked ends as without one."""
    if multiprocessing.parent_process() is None:
        raise Interrupted(number)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
