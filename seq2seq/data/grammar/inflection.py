"""How words inflect: German articles, adjectives, nouns and verbs; English articles and auxiliaries; numbers."""

from functools import cache

from seq2seq.data.grammar.nouns import Noun, english_s, rows
from seq2seq.data.grammar.verbs import Verb

# Columns: masculine, feminine, neuter, plural.
COLUMNS = "mfnp"
DER = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den"}
DIESER = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
EIN = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en"}
WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en"}
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
PRONOUNS = {"nom": "er sie es sie", "acc": "ihn sie es sie", "dat": "ihm ihr ihm ihnen"}
RELATIVES = {"nom": "der die das die", "acc": "den die das die"}

# Determiner: its German stem, the table of its endings, the table of the adjective after it.
DETERMINERS = {
    "the": ("", DER, WEAK),
    "this": ("dies", DIESER, WEAK),
    "these": ("dies", DIESER, WEAK),
    "every": ("jed", DIESER, WEAK),
    "many": ("viel", DIESER, STRONG),
    "some": ("einig", DIESER, STRONG),
    "a": ("ein", EIN, MIXED),
    "no": ("kein", EIN, MIXED),
    "my": ("mein", EIN, MIXED),
    "our": ("unser", EIN, MIXED),
    "his": ("sein", EIN, MIXED),
    "her": ("ihr", EIN, MIXED),
    "their": ("ihr", EIN, MIXED),
}

DEFINITE = {"the", "this", "these", "my", "our", "his", "her", "their"}

CONTRACTIONS = {
    ("in", "dem"): "im",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("von", "dem"): "vom",
    ("in", "das"): "ins",
    ("an", "das"): "ans",
}

# Three agreements: I, third person singular, plural.
FIRST, THIRD, PLURAL = range(3)
BE = {
    "present": (["am", "is", "are"], ["bin", "ist", "sind"]),
    "past": (["was", "was", "were"], ["war", "war", "waren"]),
}
HAVE = ("have", "has", "have")
AUXILIARIES = {"haben": ("habe", "hat", "haben"), "sein": ("bin", "ist", "sind")}

NUMERALS = """
one ein           | two zwei          | three drei          | four vier          | five fünf
six sechs         | seven sieben      | eight acht          | nine neun          | ten zehn
eleven elf        | twelve zwölf      | thirteen dreizehn   | fourteen vierzehn  | fifteen fünfzehn
sixteen sechzehn  | seventeen siebzehn | eighteen achtzehn  | nineteen neunzehn  | twenty zwanzig
thirty dreißig    | forty vierzig     | fifty fünfzig       | sixty sechzig      | seventy siebzig
eighty achtzig    | ninety neunzig
"""


@cache
def cell(table: str, column: str) -> str:
    """The entry of a table row under a gender (or plural), empty for `-`."""
    return table.split()[COLUMNS.index(column)].replace("-", "")


@cache
def german_noun(noun: Noun, column: str, case: str) -> str:
    """The noun in its case: weak nouns take -(e)n in the singular, dative plurals -n."""
    if column != "p":
        return noun.german_plural if "weak" in noun.kind and case != "nom" else noun.german
    plural = noun.german_plural
    return plural + "n" if case == "dat" and plural[-1] not in "ns" else plural


def german_verb(verb: Verb, tense: str, agreement: int) -> str:
    """The finite form, without its particle: `macht`, `machten`."""
    if tense == "past":
        plural = "n" if verb.preterite.endswith("e") else "en"
        return verb.preterite + plural if agreement == PLURAL else verb.preterite
    if agreement == THIRD:
        return verb.third
    if agreement == PLURAL:
        return verb.infinitive
    stem = verb.infinitive[:-2] if verb.infinitive.endswith("en") else verb.infinitive[:-1]
    return stem + "e" if verb.third.endswith("t") else verb.third  # ich weiß, er weiß


def english_verb(forms: tuple[str, ...], tense: str, agreement: int) -> str:
    """The finite form of an English verb, given as base, past."""
    if tense == "past":
        return forms[1]
    return english_s(forms[0]) if agreement == THIRD else forms[0]


@cache
def number(n: int) -> tuple[str, str]:
    """The number from 1 to 99 in English and German: `twenty-one`, `einundzwanzig`."""
    numerals = [cell.split() for row in rows(NUMERALS) for cell in row]
    tens, ones = divmod(n, 10)
    if n <= 20 or not ones:
        english, german = numerals[n - 1 if n <= 20 else tens + 17]
        return english, german
    (ten, zehner), (one, einer) = number(10 * tens), number(ones)
    return f"{ten}-{one}", f"{einer}und{zehner}"
