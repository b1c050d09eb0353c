"""Which noun an `it` of the embedded grammar stands for, as its German gender says."""

from functools import cache

from seq2seq.data.grammar.inflection import PRONOUNS
from seq2seq.data.grammar.nouns import nouns
from seq2seq.data.link_forms import pharaoh_links
from seq2seq.data.pair import Pair
from seq2seq.data.text import words

IT = "it"


def antecedents(pair: Pair) -> frozenset[tuple[int, int]]:
    """Return links (source word, target word) from the noun that an `it` stands for to the German pronoun.

    `It` has no gender, and `er`, `sie` and `es` have: to say the right one, a model must go by that noun. Only where
    one noun of the sentence alone can be meant, by its gender. A compound has a link of each of its words.

    Args:
        pair: of the embedded grammar, with its gold links.
    """
    source, target = words(pair.source.lower()), words(pair.target.lower())
    sure = {
        (link.source, link.target) for link in pharaoh_links(pair.links, first_index=0, where="gold links") if link.sure
    }
    found = set()
    for i, j in sure:
        genders = _genders().get(target[j])
        if source[i] == IT and genders:
            meant = {noun for noun, gender in _nouns_in(source, sure).items() if gender in genders}
            if len(meant) == 1:
                (noun,) = meant
                found |= {(word, j) for word, other in sure if other == noun}
    return frozenset(found)


def _nouns_in(source: list[str], sure: set[tuple[int, int]]) -> dict[int, str]:
    """Return the gender of each target word that translates a noun in the singular that `it` can take up."""
    found = {}
    for i, j in sorted(sure):  # of a compound the last word decides
        noun = nouns().get(source[i])
        if noun is not None and "person" not in noun.kind:
            found[j] = noun.gender
        elif j in found:
            del found[j]  # the head of this compound is a person, or no noun in the singular
    return found


@cache
def _genders() -> dict[str, set[str]]:
    """Return the genders that a German pronoun of the third person in the singular may have."""
    found: dict[str, set[str]] = {}
    for forms in PRONOUNS.values():
        for form, gender in zip(forms.split(), "mfn", strict=False):
            found.setdefault(form, set()).add(gender)
    return found
