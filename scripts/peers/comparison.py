"""What comparisons of trainings share: their options, and the data of all sides."""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arguments import above_0

from peers import eole, joeynmt
from peers.models import MODELS, NOT_VALIDATED, TRANSFORMER, Model, our_command
from peers.place import Place, execute
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.tokenizer import Tokenizer

PEERS = {"JoeyNMT": joeynmt, "eole": eole}


@contextmanager
def prepared(data: Path, *, threads: int, peers: Iterable[str]) -> Iterator[Place]:
    """Yield a folder with the vocabulary and the data of all sides, so that no measured run has to make them."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(data.resolve(), Path(name), threads)
        _prepare(place, peers)
        yield place


def _prepare(place: Place, peers: Iterable[str]) -> None:
    for language in ("en", "de"):
        lines = (place.data / f"train.{language}").read_text(encoding="utf-8").splitlines()
        (place.folder / f"val.{language}").write_text("\n".join(lines[:10]) + "\n", encoding="utf-8")
    run = place.folder / "ours"
    execute([sys.executable, "-m", "seq2seq", *our_command(TRANSFORMER, place, run, steps=1), *NOT_VALIDATED], place)
    tokenizer = Tokenizer(read_checkpoint(run / "checkpoints" / "last.ckpt").tokenizers[0])
    for peer in peers:
        PEERS[peer].prepare(tokenizer, place)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every comparison of trainings asks for."""
    parser.add_argument("--joeynmt", metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument(
        "--eole", metavar="PYTHON", help="interpreter of an environment with eole; one of the two, or both"
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="train.en, train.de, val.* of the tokenised Multi30k"
    )
    parser.add_argument("--threads", type=above_0, default=2, help="CPU threads of each side (%(default)s)")


def interpreters(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, str]:
    """Return the interpreters that were given, by peer; end the program where there is none, or no data."""
    if not (text := options.data / "train.en").exists():
        parser.error(f"there is no {text}; --data is the folder of the tokenised Multi30k")
    given = {"JoeyNMT": options.joeynmt, "eole": options.eole}
    pythons = {peer: interpreter(parser, python) for peer, python in given.items() if python}
    if not pythons:
        parser.error("give a peer to compare with: --joeynmt, --eole, or both")
    return pythons


def interpreter(parser: argparse.ArgumentParser, python: str) -> str:
    """Return the whole path of an interpreter; end the program where there is none."""
    path = Path(python).absolute()  # not resolved: a virtual environment's interpreter is a link
    if not path.exists():
        parser.error(f"there is no interpreter {python}; the environments are set up as --help says")
    return str(path)


def models_to_compare(
    parser: argparse.ArgumentParser, names: list[str] | None, pythons: dict[str, str]
) -> dict[str, Model]:
    """Return the models of these names, all by default, that at least one peer has too."""
    models = {
        name: model for name, model in MODELS.items() if name in (names or MODELS) and pythons.keys() & model.rates
    }
    if not models:
        parser.error("eole is compared on the transformer only")
    return models
