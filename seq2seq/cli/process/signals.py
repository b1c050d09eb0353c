"""Signals that ask a command to stop, and what SLURM is told.

Of a training, they come here before its first step and after its last: between two steps, training.last_checkpoint
takes care of them.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from seq2seq.errors import Interrupted, interrupt, stop_behind

log = logging.getLogger(__name__)

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGXCPU)
"""Signals that would kill without a word; Ctrl-C has its own."""

AHEAD_OF_TIME = (signal.SIGUSR1, signal.SIGUSR2)
"""Those that SLURM sends ahead of the end of a job's time, after which the job is to be started again."""

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
"""Where torchrun, SLURM and Lightning say which of several processes this is."""

AGAIN = 0.05
"""Seconds after which a signal that Python has swallowed comes once more."""


@contextmanager
def ending_in_a_line(*, training: bool) -> Iterator[None]:
    """Let signals end the block by an error, so that it leaves nothing half done, and with a line.

    A signal that is ignored, as under nohup, or that has a handler, stays as it is. Python hears of a signal only
    between two of its own steps: within a long call of a library, such as SentencePiece's training, it has to wait.

    Args:
        training: whether the block trains: then SLURM is asked for another start where it has sent a signal ahead of
            time, and the line says how to go on.
    """
    heard = []
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in ASKING if signal.getsignal(number) == signal.SIG_DFL]
    for number in heard:
        signal.signal(number, interrupt)
    try:
        with unhidden(), unswallowed():
            yield
    except Interrupted as interruption:
        if not training:
            raise
        if not interruption.args or any(int(os.environ.get(name, "0")) for name in RANKS):
            interruption.args = ()  # one of several processes speaks for all
            raise
        if interruption.number in AHEAD_OF_TIME:
            requeue(interruption.reason)
        if not interruption.remedy:
            raise interruption.saying("no step was made: give the same command again") from None
        raise
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def unhidden() -> Iterator[None]:
    """Raise a stop of the block itself where it ended by an error that came on the way out."""
    try:
        yield
    except Exception as error:
        stop = stop_behind(error)
        if stop is None:
            raise
        raise stop from None


@contextmanager
def unswallowed() -> Iterator[None]:
    """Bring a stop of the block once more where Python had to swallow it: in the end of an object, for one.

    Python calls that in the middle of anything, shows what it raises, and goes on.
    """
    before, timers = sys.unraisablehook, list[threading.Timer]()

    def bring_again(swallowed: "sys.UnraisableHookArgs") -> None:
        stop = swallowed.exc_value
        if not isinstance(stop, Interrupted | KeyboardInterrupt):
            before(swallowed)
            return
        number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
        timers.append(threading.Timer(AGAIN, os.kill, (os.getpid(), number)))
        timers[-1].daemon = True
        timers[-1].start()

    sys.unraisablehook = bring_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


def requeue(reason: str) -> None:
    """Tell SLURM, where it runs this job, to start it again: it has sent SIGUSR1 ahead of the end of its time.

    The reason is said before, as SLURM may end this process at once.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if job is None:
        return
    log.warning("%s; SLURM is asked to start job %s again", reason, job)
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("job %s could not be requeued: %s", job, error)
