"""The errors that the command line turns into a line: a user's mistake, and a run that was asked to stop."""

import difflib
import errno
import multiprocessing
import os
import signal
from collections.abc import Iterable
from types import FrameType


class UserError(ValueError):
    """A mistake in a file, a line, a config key or a checkpoint: what was wrong, where, and the remedy, in one line."""


def nearest(word: object, options: Iterable[str]) -> str:
    """Return a hint at the nearest option, or the list of them where none is near."""
    word, options = str(word), list(options)  # from Python, what is no text may be asked for
    group, last = word.partition(".")[0], word.rpartition(".")[2]
    by_last_part = [option for option in options if option.rpartition(".")[2] == last][:1]
    # Such as `search.candidates.max_length` for `search.max_length`.
    deeper = [option for option in options if option.startswith(f"{group}.") and option.endswith(f".{last}")]
    # Such as `search.beam_size` for `beam_size`.
    near = difflib.get_close_matches(word, deeper, n=1, cutoff=0.0) if "." in word else by_last_part
    near = near or difflib.get_close_matches(word, options, n=1, cutoff=0.5) or by_last_part
    if near:
        return f"did you mean {near[0]}?"
    return f"there {'is' if len(options) == 1 else 'are'} {', '.join(sorted(options)[:20])}"


def counted(number: int, things: str) -> str:
    """Return a number of things with their name, which ends in a plural s: 1 line, 2,000 lines."""
    return f"{number:,} {things if number != 1 else things.removesuffix('s')}"


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full."""
    number = error.errno if isinstance(error, OSError) else None  # libraries in C++ and Rust raise errors of their own
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def unwritable(place: str, error: OSError, otherwise: str = "give a folder that can be written") -> UserError:
    """Return the line for a place that could not be written: room has to be made, or something else be done."""
    return UserError(f"cannot write {place}: {error.strerror or error}; {'make some' if is_full(error) else otherwise}")


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


def stop_behind(error: BaseException) -> BaseException | None:
    """Return the stop on whose way out an error came, as of a library that was stopped half way; None: there is none.

    Such an error hides what the user, or the system, asked for.
    """
    waiting, seen = [error], list[BaseException]()
    for found in waiting:
        if isinstance(found, Interrupted | KeyboardInterrupt):
            return found
        seen.append(found)
        waiting += [other for other in (found.__cause__, found.__context__) if other and other not in seen]
    return None


def interrupt(number: int, _: FrameType | None) -> None:
    """End this process by an error, as the handler of a signal; a process that it has forked ends as without one."""
    if multiprocessing.parent_process() is None:
        raise Interrupted(number)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
