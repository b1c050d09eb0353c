"""The tag that stands before every source of a model: which one, and whether it needs one."""

from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.checkpoint import Checkpoint
from seq2seq.data.corpus import Corpus
from seq2seq.data.files import read_lines
from seq2seq.data.tagged import TaggedCorpus
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


class Tagging(NamedTuple):
    """What stands before the sources of a command."""

    tokenizers: Tokenizers  # which put one tag before every source, or none
    tags: list[str] | None = None  # those of the lines, where they differ
    file: str | None = None  # where these stand

    def of(self, first: int, count: int) -> list[str] | None:
        """Return the tags of some lines, the first of which is counted from 0; None: the tokenizers know."""
        return None if self.tags is None else self.tags[first : first + count]


def tagging(
    tokenizers: Tokenizers, tag: str | None, file: str | None, checkpoints: Sequence[Checkpoint], *, of: str = ""
) -> Tagging:
    """Return what stands before the sources: one tag, or those of a file.

    Args:
        tokenizers: of the models.
        tag: for all lines; None: none.
        file: line n is the tag of line n; None: they do not differ.
        checkpoints: of the models.
        of: how the keys begin that say both, such as `reverse_`.

    Raises:
        UserError: both are given; the models do not know a tag, or need one.
    """
    if file is None:
        return Tagging(with_tag(tokenizers, tag, checkpoints))
    if tag is not None:
        raise UserError(f"{of}tag={tag} and {of}tags={file}: give one tag for all lines, or one for each line")
    return Tagging(tokenizers, read_tags(file, tokenizers.source, checkpoints), file)


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


def tagged_corpus(corpus: Corpus, tagged: Tagging) -> Corpus:
    """Return a corpus with the tags of a file.

    Raises:
        UserError: it has tags of its own.
    """
    assert tagged.tags is not None and tagged.file is not None
    if corpus.tags:
        raise UserError(f"tags={tagged.file}: the data have tags of their own ({', '.join(corpus.tags)}); leave it out")
    return TaggedCorpus(corpus, [tag and tag_name(tag) for tag in tagged.tags], file=tagged.file)


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
