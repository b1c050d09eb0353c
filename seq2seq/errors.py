"""The errors that the command line turns into a line: a user's mistake, and a run that was asked to stop."""

import signal


class UserError(ValueError):
    """A mistake in a file, a line, a config key or a checkpoint: what was wrong, where, and the remedy, in one line."""


class Interrupted(BaseException):
    """A training stopped, and saved where it stood, because a signal asked it to. Ends a sweep, as Ctrl-C does."""

    def __init__(self, number: int, place: str) -> None:
        self.number = number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"stopped by {name} at {place}")

    def saying(self, remedy: str) -> "Interrupted":
        """Return it with a remedy."""
        self.args = (f"{str(self).partition(';')[0]}; {remedy}",)
        return self
