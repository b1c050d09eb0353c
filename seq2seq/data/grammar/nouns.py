"""The nouns and names of the embedded grammar, as tables a reader can check line by line."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

# English[/irregular plural] | German with its article | German plural | classes.
# "weak" nouns take their plural form in every singular case but the nominative, "mass" nouns have no plural, "kin" is
# "the" or "my" rather than "a" or "this", and "own" marks living beings and places that can be somebody's.
NOUNS = """
man/men           | der Mann            | Männer            | person
woman/women       | die Frau            | Frauen            | person
child/children    | das Kind            | Kinder            | own person
baby              | das Baby            | Babys             | infant
boy               | der Junge           | Jungen            | person weak
mother            | die Mutter          | Mütter            | own person kin parent
father            | der Vater           | Väter             | own person kin parent
sister            | die Schwester       | Schwestern        | own person kin
brother           | der Bruder          | Brüder            | own person kin
daughter          | die Tochter         | Töchter           | own person kin
son               | der Sohn            | Söhne             | own person kin
aunt              | die Tante           | Tanten            | own person kin
uncle             | der Onkel           | Onkel             | own person kin
grandmother       | die Großmutter      | Großmütter        | own person kin
grandfather       | der Großvater       | Großväter         | own person kin
lady              | die Dame            | Damen             | person
king              | der König           | Könige            | person
queen             | die Königin         | Königinnen        | person
prince            | der Prinz           | Prinzen           | person weak
princess          | die Prinzessin      | Prinzessinnen     | person
knight            | der Ritter          | Ritter            | person
witch             | die Hexe            | Hexen             | person
wizard            | der Zauberer        | Zauberer          | person
giant             | der Riese           | Riesen            | person weak
thief/thieves     | der Dieb            | Diebe             | person
monk              | der Mönch           | Mönche            | person
nun               | die Nonne           | Nonnen            | person
waiter            | der Kellner         | Kellner           | person
waitress          | die Kellnerin       | Kellnerinnen      | person
actress           | die Schauspielerin  | Schauspielerinnen | person
fisherman/fishermen | der Fischer       | Fischer           | person
postman/postmen   | der Briefträger     | Briefträger       | person
policeman/policemen | der Polizist      | Polizisten        | person weak
sailor            | der Matrose         | Matrosen          | person weak
dog               | der Hund            | Hunde             | own animal barking pet runner hunter
cat               | die Katze           | Katzen            | own animal pet runner hunter
horse             | das Pferd           | Pferde            | own animal pet runner
cow               | die Kuh             | Kühe              | animal pet
pig               | das Schwein         | Schweine          | animal pet
goat              | die Ziege           | Ziegen            | animal pet runner
donkey            | der Esel            | Esel              | animal pet runner
camel             | das Kamel           | Kamele            | animal pet
rabbit            | das Kaninchen       | Kaninchen         | animal pet prey runner
mouse/mice        | die Maus            | Mäuse             | animal prey runner
squirrel          | das Eichhörnchen    | Eichhörnchen      | animal prey runner
hedgehog          | der Igel            | Igel              | animal
frog              | der Frosch          | Frösche           | animal prey
snake             | die Schlange        | Schlangen         | animal hunter
crocodile         | das Krokodil        | Krokodile         | animal hunter
elephant          | der Elefant         | Elefanten         | animal weak
monkey            | der Affe            | Affen             | animal weak runner
bear              | der Bär             | Bären             | animal weak hunter runner
lion              | der Löwe            | Löwen             | animal weak hunter runner
tiger             | der Tiger           | Tiger             | animal hunter runner
wolf/wolves       | der Wolf            | Wölfe             | animal hunter runner
fox               | der Fuchs           | Füchse            | animal barking hunter runner
animal            | das Tier            | Tiere             | animal pet runner
bird              | der Vogel           | Vögel             | animal bird
duck              | die Ente            | Enten             | animal bird prey
goose/geese       | die Gans            | Gänse             | animal bird prey
owl               | die Eule            | Eulen             | animal bird hunter
eagle             | der Adler           | Adler             | animal bird hunter
book              | das Buch            | Bücher            | text written small
letter            | der Brief           | Briefe            | text written small
newspaper         | die Zeitung         | Zeitungen         | text small
novel             | der Roman           | Romane            | text written
poem              | das Gedicht         | Gedichte          | text written
story             | die Geschichte      | Geschichten       | text written told
report            | der Bericht         | Berichte          | text written
message           | die Nachricht       | Nachrichten       | text written
door              | die Tür             | Türen             | openable lockable washable
gate              | das Tor             | Tore              | openable lockable
window            | das Fenster         | Fenster           | openable washable
box               | die Kiste           | Kisten            | openable luggage
suitcase          | der Koffer          | Koffer            | openable lockable luggage
drawer            | die Schublade       | Schubladen        | openable
cupboard          | der Schrank         | Schränke          | openable lockable furniture
apple             | der Apfel           | Äpfel             | food fruit peeled picked
pear              | die Birne           | Birnen            | food fruit peeled picked
cherry            | die Kirsche         | Kirschen          | food fruit picked
banana            | die Banane          | Bananen           | food fruit peeled
lemon             | die Zitrone         | Zitronen          | fruit peeled picked
potato/potatoes   | die Kartoffel       | Kartoffeln        | food fruit peeled cooked
carrot            | die Karotte         | Karotten          | food fruit peeled cooked fodder
onion             | die Zwiebel         | Zwiebeln          | fruit peeled cooked
egg               | das Ei              | Eier              | food cooked
sausage           | die Wurst           | Würste            | food cooked fodder
cake              | der Kuchen          | Kuchen            | food baked
soup              | die Suppe           | Suppen            | food cooked
bread             | das Brot            | -                 | food baked fodder mass
cheese            | der Käse            | -                 | food fodder mass
meat              | das Fleisch         | -                 | food cooked fodder mass
milk              | die Milch           | -                 | drink licked mass
water             | das Wasser          | -                 | drink licked mass
wine              | der Wein            | -                 | drink mass
tea               | der Tee             | -                 | drink hot mass
coffee            | der Kaffee          | -                 | drink hot mass
juice             | der Saft            | -                 | drink mass
coat              | der Mantel          | Mäntel            | clothing garment
jacket            | die Jacke           | Jacken            | clothing garment
dress             | das Kleid           | Kleider           | clothing garment
shirt             | das Hemd            | Hemden            | clothing garment
skirt             | der Rock            | Röcke             | clothing garment
blouse            | die Bluse           | Blusen            | clothing garment
hat               | der Hut             | Hüte              | clothing
cap               | die Mütze           | Mützen            | clothing
scarf/scarves     | der Schal           | Schals            | clothing
shoe              | der Schuh           | Schuhe            | clothing garment
key               | der Schlüssel       | Schlüssel         | small
ring              | der Ring            | Ringe             | small jewel
coin              | die Münze           | Münzen            | small jewel
crown             | die Krone           | Kronen            | small jewel
sword             | das Schwert         | Schwerter         | small
knife/knives      | das Messer          | Messer            | small dish
spoon             | der Löffel          | Löffel            | small dish
fork              | die Gabel           | Gabeln            | small dish
cup               | die Tasse           | Tassen            | small dish fragile
plate             | der Teller          | Teller            | small dish fragile
glass             | das Glas            | Gläser            | small dish fragile
bottle            | die Flasche         | Flaschen          | small dish fragile
bag               | die Tasche          | Taschen           | small luggage
basket            | der Korb            | Körbe             | small luggage
umbrella          | der Regenschirm     | Regenschirme      | small
picture           | das Bild            | Bilder            | small drawn seen
candle            | die Kerze           | Kerzen            | small
ball              | der Ball            | Bälle             | small toy
doll              | die Puppe           | Puppen            | small toy
present           | das Geschenk        | Geschenke         | small
flower            | die Blume           | Blumen            | plant drawn picked small
rose              | die Rose            | Rosen             | plant drawn picked small
tree              | der Baum            | Bäume             | plant drawn tree
lamp              | die Lampe           | Lampen            | device furniture
radio             | das Radio           | Radios            | device
computer          | der Computer        | Computer          | device
television        | der Fernseher       | Fernseher         | device
machine           | die Maschine        | Maschinen         | device
clock             | die Uhr             | Uhren             | furniture
table             | der Tisch           | Tische            | furniture washable
chair             | der Stuhl           | Stühle            | furniture
bed               | das Bett            | Betten            | furniture
sofa              | das Sofa            | Sofas             | furniture
mirror            | der Spiegel         | Spiegel           | furniture washable fragile
carpet            | der Teppich         | Teppiche          | furniture
car               | das Auto            | Autos             | vehicle
bicycle           | das Fahrrad         | Fahrräder         | vehicle
boat              | das Boot            | Boote             | own vehicle
train             | der Zug             | Züge              | scheduled
bus               | der Bus             | Busse             | scheduled
ship              | das Schiff          | Schiffe           | scheduled drawn
plane             | das Flugzeug        | Flugzeuge         | scheduled
house             | das Haus            | Häuser            | own place building in enter lockable drawn overflown
church            | die Kirche          | Kirchen           | place building in enter drawn sight overflown
castle            | das Schloss         | Schlösser         | place building in enter drawn sight overflown
tower             | der Turm            | Türme             | place building in drawn sight overflown
school            | die Schule          | Schulen           | place building in enter overflown
museum            | das Museum          | Museen            | place building in enter sight overflown
theatre           | das Theater         | Theater           | place building in enter sight overflown
hotel             | das Hotel           | Hotels            | place building in enter overflown
hospital          | das Krankenhaus     | Krankenhäuser     | place building in enter
library           | die Bibliothek      | Bibliotheken      | place building in enter
station           | der Bahnhof         | Bahnhöfe          | place building
stable            | der Stall           | Ställe            | place building in enter room lair outdoors
kitchen           | die Küche           | Küchen            | own place in enter room
cellar            | der Keller          | Keller            | own place in enter room
room              | das Zimmer          | Zimmer            | own place in enter room
office            | das Büro            | Büros             | own place in enter room
garden            | der Garten          | Gärten            | own place in enter through lair outdoors
park              | der Park            | Parks             | place in enter through lair outdoors
forest            | der Wald            | Wälder            | place in enter through lair outdoors overflown
cave              | die Höhle           | Höhlen            | place in enter lair outdoors
valley            | das Tal             | Täler             | place in through lair outdoors overflown
village           | das Dorf            | Dörfer            | place in through town sight overflown
city              | die Stadt           | Städte            | place in through town sight overflown
island            | die Insel           | Inseln            | place on sight outdoors overflown
mountain          | der Berg            | Berge             | place on outdoors overflown
field             | das Feld            | Felder            | place on crossed outdoors overflown
bridge            | die Brücke          | Brücken           | place on crossed
road              | die Straße          | Straßen           | place on crossed wide overflown
square            | der Platz           | Plätze            | place crossed wide
river             | der Fluss           | Flüsse            | place by waters crossed wide outdoors overflown
lake              | der See             | Seen              | place by waters outdoors overflown
wall              | die Mauer           | Mauern            | place wall overflown
market            | der Markt           | Märkte            | place market
"""

NAMES = dict.fromkeys(("Anna", "Emma", "Lena", "Maria"), "she") | dict.fromkeys(("Jonas", "Max", "Paul", "Peter"), "he")

LIVING = frozenset({"person", "infant", "animal"})


class Noun(NamedTuple):
    """A noun of both languages; a compound has two English words, the German ones are written together."""

    lemma: str  # the English singular
    singular: tuple[str, ...]
    plural: tuple[str, ...]
    german: str
    german_plural: str
    gender: str  # m, f or n
    kind: frozenset[str]  # what verbs and adjectives ask about: its classes, and its simple noun itself

    @property
    def ownable(self) -> bool:
        """Whether it goes with a possessive: "my sister", "her lamp", but hardly "my thief" or "their river"."""
        return "own" in self.kind or not self.kind & {"person", "animal", "place", "scheduled"}


def rows(table: str) -> Iterator[list[str]]:
    """Yields the cells of each line of a table."""
    for line in table.strip().splitlines():
        yield [cell.strip() for cell in line.split("|")]


def english_s(word: str) -> str:
    """A noun's regular plural, which is also a verb's third person: `box` gives `boxes`, `carry` gives `carries`."""
    if word.endswith(("s", "x", "z", "ch", "sh", "go", "do")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeou":
        return word[:-1] + "ies"
    return word + "s"


@cache
def nouns() -> dict[str, Noun]:
    """All simple nouns by their English singular."""
    table = {}
    for english, german, german_plural, classes in rows(NOUNS):
        singular, _, plural = english.partition("/")
        article, form = german.split()
        gender = {"der": "m", "die": "f", "das": "n"}[article]
        plural = plural or english_s(singular)
        kind = frozenset([singular, *classes.split()])
        table[singular] = Noun(singular, (singular,), (plural,), form, german_plural, gender, kind)
    return table


@cache
def nouns_of(classes: tuple[str, ...]) -> list[Noun]:
    """The simple nouns of any of these classes, in the order of the table."""
    return [noun for noun in nouns().values() if not noun.kind.isdisjoint(classes)]
