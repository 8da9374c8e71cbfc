"""A stranger comes, is thought odd, and turns out to be a friend."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "guest": detailed("""
        crow ; odd: was so loud ; fear: It will wake us all ; gift: sang a song for the stars

        frog ; odd: was so wet ; fear: It will make us wet ; gift: showed the others how to jump

        snail ; odd: was so slow ; fear: It is no good at games ; gift: told a long, good story

        +bat ; odd: hung upside down ; fear: It looks at everything the wrong way
        ; gift: found the way home in the dark

        +porcupine ; odd: was covered in spikes ; fear: It will prick us
        ; gift: shook the apples from the highest branch

        +spider ; odd: had so many legs ; fear: It will tickle us in our sleep
        ; gift: spun a net that caught every lost ball

        +mole ; odd: was covered in earth ; fear: It will dig holes in our beds
        ; gift: dug a tunnel straight to the strawberries

        ++peacock ; odd: had such a tail ; fear: It thinks it is better than we are
        ; gift: fanned the whole picnic on the hottest day

        ++crocodile ; odd: had such teeth ; fear: It might nibble
        ; gift: opened eleven jars of pickles

        ++ostrich ; odd: had such legs ; fear: It will trample the lettuces
        ; gift: fetched the doctor faster than a motorbike

        ++chameleon ; odd: changed colour all the time ; fear: One never knows where it is
        ; gift: won hide and seek seven times and then taught everyone the trick

        ++octopus ; odd: was all arms and no shoes ; fear: It will hug us to pieces
        ; gift: washed, dried and stacked the dishes in one go

        ++skunk ; odd: had a certain smell ; fear: Just smell it
        ; gift: chased the burglars away without lifting a finger

        ++sloth ; odd: was asleep on its feet ; fear: It is too lazy to have friends
        ; gift: listened, which nobody else had time for

        ++woodlouse ; odd: was rolled up like a pill ; fear: It never says a word
        ; gift: found the lost earring under the stove

        ++albatross ; odd: dripped with sea water ; fear: It smells of herring
        ; gift: told them about icebergs, volcanoes and pyramids

        ++armadillo ; odd: wore a suit of armour ; fear: It has come to fight
        ; gift: let itself be rolled, and everyone cheered
    """),
}

RULES: dict[str, str] = {
    "stranger": """
        {opening} // {day}, {a guest=guest!kind} came [to the hill|to the pond|to the park|by
        |+to the village|++down the road with a suitcase]. [The <guest>|It] <guest.odd>.
        "[Go away!|Go home!|Do not go near it!|+What does it want here?]" [said|cried] the
        others.[-3*| "<guest.fear>!"]{guest_sad} // [But <hero>|<Hero>] [went to|went over to|sat
        down with
        |+walked right up to] the <guest>. "[Hello|Oh, hello]," [<he>|<hero>] said. "[I am <hero>
        |My name is <hero>]. {guest_asked}?" "{guest_answer} {friend=pet!hero}[2*," said
        the <guest>.|," the <guest> said.|!" cried the <guest>.] // {guest_played}, and <friend>
        <guest.gift>.{others_came} // {guest_lesson}{evening} // {guest_end}""",
    "guest_sad": """-6*|2*| The <guest> was {very} sad.| The <guest> sat all alone.
        |+ The <guest> pretended not to hear.|++ The <guest> looked at the ground and swallowed.""",
    "guest_asked": """Will you play with me|Do you want to play|Do you want a friend|Who are you
        |+Where do you come from|+Are you hungry|++May I keep you company""",
    "guest_answer": """3*{my_name}|2*[I want a friend|I have no friends
        |+Nobody ever asked me that|+I thought you would run away too
        |++You are the first who did not shout]. {my_name}""",
    "my_name": "I am|My name is|+They call me",
    "guest_played": """The two of them played [all day|{game}]|They played [all day|{game}
        |+until the sun went down]|<Hero> and <friend> [played {game}|played all day]
        |++First they shared <supper>, then they played {game}""",
    "others_came": """-6*|2*| [Then|Soon] all the others [came to play too|wanted to play too|were
        friends too].| "[We are[| so] sorry, <friend>|Can we play with you, <friend>]," said the
        others.
        |+ One by one, the others came and sat with them.
        |++ The others stared. Then somebody clapped, and then they all did.""",
    "guest_lesson": """2*<Hero> was {very} happy.|2*<Friend> was {very} happy.
        |2*"I have a friend!" said <friend>.
        |2*<A guest> is a good friend to have.|2*{both} were [good friends|friends] from that day
        on.
        |+2*Nobody ever said "go away" to <a guest> again.
        |+You cannot know a friend by looking, thought <hero>. You have to say hello.
        |++"How dull we were before you came," said the oldest of them.""",
    "both": "They|<Hero> and <friend>|+The two",
    "guest_end": "3*{end}|And that is how <hero> found [a friend|<friend>].",
}
