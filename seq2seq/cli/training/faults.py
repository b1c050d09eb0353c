"""What befalls a training from outside: out of memory, a dead worker, a lost process, a full disk, no compiler."""

import re
import tempfile
from pathlib import Path

import torch

from seq2seq.data.batching import Batch
from seq2seq.errors import is_full

NO_MEMORY = re.compile("not enough memory|can't allocate memory|out of memory", re.IGNORECASE)
DEAD_WORKER = re.compile(
    r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (?:is )?(exited unexpectedly|killed by signal: \w+)"
)
LOST = re.compile(r"gloo/|Connection (closed|reset) by peer|NCCL.*(remote|system) ?error", re.IGNORECASE)
COMPILERS_REASON = re.compile(r"(?:fatal )?error: .+|No working C\+\+ compiler.+|Failed to find C compiler")
"""What a compiler says in the message of PyTorch's, after its command of hundreds of words."""

AROUND = re.compile(r"^\[\S+:\d+\] *|\. This .*")
"""What a library puts around its reason: its line of code, and how it is to be reported."""


def explain_fault(
    error: BaseException, batch: Batch | None, tokens_per_batch: int, folder: Path, *, evaluating: bool = False
) -> str | None:
    """Return what happened and what to do about it; None where it is another kind of error.

    Args:
        error: that ended the training.
        batch: on which it did; None: not known.
        tokens_per_batch: as the loader was told, for training, or else for evaluation.
        folder: of the run.
        evaluating: whether it was in a validation or a test.
    """
    if isinstance(error.__cause__, OSError):  # what Lightning's logger cannot write it calls unsupported
        error = error.__cause__
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or (isinstance(error, RuntimeError) and NO_MEMORY.search(str(error))):
        shape = ""
        if batch is not None:
            (sentences, source), target = batch.source.shape, batch.target_input.shape[1]
            shape = f" on a batch of {sentences} sentences, {source} source and {target} target pieces long"
        if evaluating:
            return f"out of memory in an evaluation{shape}: lower loader.eval_tokens_per_batch={tokens_per_batch}"
        return (
            f"out of memory{shape}: lower loader.tokens_per_batch={tokens_per_batch} (and raise "
            "trainer.accumulate_grad_batches as much)"
        )
    if isinstance(error, RuntimeError) and (dead := DEAD_WORKER.search(str(error))):
        return f"a process that loads data died ({dead[1]}): see whether memory ran out; loader.num_workers=0 has none"
    if isinstance(error, RuntimeError) and LOST.search(str(error)):
        reason = re.sub(AROUND, "", str(error).splitlines()[0])
        return f"lost another process of this training ({reason}): see what befell it, or the network"
    if any(kind.__name__ == "BackendCompilerFailed" for kind in type(error).__mro__):  # whose module takes a second
        if is_full(error):
            return (
                f"training.compile=true: no space left for what is compiled, in {tempfile.gettempdir()}: make some, or "
                "say TMPDIR=DIR, on another disk, before the command"
            )
        said = COMPILERS_REASON.search(str(error)) or re.search(r"C\+\+ compile error", str(error))  # in no English
        if said is None:
            return None  # a mistake in PyTorch, of which every line counts
        return (
            f"training.compile=true: PyTorch could not compile the model ({said[0]}): see whether a C++ compiler and "
            "Python's headers are installed (Debian: g++ and python3-dev); or leave training.compile out"
        )
    if isinstance(error, OSError) and is_full(error):  # a RuntimeError may speak of shared memory
        return f"no space left on the disk of {folder}: make some"
    return None
