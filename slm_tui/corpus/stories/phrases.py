"""What all plots share: how a story opens, how its people speak and feel, how it ends."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "girl_kind": detailed("girl ; home: {house}"),
    "boy_kind": detailed("boy ; home: {house}"),
    "animal": detailed("""
        rabbit ; home: under a green hill

        bear ; home: in a warm cave

        fox ; home: under an old tree

        dog ; home: in a little red house

        mouse ; home: in a hole in the wall

        +lamb ; home: on a farm by the river

        +hedgehog ; home: under a heap of dry leaves

        +pig ; home: in a cosy sty behind the mill

        +badger ; home: in a long, winding den

        +goat ; home: high up on a stony hill

        ++donkey ; home: in a stable with a crooked door

        ++pony ; home: in a paddock full of clover

        ++hamster ; home: in a nest of straw and wool

        ++fawn ; home: deep among the ferns

        ++elephant ; home: in a garden with a very wide gate

        ++panda ; home: in a grove of whispering bamboo

        ++wombat ; home: in a neat burrow with two front doors

        ++lion cub ; home: on a rock with a splendid view

        ++tiger cub ; home: in a thicket of tall reeds

        ++kangaroo ; home: at the edge of a dusty plain

        ++dormouse ; home: in a teapot that nobody used

        ++calf ; home: in a barn that leaned to the left

        ++zebra ; home: on a striped blanket under a thorn tree

        ++reindeer ; home: where the snow stays until June

        ++piglet ; home: between the cabbages of a kitchen garden

        ++camel ; home: beside the last palm of an oasis

        ++llama ; home: halfway up a misty mountain

        ++wolf cub ; home: in a hollow lined with pine needles

        ++puppy ; home: in a basket beside the stove
    """),
    "water_helper": detailed("""
        duck ; deed: swam across the pond ; can: swim

        frog ; deed: jumped into the water ; can: swim

        +otter ; deed: dived in with hardly a splash ; can: swim very fast

        +swan ; deed: glided over the pond like a ship ; can: swim

        +turtle ; deed: paddled out, slowly but surely ; can: swim all day

        ++beaver ; deed: slapped the water and was off ; can: swim against any current

        ++heron ; deed: waded in on long grey legs ; can: wade where it is deep

        ++pelican ; deed: scooped it up in an enormous beak ; can: carry half a pond

        ++toad ; deed: plopped off a lily leaf ; can: swim with my eyes shut

        ++goose ; deed: sailed out, honking at the fish ; can: paddle faster than a steamboat
    """),
    "tree_helper": detailed("""
        bird ; deed: flew to the top of the tree ; can: fly

        squirrel ; deed: ran up the tree ; can: climb

        +crow ; deed: flapped up on big black wings ; can: fly

        +monkey ; deed: swung from branch to branch ; can: climb anything

        ++woodpecker ; deed: hopped up the trunk, knocking politely ; can: walk up a trunk

        ++raven ; deed: rose into the air without a sound ; can: reach the highest twig

        ++magpie ; deed: darted up in a flash of black and white ; can: pick up anything

        ++marten ; deed: raced up the bark in a spiral ; can: climb upside down

        ++jay ; deed: fluttered up through the leaves ; can: fly

        ++lemur ; deed: leapt up with a curly tail for balance ; can: leap like nobody else
    """),
    "hole_helper": detailed("""
        mole ; deed: went down into the dark ; can: dig

        ant ; deed: ran down into the hole ; can: go anywhere

        +worm ; deed: wriggled down into the earth ; can: wriggle

        +beetle ; deed: marched down with six quick feet ; can: see in the dark

        ++weasel ; deed: slipped down like a ribbon ; can: squeeze through a keyhole

        ++shrew ; deed: scurried down, sniffing all the way ; can: smell my way

        ++earwig ; deed: tiptoed down between the roots ; can: crawl under anything

        ++lizard ; deed: vanished down the hole, tail and all ; can: cling to any wall
    """),
    "adviser": detailed("""
        owl

        hen

        +tortoise

        +crow

        +goose

        +beaver

        ++stork

        ++walrus

        ++raven

        ++salamander

        ++heron

        ++ox

        ++parrot

        ++toad
    """),
}

RULES: dict[str, str] = {
    "opening": """
        [4*{start} {a trait=trait} {who_named}{lived_after}
        |2*{hero=girl} was {a trait=trait} {kind=girl_kind}{lived}
        |2*{hero=boy} was {a trait=trait} {kind=boy_kind}{lived}
        |3*{hero=pet} was {a trait=trait} {kind=animal}{lived}]{near}.{habit}{favourite}""",
    "near": "3*|+ near {village}",
    "lived": "-5*| who lived {@kind.home}|. <He> lived {@kind.home}",
    "lived_after": "-6*|3*. <He> lived {@kind.home}|, and <he> lived {@kind.home}",
    "start": """3*Once upon a time, there was|There once was|Once, there was|+Long ago, there was
        |++Before your grandmother was born, there was|++Not very far from here, there was""",
    "who_named": """2*{kind=girl_kind} named {hero=girl}|2*{kind=boy_kind} named {hero=boy}
        |3*{kind=animal} named {hero=pet}""",
    "house": """3*in a little house by the sea|2*in a house on the hill|in a red house
        |in a little house|+in a house with a blue door
        |+at the end of a long, quiet street|++above a shop that sold clocks
        |++in a lighthouse with a hundred and two steps|++in a houseboat with curtains
        |++next door to a bakery|++in a tall, thin house with a tower""",
    "habit": """3*|+ <He> liked to {hobby}.|+ On <his> shelf stood {treasure}.
        |+ By the door grew {flower} and an old {tree}.
        |+ Every morning, {a bird=songbird} sang in the {tree} outside.
        |+ The air there smelled of {smell}.
        |++ <He> owned {treasure}, and <he> showed it to nobody.
        |++ In summer the {flower} there grew taller than <he> did.""",
    "favourite": """3*{supper:=warm soup}|+ <He> liked nothing better than {supper=food}.
        |++ What <he> loved best in all the world was {supper=food}.""",
    # The subject of a sentence: by pronoun, by name, or by kind where nobody else is of it.
    "He": "5*<He>|3*<Hero>|The <kind>",
    "he": "5*<he>|3*<hero>|the <kind>",
    "He_of_two": "<He>|<Hero>",
    "says": "4*{said} <hero>|2*<he> {said}|{said} the <kind>",
    "sighs": "4*{sighed} <hero>|2*<he> {sighed}|{sighed} the <kind>",
    "tells": "4*said <hero>|2*<he> said|said the <kind>",
    "says_of_two": "3*{said} <hero>|<he> {said}",
    "said": "3*said|cried|+called",
    "sighed": "2*said|+sighed|+whispered|++murmured|++mumbled|++sniffed",
    "day": """2*One day|One sunny day|One morning|One sunny morning|+One {fine} {daytime}
        |++One {fine} {daytime} in {month}""",
    "daytime": "day|morning|afternoon",
    "fine": "warm|bright|+quiet|+clear|++golden|++mild|++lazy|++cloudless",
    "month": "April|May|June|July|August|September",
    "passing": "5*|+ Just then, {sight}.|++ Somewhere nearby, {sight}.",
    "oh": "Oh no|Oh dear|Oh|+Oh my|++Goodness|++Bother|++Good heavens",
    "very": "2*very|so|+terribly",
    "sad": """-4*|3*| {He} was {very} sad.| {He} [sat down and cried|began to cry].
        |+ A big tear rolled down <his> cheek.|+ {He} did not know what to do.
        |++ <His> lip trembled.|++ {He} felt as small as a crumb.
        |++ {He} swallowed hard, but the tears came anyway.""",
    "happy": """{He} was {very} happy.|{He} laughed and [danced|jumped up and down|jumped with joy].
        |+{He} was as happy as {simile}.|+{He} could not stop smiling.
        |++{He} turned three cartwheels.|++{He} hummed all the way to the gate and back.
        |++{He} felt as light as a dandelion seed.""",
    "named": "2*{who:=the <helper>}|+ named {who=helper_name}",
    "came": """came by|saw <him>|saw <him> and came over|+stopped to listen
        |+heard <him> and came closer|++happened to be passing|++looked up from breakfast
        |++put down a newspaper""",
    "ask": """"[Why are you[| so] sad|What is it|+What is wrong|+What has happened|+Can I help you
        |++Whatever is the matter|++Why the long face]?" [asked <who>|<who> asked].""",
    "thanks": """ "Thank you, [dear|kind] <helper>!" {says}.{welcome}
        | "Thank you, <helper>!" {says}.{welcome}
        | "[Thank you so much|You are so kind|+How can I ever thank you|+You are wonderful
        |++You are a marvel]!" {says}.{welcome}""",
    "welcome": """4*|+ "It was nothing," said <who>.|+ "You are welcome," said <who>.
        |++ "Friends do not count favours," said <who>.
        |++ <Who> only bowed and looked pleased.|++ <Who> blushed a little.""",
    "evening": """4*|+ <Hero> had <supper> for supper that night.
        |+ When the stars came out, <hero> was still smiling.
        |++ That night <he> dreamed of {dream}.|++ At bedtime, <he> told <his> pillow all about it.
        |++ For supper <he> had <supper>, with a second helping.""",
    "dream": """whales|flying carpets|a staircase made of clouds|a parade of lanterns
        |a piano in the woods|an orchard on the moon|snow that tasted of sugar|kind giants
        |a train that ran under the sea|umbrellas full of rain|a choir of frogs""",
    "end": "-5*The end.|3*The end.|And that is the end[| of the story[2*|+ of <hero>]].",
}
