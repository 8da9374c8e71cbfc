"""A birthday seems forgotten; the secret is a surprise."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "present": detailed("""
        hat ; use: put on the hat

        ball ; use: jumped up and down with the ball

        cake ; use: had some of the cake at once

        +book ; use: opened the book and read the first page

        +drum ; use: beat the drum so that the windows shook

        +scarf ; use: wore the scarf all summer

        +lamp ; use: lit the lamp and watched it glow

        ++harmonica ; use: blew a wild tune on the harmonica

        ++rocking chair ; use: rocked in the rocking chair until it squeaked

        ++wristwatch ; use: told everyone the time, every minute

        ++paintbox ; use: opened the paintbox and painted everyone's portrait

        ++cuckoo clock ; use: waited for the cuckoo clock to strike

        ++fishing rod ; use: caught an old boot with the fishing rod

        ++teapot ; use: filled the teapot and poured for everyone

        ++hot-water bottle ; use: hugged the hot-water bottle like a baby

        ++jigsaw ; use: spread out the jigsaw, all nine hundred pieces

        ++tambourine ; use: rattled the tambourine in the faces of the guests

        ++wheelbarrow ; use: gave everyone a ride in the wheelbarrow

        ++dressing gown ; use: paraded around the room in the dressing gown
    """),
}

RULES: dict[str, str] = {
    "surprise": """
        {opening} <His>[| best] friend was {friend_named}. // {birthday}. [All day|That morning],
        <friend> [waited|waited and waited|sat at home|++waited by the window], but
        {forgot}[-2*| {friend_sad}] // But <hero> had a secret.[-2*| {secret}] // [Then|That
        night,|In the end,|+In the evening,] <hero> took <friend> [by the hand|out to the park|to
        the house|+to the garden
        |++down to the river|++up a rope ladder|++through a gap in the hedge]. "[Surprise|Happy
        birthday]{friend_comma}!" [cried|said|+shouted] [<hero>|all the others|+all their friends
        |++thirteen voices].{look} [It was|There was]
        {a colour=colour} {present=present}. // "{friend_words}[!" cried|," said] <friend>{used}.
        [-{hero_words}|-{surprise_lesson}|{hero_words} {surprise_lesson}]{evening} //
        {surprise_end}""",
    "friend_comma": "|, <friend>",
    "look": """-3*| "[This is for you|Look|Look at this|+Open it]!" """,
    "birthday": """It was the birthday of <friend>|One [day|morning], it was the birthday of
        <friend>
        |<Friend> had a birthday|+The birthday of <friend> fell on a {weekday}
        |+At last the birthday of <friend> came""",
    "weekday": "+Monday|Sunday|++Wednesday|++Thursday|++Saturday|++rainy Friday",
    "forgot": """nobody said a word.|<hero> did not come.|nobody came.|nobody said, "Happy
        birthday!"
        |++the postman walked straight past.""",
    "friend_sad": """-2*<Friend> was sad.|"Nobody [loves me|came to see me|+thought of me],"
        {sighed} <friend>.
        |<Friend> was {very} sad.|<Friend> began to cry.
        |+<Friend> sat down on the step and looked at <friend.his> feet.
        |++<Friend> told <friend.himself> that birthdays were silly anyway.""",
    "secret": """[All day|All morning|All week], <he> had [worked|worked and worked|been at work]
        [in the house|in the park|with glue, paper and string|+behind a closed door|++in the shed,
        with the shutters down]{whisper}.
        |{He_of_two} had [worked all night|not told anybody|been out to find something].
        |+<He> had {wrapped} something in paper and hidden it [under <his> bed|up in the
        {tree}].""",
    "wrapped": "wrapped|++bundled up",
    "whisper": "3*|+, as quiet as a mouse|++, and not even <his> {elder} had guessed",
    "friend_words": """It is just what I wanted|I love it|Thank you, <hero>|Oh, <a present>
        |+You did not forget me|+I thought nobody remembered|+I do not know what to say
        |++And I was so cross with you""",
    "used": "-|, and <friend.he> <present.use>",
    "hero_words": """"{hero_says}," [said <hero>|<hero> said].|+"How could I forget you?" said
        <hero>.""",
    "hero_says": """I made it for you|You are my [best friend|friend]|It is all for you
        |+It was so hard to keep quiet|++I nearly burst""",
    "surprise_lesson": """2*<Friend> was {very} happy.|2*They [sang|played {game}|laughed] and
        danced [all night|all day].
        |+2*They danced until the lanterns went out.|+2*Some secrets are sad, but this one was
        sweet.
        |++The best part of a secret, they agreed, is the end of it.""",
    "surprise_end": "3*{end}|And that is how <friend> got <a colour> <present>.",
}
