"""What a person asks of each translation, as text, to what a search is asked, in pieces."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seq2seq.data.text import SURROGATE, is_blank, one_line, visible, words
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.decoding.constraints import Constraints, Phrase, says
from seq2seq.decoding.interface import Request, Search
from seq2seq.decoding.prefix import BLANK, Prefix, prefix_of
from seq2seq.decoding.vocabulary import SPACE, Vocabulary, is_glued
from seq2seq.errors import UserError

Name = Callable[[int], str]
"""What an error calls item i of a list, counted from 0, such as `FILE:7`."""

EXAMPLE = '{"require": ["Haus", ["Auto", "Wagen"]], "forbid": ["Hund"]}'


def requests_of(
    tokenizer: Tokenizer,
    *,
    search: Search,
    prefixes: Sequence[str] | None = None,
    constraints: Sequence[Mapping[str, Any] | None] | None = None,
    prefix_name: Name = "prefix[{}]".format,
    constraint_name: Name = "constraints[{}]".format,
) -> list[Request]:
    """Return what is asked of each translation: as many as there are prefixes, or constraints.

    Args:
        tokenizer: of the target.
        search: that is to be asked.
        prefixes: what each must begin with; blank text is nothing.
        constraints: what each must say and must not say, as in `EXAMPLE`; None or {} is nothing.
        prefix_name: what an error calls a prefix.
        constraint_name: what an error calls constraints.

    Raises:
        UserError: what is asked contradicts itself, cannot be said in the vocabulary, is longer than the limit, or is
            more than the search can do.
    """
    if isinstance(prefixes, str):
        raise UserError("prefix is one text, of which every letter would be one; give a list: [text]")
    if isinstance(constraints, Mapping):
        raise UserError("constraints is one for all; give a list: one for each line, or None")
    if prefixes is not None and constraints is not None and len(prefixes) != len(constraints):
        raise UserError(
            f"there are {len(prefixes)} prefixes and {len(constraints)} constraints; give one of each a line"
        )
    vocabulary = Vocabulary.of(tokenizer)
    requests = []
    for i in range(len(prefixes if prefixes is not None else constraints or ())):
        text = "" if prefixes is None else prefixes[i]
        if not isinstance(text, str):
            raise UserError(f"{prefix_name(i)}={text!r} is no text; give one, '' for nothing")
        given = None if constraints is None else constraints[i]
        where = constraint_name(i)
        prefix = prefix_of(text, tokenizer, vocabulary, max_length=search.max_length, where=prefix_name(i))
        made = _constraints_of(given, tokenizer, vocabulary, where=where)
        if prefix is None and made is not None and made.required:
            prefix = Prefix(tokenizer.first, "", vocabulary)  # which takes room, if there is any
        if made is not None and made.required and not getattr(search, "requires", False):
            raise UserError(f"{where}: words can be required of search=beam only; choose it, or forbid words alone")
        request = Request(prefix=prefix, constraints=made, where=where)
        if request.least + 1 > search.max_length:
            raise UserError(
                f"{where}: what is asked needs {request.least} pieces, and one more for the end, but a translation may "
                f"have {search.max_length}; ask for less, or raise search.max_length"
            )
        begun = tokenizer.spelling(text.rstrip(BLANK)) + (SPACE if text[-1:].strip(BLANK) == "" else "")
        for phrase in () if made is None or prefix is None else made.forbidden:
            if says(begun, phrase, ended=False):
                raise UserError(f"{where}: forbids {_shown(phrase)}, which its prefix says; take one away")
        requests.append(request)
    return requests


def parse_constraints(line: str, where: str) -> dict[str, Any] | None:
    """Return the constraints of a line of a file; None where it is blank.

    Raises:
        UserError: it is no JSON object.
    """
    if is_blank(line):
        return None
    try:
        found = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}); expected a line such as {EXAMPLE}") from None
    if not isinstance(found, dict):
        raise UserError(f"{where}: no JSON object; expected a line such as {EXAMPLE}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of a key that comes twice one value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"a key comes twice: {twice}")
    return found


def _constraints_of(
    given: Mapping[str, Any] | None, tokenizer: Tokenizer, vocabulary: Vocabulary, *, where: str
) -> Constraints | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: {given!r} is no dictionary; expected such as {EXAMPLE}")
    if not given:
        return None
    unknown = [key for key in given if key not in ("require", "forbid")]
    if unknown:
        raise UserError(f"{where}: {unknown[0]} is not known; expected such as {EXAMPLE}")
    required = [[item] if isinstance(item, str) else item for item in _items(given, "require", where)]
    if not all(isinstance(item, list | tuple) and item for item in required):
        raise UserError(f"{where}: require takes texts, or lists of texts one of which is enough, such as {EXAMPLE}")
    forbidden_texts = _items(given, "forbid", where)
    for text in (*(text for item in required for text in item), *forbidden_texts):
        if not isinstance(text, str) or is_blank(text):
            raise UserError(f"{where}: {text!r} is no text with a word; expected such as {EXAMPLE}")
        if one_line(text) != text:
            raise UserError(
                f"{where}: {text!r} has the end of a line in it, and a translation is one line; take it out"
            )
        if SURROGATE.search(text):
            raise UserError(f"{where}: {text!r} holds half of a surrogate pair: write both, or take it out")
    forbidden = [tokenizer.spelling(text).removeprefix(SPACE) for text in forbidden_texts]
    phrases = []
    for item in required:
        allowed = [t for t in item if not any(says(tokenizer.spelling(t), phrase, ended=True) for phrase in forbidden)]
        if not allowed:
            raise UserError(f"{where}: requires {' or '.join(item)}, and forbids it; take one away")
        phrases.append(tuple(phrase for text in allowed for phrase in _phrases(text, tokenizer, vocabulary, where)))
    return Constraints(list(dict.fromkeys(phrases)), forbidden, vocabulary)


def _items(given: Mapping[str, Any], key: str, where: str) -> list[Any]:
    items = given.get(key, [])
    if not isinstance(items, list | tuple):
        raise UserError(f"{where}: {key} takes a list, such as {EXAMPLE}")
    return list(items)


def _phrases(text: str, tokenizer: Tokenizer, vocabulary: Vocabulary, where: str) -> list[Phrase]:
    """Return the ways to say a text inside a sentence: after a space, and after none where it may stand so."""
    ids = tokenizer.encode(text)
    ids = ids[len(tokenizer.first) :]  # which stands before a whole sentence
    if UNK in ids or not ids:
        unknown = ", ".join(word for word in words(text) if UNK in tokenizer.encode(word))
        lacking = visible(unknown or text)
        raise UserError(f"{where}: the vocabulary has no pieces for {lacking}; write it with other letters")
    first = vocabulary.spellings[ids[0]]
    if not first.startswith(SPACE) and not is_glued(first):
        return [(*vocabulary.exactly(SPACE), *ids)]  # the space before a word is a piece of its own
    found = [tuple(ids)]
    if is_glued(text.lstrip(BLANK)) and first.startswith(SPACE):
        rest = vocabulary.exactly(first.removeprefix(SPACE)) if first != SPACE else []
        if rest or first == SPACE:
            found.append((*rest, *ids[1:]))
    return found


def _shown(phrase: str) -> str:
    return phrase.replace(SPACE, " ")
