"""Two friends want the same thing, quarrel, miss each other, and find a way to share."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "prize": detailed("""
        ball ; share: played with the ball together

        boat ; share: went out in the boat together

        cake ; share: had half of the cake each

        +swing ; share: took turns on the swing

        +pear ; share: cut the pear in two

        +drum ; share: played the drum together, one stick each

        +blanket ; share: sat under the blanket side by side

        ++wheelbarrow ; share: took turns to push and to ride

        ++scooter ; share: rode on the scooter, one behind the other

        ++watermelon ; share: spat the pips of the watermelon over the fence together

        ++trumpet ; share: blew the trumpet by turns until the neighbours begged for mercy

        ++hammock ; share: lay in the hammock head to toe

        ++telescope ; share: looked for comets, one eye each

        ++pirate hat ; share: became a captain and a captain

        ++sandpit ; share: dug a canal from one end of the sandpit to the other

        ++bicycle ; share: wobbled off, one on the saddle and one on the bell

        ++chocolate bar ; share: broke the chocolate bar in the middle, more or less

        ++tent ; share: camped in the tent and told ghost stories

        ++trampoline ; share: bounced in turn, ten jumps each

        ++cushion ; share: leaned on the cushion back to back
    """),
}

RULES: dict[str, str] = {
    "sharing": """
        {opening} <His>[| best] friend was {friend_named}. // {day}, the two friends [found|saw
        |+came upon|++discovered] {a colour=colour} {prize=prize} [in the park|in the grass|by the
        sea
        |under a tree|+behind the barn|++at the market]. "{mine}!" {says_of_two}.{want_it} "[No, it
        is mine|No, I saw it|It is mine]!" {said} <friend>.{quarrel} // {apart} // {peace}
        [So|Then] the two [friends|of them] <prize.share>. {sharing_lesson}{evening} //
        {sharing_end}""",
    "mine": "It is mine|The <prize> is mine|My <prize>",
    "friend_named": """2*a[2*| {trait2}] girl named {friend=girl!hero}|2*a[2*| {trait2}] boy named
        {friend=boy!hero}|2*{a friend_kind=animal!kind} named {friend=pet!hero}""",
    "trait2": "little|big|happy",
    "quarrel": """-5*|2*| <Hero> [pulled|+tugged] and <friend> [pulled|+tugged].| They
        [cried|pulled] and [pulled|cried][|+, and it was not nice to hear|++ until the crows flew
        off].
        |+ They shouted until their faces were red.|++ Neither would let go.""",
    "apart": """[Then|In the end,|So] <friend> [ran|went] home, and <hero> had the <prize>.[| But
        {alone}.]
        |[<Hero>|<He>] [ran|went|+stamped] home, and <friend> [ran|went] home too. {lonely}
        |[<Friend>|<Friend.he>] [ran|went|+stamped] home, and <hero> [ran|went] home too.
        {lonely}""",
    "want_it": """-3*|2*| "[I saw it first|I want it|+Give it to me]!" """,
    "alone": """it was no fun [alone|to play alone]|<hero> was {very} sad|+a <prize> is no good
        without a friend|++the afternoon was suddenly very long""",
    "lonely": """<Hero> was {very} sad[| all day].|It was no fun to play alone.
        |+The house was very quiet.|++Even <supper> tasted of nothing.""",
    "peace": """-6*[The next day,|Soon] [<hero> went to <friend>|<friend> came to <hero>]. They were
        {very} sorry.|4*[The next day,|Soon] <hero> went to <friend>. "[I am[| so] sorry|Oh, I am
        sorry]," [<he>|<hero>] said.[-3*|| "{share_words}."] "[I am sorry too|I am so sorry],"
        [said <friend>|<friend> said].
        |4*[The next day,|Soon] <friend> came to <hero>. "[I am[| so] sorry|Oh, I am sorry],"
        [<friend.he>|<friend>] said.[-3*|| "{share_words}."] "[I am sorry too|I am so sorry],"
        [said <hero>|<hero> said].
        |+2*"Why do you look so glum?" asked <his> {elder=elder}. <Hero> told the whole story.
        "A thing can be mended," said <his> <elder>, "but say sorry soon." So <he> did.
        |++2*Halfway between the two houses they met, both on the way to say sorry.
        They said it at the same time, and then they had to laugh.""",
    "share_words": """You can have the <prize>|It is your <prize>|The <prize> is for both of us
        |+Let us share|+I missed you|++No <prize> is worth a friend""",
    "sharing_lesson": """-4*It was fun.|+It was fun.|It was so much fun.|2*{He_of_two} was {very}
        happy.
        |2*A [friend|good friend] is better than <a prize>.
        |+2*After that, they never quarrelled over <a prize> again.
        |+2*Half a <prize> and a whole friend: that was more than enough.
        |++They still quarrelled now and then, but never for longer than a minute.""",
    "sharing_end": "3*{end}|And that is how <hero> and <friend> were friends again.",
}
