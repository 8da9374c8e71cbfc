"""Somebody is afraid of something, but faces it to help a friend."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed, listed

TABLES: dict[str, list[TableEntry]] = {
    "fear": detailed("""
        the dark ; shy: [At night, <he> hid in <his> bed|<He> never went out at night]
        ; need: One night, {brave_call} in the wood. "Help! I cannot find my way home!"
        ; thought: It is so dark
        ; deed: went into the dark wood ; found: lost under a tree ; rescue: took the
        <friend> home ; now: the dark was full of stars

        deep water ; shy: [<He> never went into the pond|<He> never swam with the ducks]
        ; need: One day, {brave_call} in the pond. "Help! I cannot swim!"
        ; thought: The water is so deep
        ; deed: jumped into the deep water ; found: in the middle of the pond ; rescue: held
        the <friend> and swam back ; now: the water was only wet

        the wind ; shy: [When the wind blew, <he> hid in <his> bed|<He> never went out in the wind]
        ; need: One windy day, {brave_call} on the hill. "Help! The wind will take me away!"
        ; thought: The wind is so strong
        ; deed: ran out into the wind ; found: up on the hill, holding on to a stone ; rescue: took
        the <friend> home ; now: the wind was only a big song

        +thunder ; shy: [When the sky rumbled, <he> crept under a blanket|<He> covered <his> ears
        at every little rumble]
        ; need: One stormy night, {brave_call} in the garden. "Help! The storm broke my house!"
        ; thought: The storm is so loud
        ; deed: walked out into the storm ; found: shaking under a bush ; rescue: carried the
        <friend> inside ; now: the thunder was only clouds with drums

        +high places ; shy: [<He> never climbed so much as a fence|<He> felt dizzy on a chair]
        ; need: One afternoon, {brave_call} on the roof of the barn. "Help! I cannot get down!"
        ; thought: The ladder is so long
        ; deed: climbed the long ladder ; found: sitting by the chimney ; rescue: helped the
        <friend> down, one step at a time ; now: high places were only places with a view

        +the old bridge ; shy: [<He> always took the long way round|<He> never dared to cross it]
        ; need: One grey morning, {brave_call} on the other side of the river. "Help! My foot is
        stuck!" ; thought: The bridge is so old
        ; deed: ran across the old bridge ; found: caught between two stones ; rescue: pulled the
        <friend> free ; now: the bridge was only a path with a river below

        +the long tunnel ; shy: [<He> always ran past it with <his> eyes shut|<He> would not go
        near it]
        ; need: One afternoon, {brave_call} in the tunnel. "Help! My lamp went out!"
        ; thought: The tunnel is so long
        ; deed: walked into the tunnel, along the wall ; found: in the middle of the tunnel, holding
        a broken lamp ; rescue: led the <friend> back to the light ; now: the tunnel was only a road
        with a roof

        ++the waterfall ; shy: [<He> could not bear the roaring|It made <him> shiver from afar]
        ; need: One Thursday, {brave_call} behind the waterfall. "Help! The rocks are slippery, and
        I dare not move!" ; thought: It roars like thunder
        ; deed: stepped through the curtain of spray ; found: on a ledge, soaked to the skin
        ; rescue: tied a rope around the <friend> and pulled ; now: the waterfall was only a brook
        in a hurry

        ++ghosts ; shy: [<He> slept with a saucepan on <his> head|<He> looked behind every curtain]
        ; need: One midnight, {brave_call} in the ruined castle. "Help! The gate has dropped behind
        me!" ; thought: Castles are full of ghosts
        ; deed: marched into the ruined castle ; found: behind the iron gate, white as chalk
        ; rescue: turned the rusty winch for the <friend> ; now: ghosts were only draughts with a
        bad reputation

        ++the cellar ; shy: [<He> would rather go without jam than fetch it from there|<He> always
        sent somebody else down the stairs]
        ; need: One evening, {brave_call} behind the cellar door. "Help! The latch has fallen shut!"
        ; thought: There are cobwebs, and worse
        ; deed: crept down the creaking stairs ; found: squashed behind a barrel
        ; rescue: rolled the barrel aside for the <friend>
        ; now: the cellar was only a room that had been waiting for company

        ++the fog ; shy: [On foggy days <he> drew the curtains|<He> never left the porch when it was
        misty]
        ; need: One November morning, {brave_call} out on the moor. "Help! I have been walking in
        circles!" ; thought: I cannot see my own nose
        ; deed: walked into the fog, ringing a bell ; found: on a milestone, shivering
        ; rescue: led the <friend> back by the sound of the bell ; now: the fog was only a cloud
        that had sat down to rest

        ++the attic ; shy: [<He> believed that something lived up there|<He> walked past the
        trapdoor on tiptoe]
        ; need: One Tuesday, {brave_call} above the ceiling. "Help! A trunk has closed on my foot!"
        ; thought: It is all dust and shadows
        ; deed: pushed up the trapdoor and climbed in ; found: wedged beneath a suitcase
        ; rescue: lifted the lid for the <friend> ; now: the attic was the best place for rainy
        afternoons
    """),
    "victim": listed(
        "cat, chick", "kitten, baby hare", "guinea pig, shrew, mole, young weasel, terrier, foal"
    ),
}

RULES: dict[str, str] = {
    "brave": """
        {opening} <Hero> was[2*| very|+ terribly|++ secretly] afraid of {fear=fear}.[-2*||
        {@fear.shy}.] [6*|+ "What a scaredy-cat!" said the others, and <hero> blushed.|++ Nobody
        knew but <his> {elder}, who never told.] // {@fear.need} {fear_moment} {deed}
        {found_there} {a friend=victim!kind}, <fear.found>. {comforted} {he} {@fear.rescue}.
        // [-2*{brave_thanks}|-{brave_after}|{brave_thanks} {brave_after}]{evening} //
        {brave_end}""",
    "brave_call": """{he} heard [a voice|a [little|small] voice|somebody|++somebody shouting]
        |[a voice|a [little|small] voice|somebody] [called|cried]""",
    "fear_moment": """-4*<Hero> was afraid.|3*<Hero> [was so afraid|was afraid|wanted to run
        home|did not want to go
        |+shook all over|++turned as pale as milk]. ["But|"<fear.thought>," {sighs}. "But] [I want
        to help
        |I must go|I will try|+somebody needs me|+I cannot just sit here|++there is nobody else],"
        <he> said.|"<fear.thought>," {sighs}.""",
    "deed": """{He} {breathed} and <fear.deed>.|{He} <fear.deed>.""",
    "breathed": """took a big breath|held <his> head high|+counted to three|+thought of the voice
        |++squared <his> shoulders""",
    "found_there": "There was|There {he} found|And there was|++After a while, <he> came upon",
    "comforted": """-4*So|"[Do not cry|I am here|I will help you|+Do not worry|++Hush now],"
        {tells}, and
        |"[Do not cry|I am here|+Do not worry|++Hush now]," {tells}. Then|So""",
    "brave_thanks": """"Thank you!" {said} the <friend>.|"Thank you!" {said} the <friend>. "You are
        {very} [brave|good|kind|++strong]!"
        |"You came [to help me|for me|+all alone|++after all]!" {said} the <friend>.[| "[You are
        brave
        |Thank you|++What a hero]!"]
        |+The <friend> [hugged <hero>|kissed <him> on the nose] and would not let go.""",
    "brave_after": """3*"I was afraid," {tells}, "but I did it[|+, and I still am, a little]."
        |3*[<Hero>|<He>|The <kind>] was not afraid [of <fear>|any more]: <fear.now>.
        |2*{happy}|2*From that day on, <hero> and the <friend> were [friends|good friends].
        |+2*From that day on, <fear.now>.
        |+2*To be brave, <hero> learned, is to be afraid and to go anyway.
        |++"The funny thing is," said <hero>, "that <fear.now>." """,
    "brave_end": "3*{end}|And that is how <hero> was brave.|+And that is how <hero> became brave.",
}
