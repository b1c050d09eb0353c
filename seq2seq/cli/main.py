"""`seq2seq COMMAND [key=value ...]`: finds the command, runs it, and turns a user's mistake into one line."""

import difflib
import importlib
import os
import sys
from contextlib import suppress

from seq2seq.cli.process.native import keep_few_kernels, keep_folder_from_pandas, keep_freed_memory, read_yaml_in_c
from seq2seq.cli.process.quota import keep_to_quota
from seq2seq.cli.process.signals import ending_in_a_line
from seq2seq.cli.process.streams import open_streams, use_utf8
from seq2seq.errors import Interrupted, UserError

COMMANDS = {
    "train": "train a model, test it, and keep pictures of its alignments",
    "evaluate": "score a checkpoint: BLEU, chrF, TER, and AER where links exist",
    "translate": "translate lines, from stdin to stdout by default",
    "score": "how likely a model finds given translations: log-probabilities and perplexity",
    "align": "link the words of given sentence pairs by forced decoding",
    "visualize": "one sentence: a page and figures of every attention, beside its translations",
    "explain": "which words made a model say each word: words of the source, and words it said before",
    "trust": "which explanations to believe: erase the words that each names, and see what is lost",
    "tensorboard": "open TensorBoard on the runs: curves, heatmaps, translations",
    "links": "link the words of a text by statistics alone: fast_align, HMM, IBM 4, eflomal",
    "aer": "score word links against gold links",
    "heads": "how much each attention head matters, and the scores with fewer and fewer heads",
    "prune": "a smaller checkpoint, without the heads that matter least",
    "average": "one checkpoint whose weights are the mean of several checkpoints",
    "export": "a checkpoint for another program: CTranslate2, Hugging Face, ONNX, safetensors",
    "serve": "a live page of a model, and an HTTP API: translations and attention",
    "import": "a model of Hugging Face's transformers as a checkpoint: Marian, M2M100, NLLB",
    "compare": "every run below a folder: one table, plots, significance, attention side by side",
}

HELP = """seq2seq: train encoder-decoders, see and compare their attention

usage: seq2seq COMMAND [key=value ...]

{commands}

seq2seq COMMAND --help    how to call it, with all its choices and keys, and what they mean
seq2seq train             a first run: it needs no data, and says at the end what to look at
HYDRA_FULL_ERROR=1        before a command: shows the full trace of an error"""


def main(arguments: list[str] | None = None, *, hand_on: bool = False) -> int:
    """Run the command line; return 0, 1 for a failure, 2 for a mistyped command, 128 + the number of a signal.

    Args:
        arguments: the command and its overrides; None: those of this process.
        hand_on: whether what stops the command is raised, for a caller that says how to go on.
    """
    if arguments is None:
        use_utf8()
        arguments = sys.argv[1:]
    open_streams(patient=arguments[:1] == ["train"])
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status or int(getattr(sys.stdout, "failed", False))
    except Interrupted as interruption:
        if hand_on:
            raise
        if interruption.args:
            with suppress(OSError):  # a terminal that was closed
                print(interruption, file=sys.stderr, flush=True)
        return 128 + interruption.number
    except KeyboardInterrupt as interruption:
        if hand_on:
            raise
        print("; ".join(["interrupted", *map(str, interruption.args)]), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        return 1
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        from seq2seq.cli.keys.messages import explain

        print(f"error: {explain(error, ''.join(arguments[:1]), arguments[1:])}", file=sys.stderr)
        return 1
    finally:
        with suppress(BrokenPipeError, UserError):  # after an error, which is what there is to say
            sys.stdout.flush()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())))
        return 0
    command, *overrides = arguments
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        print(f"error: there is no command {command}; {hint}", file=sys.stderr)
        return 2
    try:
        os.getcwd()
    except OSError:  # which MKL would say in its own way, and end the process
        print("error: the current folder has been deleted; change to one that is there", file=sys.stderr)
        return 1
    read_yaml_in_c()
    # Imported here, so that help does not wait for PyTorch.
    if {"-h", "--help"} & set(overrides):
        from seq2seq.cli.help import print_help

        print_help(command, overrides, does=COMMANDS[command])
        return 0
    keep_folder_from_pandas("bottleneck")
    if "" not in sys.path:  # the present folder, where modules of a user's own are; after all that is installed
        sys.path.append("")
    keep_freed_memory()
    keep_few_kernels()
    keep_to_quota()
    with ending_in_a_line(training=command == "train"):
        return importlib.import_module(f"seq2seq.cli.{command}").main(overrides) or 0
