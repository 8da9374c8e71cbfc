"""Somebody makes something; it goes wrong the first time and works the second time."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "item": detailed("""
        kite ; need: paper, wood and string ; fail: the kite did not fly
        ; lack: a long tail ; good: the kite flew over the hill

        cake ; need: eggs, milk and honey ; fail: the cake was hard as a stone
        ; lack: more eggs ; good: the cake was soft and sweet

        boat ; need: wood and string ; fail: water came into the boat
        ; lack: a good coat of paint ; good: the boat swam like a duck

        +drum ; need: an old pot and a piece of cloth ; fail: the drum made no sound at all
        ; lack: a tighter skin ; good: the drum went boom, boom, boom

        +swing ; need: a board and some rope ; fail: the swing hung crooked
        ; lack: a second knot ; good: the swing went up to the sky

        +soup ; need: carrots, peas and a big pot ; fail: the soup tasted of nothing
        ; lack: a pinch of salt ; good: the soup was hot and tasty

        +flag ; need: a stick and a piece of cloth ; fail: the flag hung down like a wet sock
        ; lack: a longer stick ; good: the flag danced over the roof

        ++lantern ; need: a jar, some wire and a candle ; fail: the lantern went out at once
        ; lack: a few holes for air ; good: the lantern glowed like a small moon

        ++flute ; need: a hollow reed and a sharp stone ; fail: the flute only squeaked
        ; lack: a smaller mouthpiece ; good: the flute trilled like a nightingale

        ++quilt ; need: scraps of cotton and silk thread ; fail: the quilt came apart in the middle
        ; lack: stronger stitches ; good: the quilt was warm enough for winter

        ++cart ; need: two planks and a handful of nails ; fail: the cart only rolled sideways
        ; lack: rounder wheels ; good: the cart rattled merrily down the slope

        ++bridge ; need: branches, pebbles and clay ; fail: the bridge sagged into the stream
        ; lack: a pillar in the middle ; good: the bridge held, even for a wheelbarrow

        ++puppet ; need: a sock, wool and two buttons ; fail: the puppet looked like a potato
        ; lack: eyebrows ; good: the puppet winked at everybody

        ++raft ; need: logs, barrels and rope ; fail: the raft spun in circles
        ; lack: a rudder ; good: the raft drifted grandly downstream

        ++crown ; need: cardboard, glue and glitter ; fail: the crown slid over both ears
        ; lack: a fold at the back ; good: the crown sat like a real one

        ++scarecrow ; need: straw, a broom and a torn shirt ; fail: the scarecrow scared nobody
        ; lack: a fierce hat ; good: the scarecrow made even the farmer jump

        ++windmill ; need: feathers, a cork and a pin ; fail: the windmill refused to turn
        ; lack: a drop of oil ; good: the windmill spun until it hummed

        ++umbrella ; need: rhubarb leaves and a cane ; fail: the umbrella leaked like a sieve
        ; lack: bigger leaves ; good: the umbrella kept off every drop

        ++guitar ; need: a cigar box and rubber bands ; fail: the guitar buzzed like a wasp
        ; lack: tuning ; good: the guitar sang along with every song

        ++kennel ; need: bricks, mortar and a plank ; fail: the kennel wobbled when one sneezed
        ; lack: a level floor ; good: the kennel stood as firm as a fortress

        ++jelly ; need: cherries, sugar and a copper mould ; fail: the jelly ran off the plate
        ; lack: a night in the cellar ; good: the jelly quivered magnificently
    """),
}

RULES: dict[str, str] = {
    "making": """
        {opening} // {day}, {he} [wanted|+made up <his> mind|++took it into <his> head] to make
        [{a item=item}|{a item=item} for <his> {elder}]. [<He>|<Hero>] [found|took|+looked for
        |++borrowed] <item.need>{worked}. But [when <he> was done,|when it was done,|+in the end,]
        <item.fail>. "{oh}!" {says}.[-3*|| "[I cannot do it|My <item> is no good|I am no good at
        this
        |+I will never make <a item>|++I have made a mess]!"]{sad}
        // {A helper=adviser!kind}{named} {came}.{adviser_looks} "[It needs|Your <item> needs|+All
        it needs is] <item.lack>," [said <who>|<who> said].[-3*|| "[Try again|Do not stop now|Do
        not cry|+Nobody gets it right the first time|++The first one is only for practice|++Even I
        burn the porridge now and then]."]{again}
        // This time, <item.good>! {making_lesson}{evening} // {making_end}""",
    "worked": """2*, and <he> worked [all day|very hard|and worked|+from breakfast until supper]|.
        <He> worked [all day|very hard|and worked]|""",
    "adviser_looks": """-5*|3*| <Who> looked at the <item>.| {ask}|+ <Who> walked around the <item>
        twice.
        |++ <Who> put on a pair of spectacles.|++ <Who> coughed in a learned way.""",
    "again": """ So [<hero>|<he>|the <kind>] tried again{slowly}.| <Hero> did as <who> said{slowly}.
        | "I will try," {tells}.|+ <Hero> dried <his> eyes and started again{slowly}.
        |++ <Hero> rolled up <his> sleeves.""",
    "slowly": "3*|+, slowly this time|+, step by step|++, with <his> tongue between <his> teeth",
    "making_lesson": """-4*{He} was happy.|3*"[Thank you|You were right], [<helper>|dear
        <helper>][|+, I nearly gave up]!" {says}.
        |3*"I did it!" {says}.[| "I tried again, and I did it!"]|3*{happy}
        |+2*<He> had learned that a thing that goes wrong is only half done.
        |+2*And the next day, <hero> showed <his> friends how to make <a item>.
        |++"A mistake," said <who>, "is a teacher in a funny hat." """,
    "making_end": "3*{end}|And that is how <hero> made <a item>.",
}
