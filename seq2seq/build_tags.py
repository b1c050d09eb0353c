"""The tag that stands before every source of a model: which one, and whether it needs one."""

from collections.abc import Sequence

from seq2seq.checkpoint import Checkpoint
from seq2seq.data.corpus import Corpus
from seq2seq.data.files import read_lines
from seq2seq.data.tags import tag_name
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.errors import UserError


def with_tag(tokenizers: Tokenizers, tag: str | None, checkpoints: Sequence[Checkpoint]) -> Tokenizers:
    """Return tokenizers that put a tag before every source.

    Args:
        tokenizers: of the models.
        tag: None: no tag.
        checkpoints: of the models.

    Raises:
        UserError: the models do not know it, or need one.
    """
    if tag is None:
        check_needless(checkpoints, "")
        return tokenizers
    return tokenizers._replace(source=tokenizers.source.tagged(tag_name(tag)))


def for_corpus(
    tokenizers: Tokenizers, tag: str | None, checkpoints: Sequence[Checkpoint], corpus: Corpus
) -> Tokenizers:
    """Return the tokenizers for a corpus, which may have tags of its own.

    Raises:
        UserError: as `with_tag`, or both have tags.
    """
    if not corpus.tags:
        return with_tag(tokenizers, tag, checkpoints)
    if tag is not None:
        raise UserError(f"tag={tag}: the data have tags of their own ({', '.join(corpus.tags)}); leave it out")
    for own in corpus.tags:
        tokenizers.source.tagged(own)
    return tokenizers


def read_tags(path: str, tokenizer: Tokenizer, checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Return the tags of a file, one a line; an empty line is none.

    Raises:
        UserError: naming file and line of one that the models do not know, or of none where they need one.
    """
    tags = [line.strip() for line in read_lines(path)]
    for number, tag in enumerate(tags, start=1):
        where = f"{path}:{number}: "
        try:
            if tag:
                tokenizer.tagged(tag)
        except UserError as error:
            raise UserError(f"{where}{error}") from None
        if not tag:
            check_needless(checkpoints, where)
    return tags


def check_needless(checkpoints: Sequence[Checkpoint], where: str) -> None:
    """Refuse to do without a tag where models were always trained with one; where begins the message."""
    for checkpoint in checkpoints:
        corpora = (checkpoint.config.get("data") or {}).get("corpora") or {}
        tags = [part.get("tag") for part in corpora.values()]
        if tags and all(tags):
            known = ", ".join(dict.fromkeys(map(tag_name, tags)))
            raise UserError(
                f"{where}{checkpoint.path} was trained with a tag before every source; say which: tag=..., of {known}"
            )
