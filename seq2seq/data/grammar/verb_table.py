"""The verbs of the embedded grammar as a table: forms, who does them, how, and the complements they take."""

# By their subjects: English | German | how and where | complements.
# English is base/past/participle, the base alone if regular, and what follows the verb. German is the infinitive, its
# particle set off by a plus, then third person, preterite and participle unless weak; "ist": the perfect takes sein.
# Complements: `;` between alternatives, `+` between two at once, each a case and classes of nouns, with a preposition
# as `for=auf acc person`. "stative" verbs have no adverbials, perfect or modals.
VERBS = {
    "person": """
open                    | auf+machen                           | careful      | acc openable
close                   | zu+machen                            | careful      | acc openable
lock                    | ab+schließen schließt schloss geschlossen | careful | acc lockable
turn on                 | ein+schalten                         | speed        | acc device
turn off                | aus+schalten                         | speed        | acc device
put/put/put on          | an+ziehen zieht zog gezogen          | speed        | acc garment
take/took/taken off     | aus+ziehen zieht zog gezogen         | speed        | acc garment
tidy up                 | auf+räumen                           | speed        | acc room
throw/threw/thrown away | weg+werfen wirft warf geworfen       |              | acc small food clothing
give/gave/given back    | zurück+geben gibt gab gegeben        |              | acc small
bring/brought/brought along | mit+bringen bringt brachte gebracht |           | acc food drink toy
invite                  | ein+laden lädt lud geladen           |              | acc person
phone                   | an+rufen ruft rief gerufen           |              | acc person
pick up                 | ab+holen                             |              | acc person
look at                 | an+sehen sieht sah gesehen           |              | acc sight drawn clothing
listen to               | zu+hören                             |              | dat person
get/got/got up          | auf+stehen steht stand ist gestanden | speed        |
read/read/read          | lesen liest las gelesen              | quiet around | acc text
write/wrote/written     | schreiben schreibt schrieb geschrieben | speed      | acc written
buy/bought/bought       | kaufen                               | shop         | acc goods
sell/sold/sold          | verkaufen                            | shop         | acc goods
find/found/found        | finden findet fand gefunden          | around       | acc small clothing luggage
lose/lost/lost          | verlieren verliert verlor verloren   | around       | acc small clothing
look for                | suchen                               | around       | acc small clothing person pet
hide/hid/hidden         | verstecken                           | speed around | acc small jewel
steal/stole/stolen      | stehlen stiehlt stahl gestohlen      |              | acc small vehicle pet
carry                   | tragen trägt trug getragen           | careful      | acc luggage furniture infant
wear/wore/worn          | tragen trägt trug getragen           | stative      | acc clothing
pull                    | ziehen zieht zog gezogen             | careful      | acc vehicle luggage
push                    | schieben schiebt schob geschoben     | careful      | acc vehicle
repair                  | reparieren                           | speed        | acc vehicle device furniture
wash                    | waschen wäscht wusch gewaschen       | speed        | acc clothing vehicle infant
clean                   | putzen                               | speed        | acc washable room
break/broke/broken      | zerbrechen zerbricht zerbrach zerbrochen |          | acc fragile
draw/drew/drawn         | zeichnen zeichnet zeichnete gezeichnet | speed around | acc drawn animal
photograph              | fotografieren                        |              | acc drawn animal person infant
cook                    | kochen                               |              | acc cooked
bake                    | backen backt backte gebacken         |              | acc baked
peel                    | schälen                              | careful      | acc peeled
pick                    | pflücken                             |              | acc picked
plant                   | pflanzen                             |              | acc plant
eat/ate/eaten           | essen isst aß gegessen               | speed around | acc food
drink/drank/drunk       | trinken trinkt trank getrunken       | speed around | acc drink
feed/fed/fed            | füttern                              |              | acc pet infant
meet/met/met            | treffen trifft traf getroffen        | around       | acc person
visit                   | besuchen                             |              | acc person sight
leave/left/left         | verlassen verlässt verließ verlassen |              | acc enter town
love                    | lieben                               | stative      | acc person pet infant
know/knew/known         | kennen kennt kannte gekannt          | stative      | acc person sight
need                    | brauchen                             | stative      | acc small device clothing vehicle
help                    | helfen hilft half geholfen           |              | dat person
thank                   | danken                               |              | dat person
trust                   | vertrauen                            | stative      | dat person pet
answer                  | antworten                            | loud         | dat person
give/gave/given         | geben gibt gab gegeben               |              | dat person + acc small food
show/showed/shown       | zeigen                               |              | dat person + acc small clothing sight
send/sent/sent          | schicken                             |              | dat person + acc small text
lend/lent/lent          | leihen leiht lieh geliehen           |              | dat person + acc vehicle dish luggage
tell/told/told          | erzählen                             |              | dat person + acc told
wait                    | warten                               | quiet around | for=auf acc person scheduled
dream                   | träumen                              |              | of=von dat person sight animal
play                    | spielen                              | loud around  | ; with=mit dat toy pet person
speak/spoke/spoken      | sprechen spricht sprach gesprochen   | quiet around | with=mit dat person
speak/spoke/spoken      | sprechen spricht sprach gesprochen   | quiet around | about=über acc person sight
dance                   | tanzen                               | around       | ; with=mit dat person
work                    | arbeiten                             | speed around |
go/went/gone            | gehen geht ging ist gegangen         | slow         | motion
run/ran/run             | rennen rennt rannte ist gerannt      |              | motion
come/came/come          | kommen kommt kam ist gekommen        |              | into=in acc enter; to=zu dat building
travel/travelled/travelled | reisen ist                        |              | through=durch acc town
travel/travelled/travelled | reisen ist                        |              | with=mit dat person
""",
    "person animal infant": """
wake/woke/woken up      | auf+wachen ist                       |              |
fall/fell/fallen asleep | ein+schlafen schläft schlief ist geschlafen | speed around |
see/saw/seen            | sehen sieht sah gesehen              | around       | acc person animal infant
hear/heard/heard        | hören                                |              | acc person animal scheduled infant
sleep/slept/slept       | schlafen schläft schlief geschlafen  | around       |
""",
    "person animal scheduled": """
come/came/come back     | zurück+kommen kommt kam ist gekommen |              |
""",
    "person scheduled": """
arrive                  | an+kommen kommt kam ist gekommen     |              |
""",
    "scheduled": """
depart                  | ab+fahren fährt fuhr ist gefahren    |              |
""",
    "animal": """
eat/ate/eaten           | fressen frisst fraß gefressen        | speed        | acc fodder
come/came/come          | kommen kommt kam ist gekommen        |              | into=in acc lair
""",
    "pet infant": """
drink/drank/drunk       | trinken trinkt trank getrunken       | speed        | acc licked
""",
    "hunter": """
catch/caught/caught     | fangen fängt fing gefangen           | around       | acc prey
chase                   | jagen                                |              | acc prey
bite/bit/bitten         | beißen beißt biss gebissen           |              | acc person pet
""",
    "person runner": """
cross                   | überqueren                           | careful      | acc crossed
follow                  | folgen ist                           |              | dat person animal
jump                    | springen springt sprang ist gesprungen |            | over=über acc wall; into=in acc waters
""",
    "small vehicle clothing": """
belong to               | gehören                              | stative      | dat person
""",
    "person infant": """
laugh                   | lachen                               | loud         | ; about=über acc person told
cry                     | weinen                               | quiet around |
""",
    "person bird": """
sing/sang/sung          | singen singt sang gesungen           | loud around  |
""",
    "barking": """
bark                    | bellen bellt bellte gebellt          | loud around  |
""",
    "person pet bird": """
swim/swam/swum          | schwimmen schwimmt schwamm ist geschwommen | speed water |
""",
    "pet": """
go/went/gone            | gehen geht ging ist gegangen         | slow         | roaming
""",
    "runner": """
run/ran/run             | rennen rennt rannte ist gerannt      |              | roaming
""",
    "person pet": """
climb                   | klettern ist                         | careful      | over=über acc wall
""",
    "bird": """
fly/flew/flown          | fliegen fliegt flog ist geflogen     |              | over=über acc overflown; to=zu dat tree
""",
}

# Verbs that take a clause: conjunction, then the columns of VERBS.
CLAUSAL_VERBS = """
that    | say/said/said         | sagen
that    | think/thought/thought | denken denkt dachte gedacht
that    | believe               | glauben
that    | hope                  | hoffen
that    | know/knew/known       | wissen weiß wusste gewusst
that    | dream                 | träumen
whether | ask                   | fragen
whether | know/knew/known       | wissen weiß wusste gewusst
"""
