"""The corpus of a `data` group; of a mixture each of its own first."""

import re

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seq2seq.data.corpus import Corpus
from seq2seq.data.mixture import Member, check_mixture
from seq2seq.errors import UserError


def make_corpus(options: DictConfig) -> Corpus:
    """Return the corpus of a `data` group; of a mixture each of its own first.

    Raises:
        UserError: a part of a mixture cannot be, naming it.
    """
    if "corpora" not in options:
        return instantiate(options)
    check_corpora(options)
    members = {}
    for name, own in options.corpora.items():
        kind = OmegaConf.create({key: value for key, value in own.items() if key not in ("weight", "tag")})
        if options.streaming and not kind.get("streaming"):
            kind.streaming = True
        try:
            members[str(name)] = Member(make_corpus(kind), own.get("weight"), own.get("tag"))
        except (UserError, InstantiationException) as failure:
            error = failure if isinstance(failure, UserError) else failure.__cause__
            unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
            if unknown:
                raise UserError(
                    f"data.corpora.{name}.{unknown[2]} is no option of {unknown[1]}; leave it out"
                ) from error
            if not isinstance(error, UserError):
                raise
            said = re.sub(
                rf"(?<![\w./=])data\.(?=(?:{'|'.join(str(key) for key in kind)})\b)",
                f"data.corpora.{name}.",
                str(error),
            )
            raise UserError(said if said != str(error) else f"data.corpora.{name}: {error}") from error
    return instantiate({key: value for key, value in options.items() if key != "corpora"} | {"_partial_": True})(
        corpora=members
    )


def check_corpora(options: DictConfig) -> None:
    """Refuse what the parts of a mixture say, before any of them is read; other data pass.

    Raises:
        UserError: naming the key.
    """
    if "corpora" not in options:
        return
    if not isinstance(options.corpora, DictConfig):
        raise UserError(f"data.corpora={options.corpora}: expected corpora by name, such as data.corpora.news=text")
    parts = {str(name): part for name, part in options.corpora.items()}
    for name, part in parts.items():
        if not isinstance(part, DictConfig) or "_target_" not in part:
            raise UserError(
                f"data.corpora.{name} is no corpus; first say which kind it is, such as data.corpora.{name}=text"
            )
    given = {name: (part.get("weight"), part.get("tag")) for name, part in parts.items()}
    check_mixture(given, options.temperature, options.streaming)
