"""What a person asks of each translation, as text, to what a search is asked, in pieces."""

from collections.abc import Callable, Sequence

from seq2seq.data.tokenizer import Tokenizer
from seq2seq.decoding.interface import Request
from seq2seq.decoding.prefix import prefix_of
from seq2seq.decoding.vocabulary import Vocabulary
from seq2seq.errors import UserError

Name = Callable[[int], str]
"""What an error calls item i of a list, counted from 0, such as `FILE:7`."""


def requests_of(
    tokenizer: Tokenizer, *, max_length: int, prefixes: Sequence[str], name: Name = "prefix[{}]".format
) -> list[Request]:
    """Return what is asked of each translation.

    Args:
        tokenizer: of the target.
        max_length: most tokens of a translation, EOS counted.
        prefixes: what each must begin with; blank text is nothing.
        name: what an error calls a prefix.

    Raises:
        UserError: a prefix cannot be said in the vocabulary, or is longer than the limit.
    """
    if isinstance(prefixes, str):
        raise UserError("prefix is one text, of which every letter would be one; give a list: [text]")
    vocabulary = Vocabulary.of(tokenizer)
    return [
        Request(prefix=prefix_of(text, tokenizer, vocabulary, max_length=max_length, where=name(i)))
        for i, text in enumerate(prefixes)
    ]
