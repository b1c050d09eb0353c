"""The compounds of the embedded grammar: two English words, one German word."""

from functools import cache

from seq2seq.data.grammar.nouns import Noun, nouns, rows

# A modifier, its combining form and the heads it combines with; the German compound inflects like its head.
COMPOUNDS = """
garden    | Garten    | door gate wall chair table lamp
kitchen   | Küchen    | door window table chair clock lamp knife cupboard
cellar    | Keller    | door window key
church    | Kirchen   | door window
castle    | Schloss   | garden gate park
city      | Stadt     | park wall gate museum theatre library
village   | Dorf      | church school road
school    | Schul     | book bag garden bus
house     | Haus      | key
car       | Auto      | key door
table     | Tisch     | lamp
mountain  | Berg      | village lake hotel
winter    | Winter    | coat jacket shoe
summer    | Sommer    | dress hat shoe
leather   | Leder     | bag jacket shoe coat
gold      | Gold      | coin ring
silver    | Silber    | coin ring spoon
apple     | Apfel     | cake tree juice
cherry    | Kirsch    | cake tree juice
lemon     | Zitronen  | cake tree juice
carrot    | Karotten  | cake soup
potato    | Kartoffel | soup field
onion     | Zwiebel   | soup cake
fish      | Fisch     | soup
wine      | Wein      | glass bottle
water     | Wasser    | glass bottle
milk      | Milch     | bottle
coffee    | Kaffee    | cup machine
tea       | Tee       | cup
love      | Liebes    | letter story poem
animal    | Tier      | book story
"""


@cache
def compounds() -> dict[str, list[Noun]]:
    """All compounds, listed under their English head."""
    table: dict[str, list[Noun]] = {}
    for modifier, prefix, heads in rows(COMPOUNDS):
        for head in heads.split():
            noun = nouns()[head]
            compound = noun._replace(
                lemma=f"{modifier} {head}",
                singular=(modifier, *noun.singular),
                plural=(modifier, *noun.plural),
                german=prefix + noun.german.lower(),
                german_plural=prefix + noun.german_plural.lower(),
            )
            table.setdefault(head, []).append(compound)
    return table
