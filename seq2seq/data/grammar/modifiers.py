"""Adjectives, adverbs, phrases of time and reasons of the embedded grammar, as tables."""

from functools import cache
from typing import NamedTuple

from seq2seq.data.grammar.nouns import LIVING, rows

# English | German[/stem before endings] | classes of nouns (or nouns) it goes with.
# The class "state" marks what only a living being can be: such an adjective decides what "it" refers to.
ADJECTIVES = """
tired       | müde/müd      | state
hungry      | hungrig       | state
thirsty     | durstig       | state
ill         | krank         | state
nervous     | nervös        | state
lonely      | einsam        | state
angry       | wütend        | state
sad         | traurig       | state
happy       | glücklich     | state
young       | jung          | man woman king queen prince princess knight waiter waitress actress sailor thief animal
old         | alt           | man woman king queen witch animal furniture vehicle scheduled building small clothing
friendly    | freundlich    | person dog
famous      | berühmt       | king queen actress wizard sight novel poem knight
rich        | reich         | king queen man woman lady prince princess uncle aunt
poor        | arm           | fisherman man woman boy monk child nun
brave       | mutig         | person hunter
clever      | klug          | person animal
lazy        | faul          | person pet
strong      | stark         | person animal
proud       | stolz         | person hunter
curious     | neugierig     | person infant animal
polite      | höflich       | person
shy         | schüchtern    | person infant animal
strange     | seltsam       | person animal building text
wild        | wild          | hunter horse pig animal
black       | schwarz       | dog cat horse cow goat clothing vehicle luggage umbrella
white       | weiß          | dog cat horse cow goat clothing vehicle rose goose window
brown       | braun         | dog horse cow bear clothing furniture luggage
grey        | grau          | cat donkey mouse wolf clothing elephant
red         | rot           | clothing vehicle rose apple door candle umbrella ball luggage
green       | grün          | clothing vehicle apple door bottle umbrella
yellow      | gelb          | clothing vehicle flower rose umbrella lemon banana
blue        | blau          | clothing vehicle door luggage ball cup
big         | groß          | animal building town garden park fruit cake egg sausage luggage furniture plant scheduled
small       | klein         | animal infant building town park fruit cake egg sausage furniture vehicle dish gate wall
new         | neu           | vehicle scheduled device furniture clothing novel building window drawer
beautiful   | schön         | woman lady queen actress jewel clothing plant sight poem horse present forest lake
ugly        | hässlich      | furniture clothing tower picture lamp hotel
expensive   | teuer/teur    | jewel clothing vehicle device furniture hotel wine present
cheap       | billig        | clothing vehicle device furniture hotel wine dish
broken      | kaputt        | gate vehicle device furniture fragile umbrella toy
dirty       | schmutzig     | clothing vehicle dish washable room carpet
heavy       | schwer        | luggage furniture machine book sword crown
empty       | leer          | market square field drawer scheduled luggage bottle glass room cupboard building
dark        | dunkel/dunkl  | forest cave cellar stable church room
quiet       | ruhig         | garden park village library hotel valley island mountain market lake field
warm        | warm          | clothing soup bread milk
cold        | kalt          | drink soup meat
hot         | heiß          | hot soup
sweet       | süß           | cherry pear cake apple juice wine onion
fresh       | frisch        | food milk onion water
sour        | sauer/saur    | lemon apple milk wine
exciting    | spannend      | novel story book report
boring      | langweilig    | novel story book report letter newspaper poem museum
interesting | interessant   | novel story book report letter newspaper museum
important   | wichtig       | letter report message key
wide        | breit         | wide
dangerous   | gefährlich    | crossed hunter mountain cave
slippery    | rutschig      | road bridge
deep        | tief          | river lake valley
"""

# Why somebody does something with a thing or does not: verb | adjectives for it | adjectives against it.
REASONS = """
kaufen       | cheap beautiful new warm fresh sweet      | expensive ugly broken dirty boring
verkaufen    | old ugly small expensive                  | broken dirty cheap
wegwerfen    | old ugly broken dirty cold boring         | new expensive beautiful warm
reparieren   | broken                                    | cheap ugly old
waschen      | dirty                                     | new expensive
putzen       | dirty                                     | new
lesen        | exciting interesting important            | boring
essen        | fresh sweet warm                          | cold sour
trinken      | fresh sweet warm hot                      | cold sour
stehlen      | expensive beautiful new                   | cheap ugly broken
tragen       |                                           | heavy dirty
anziehen     | warm beautiful new                        | dirty ugly old
besuchen     | famous beautiful interesting quiet        | boring
überqueren   |                                           | wide dangerous slippery deep
verlassen    | dark dirty ugly                           | quiet beautiful
"""

# Why a living being does something: verb | the states that make it do so. Other verbs take the first line.
MOTIVES = """
-            | happy nervous lonely angry
essen        | hungry
fressen      | hungry
kochen       | hungry
backen       | hungry
trinken      | thirsty
schlafen     | tired ill
einschlafen  | tired ill
weinen       | sad lonely tired ill
singen       | happy
tanzen       | happy
lachen       | happy
schwimmen    | happy
spielen      | happy lonely
bellen       | angry hungry nervous lonely
aufwachen    | hungry thirsty ill nervous
aufstehen    | hungry thirsty nervous
zurückkommen | hungry thirsty tired ill lonely
ankommen     |
verlieren    | nervous tired
zerbrechen   | nervous angry
"""
# What keeps a living being from doing anything else.
OBSTACLES = ["tired", "ill", "sad", "nervous", "angry", "hungry", "thirsty"]

# What one does with a thing after something else: first verb | second verbs.
SEQUELS = """
kaufen       | reparieren verstecken fotografieren waschen
finden       | verkaufen verstecken reparieren waschen putzen
stehlen      | verstecken verkaufen
pflücken     | waschen essen verkaufen
schälen      | essen kochen
backen       | essen verkaufen
kochen       | essen
waschen      | fotografieren verkaufen
reparieren   | verkaufen putzen
fangen       | fressen beißen
"""

MANNERS = {
    "careful": [("carefully", "vorsichtig"), ("slowly", "langsam"), ("quickly", "schnell")],
    "speed": [("quickly", "schnell"), ("slowly", "langsam")],
    "slow": [("slowly", "langsam")],
    "loud": [("loudly", "laut"), ("quietly", "leise"), ("happily", "fröhlich")],
    "quiet": [("quietly", "leise")],
}
FREQUENCIES = {
    "present": [("often", "oft"), ("never", "nie"), ("always", "immer"), ("sometimes", "manchmal")],
    "past": [("often", "oft"), ("never", "nie"), ("always", "immer"), ("sometimes", "manchmal")],
    "perfect": [("already", "schon"), ("never", "nie"), ("often", "oft")],
}
DEGREES = [("very", "sehr"), ("too", "zu")]

# English | German | links | tenses.
TIMES = """
yesterday          | gestern          | 0-0         | past
yesterday evening  | gestern Abend    | 0-0 1-1     | past
yesterday morning  | gestern Morgen   | 0-0 1-1     | past
last week          | letzte Woche     | 0-0 1-1     | past
last night         | letzte Nacht     | 0-0 1-1     | past
last year          | letztes Jahr     | 0-0 1-1     | past
last summer        | letzten Sommer   | 0-0 1-1     | past
on Monday          | am Montag        | 0-0 1-1     | past future
on Friday          | am Freitag       | 0-0 1-1     | past future
on Sunday          | am Sonntag       | 0-0 1-1     | past future
today              | heute            | 0-0         | present past perfect future modal
every day          | jeden Tag        | 0-0 1-1     | present
every evening      | jeden Abend      | 0-0 1-1     | present
every morning      | jeden Morgen     | 0-0 1-1     | present
in the evening     | am Abend         | 0-0 1-0 2-1 | present past
in the morning     | am Morgen        | 0-0 1-0 2-1 | present past
at night           | nachts           | 0-0 1-0     | present
tomorrow           | morgen           | 0-0         | future modal
tomorrow evening   | morgen Abend     | 0-0 1-1     | future modal
next week          | nächste Woche    | 0-0 1-1     | future modal
next year          | nächstes Jahr    | 0-0 1-1     | future
"""

# Units that are counted: "two days ago", "vor zwei Tagen".
UNITS = [("days", "Tagen"), ("weeks", "Wochen"), ("months", "Monaten"), ("years", "Jahren")]


# Adjectives that nothing is "very" or "too".
ABSOLUTE = {"black", "white", "brown", "grey", "red", "green", "yellow", "blue", "broken", "empty"}


class Adjective(NamedTuple):
    """An adjective: its predicative German form and the stem its endings are added to."""

    english: str
    german: str
    stem: str
    classes: frozenset[str]


@cache
def adjectives() -> dict[str, Adjective]:
    """All adjectives by their English form."""
    return {
        english: Adjective(english, german.split("/")[0], german.split("/")[-1], frozenset(classes.split()))
        for english, german, classes in rows(ADJECTIVES)
    }


@cache
def adjectives_of(kind: frozenset[str]) -> list[Adjective]:
    """The adjectives that sensibly describe something of these classes."""
    fitting = kind | {"state"} if kind & LIVING else kind
    return [adjective for adjective in adjectives().values() if not adjective.classes.isdisjoint(fitting)]


@cache
def motives(lemma: str) -> list[Adjective]:
    """The states in which one does this."""
    table = {verb: names.split() for verb, names in rows(MOTIVES)}
    return [adjectives()[state] for state in table.get(lemma, table["-"])]


@cache
def obstacles(lemma: str) -> list[Adjective]:
    """The states in which one does not do this."""
    return [adjectives()[state] for state in OBSTACLES if adjectives()[state] not in motives(lemma)]


@cache
def reasons() -> dict[str, tuple[list[str], list[str]]]:
    """Adjectives that speak for and against doing something with a thing, by the verb's lemma."""
    return {verb: (good.split(), bad.split()) for verb, good, bad in rows(REASONS)}


@cache
def sequels() -> dict[str, list[str]]:
    """The verbs that may follow a verb about the same thing, by its lemma."""
    return {first: second.split() for first, second in rows(SEQUELS)}


@cache
def times() -> dict[str, list[tuple[list[str], list[str], list[tuple[int, int]]]]]:
    """The phrases of time by tense: English words, German words, links between them."""
    table: dict[str, list[tuple[list[str], list[str], list[tuple[int, int]]]]] = {}
    for english, german, links, tenses in rows(TIMES):
        pairs = [(int(pair.split("-")[0]), int(pair.split("-")[1])) for pair in links.split()]
        for tense in tenses.split():
            table.setdefault(tense, []).append((english.split(), german.split(), pairs))
    return table
