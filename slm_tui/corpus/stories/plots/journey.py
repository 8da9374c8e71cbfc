"""A journey through bad weather to somebody who is waiting."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed, listed

TABLES: dict[str, list[TableEntry]] = {
    "weather": detailed("""
        it began to rain ; noun: rain ; worse: <His> feet were wet, and the path was all mud
        ; shelter: under an old tree ; over: the rain stopped, and the sun came out

        it began to snow ; noun: snow ; worse: Soon everything was white, and there was no path
        ; shelter: into a warm cave ; over: the snow stopped, and the moon came out

        a big wind began to blow ; noun: wind ; worse: It blew so hard that <he> could not walk
        ; shelter: behind a big stone ; over: the wind went to sleep

        +fog crept over the fields ; noun: fog ; worse: <He> could not see <his> own feet
        ; shelter: into an empty hut ; over: the fog lifted like a curtain

        +thunder rolled over the hills ; noun: storm ; worse: The sky was black, and the trees bent
        low ; shelter: under a stone bridge ; over: the storm grumbled and moved on

        ++hailstones rattled down ; noun: hail ; worse: They were as big as cherries and bounced off
        <his> head ; shelter: into a hollow log ; over: the last hailstone fell, and a rainbow
        appeared

        ++the sun burned hotter and hotter ; noun: heat ; worse: The road shimmered, and <his>
        throat was as dry as flour ; shelter: into the shade of a mossy wall ; over: a cool breeze
        got up

        ++the brook began to rise ; noun: flood ; worse: First the stepping stones were gone, then
        the meadow ; shelter: to the top of a haystack ; over: the water gurgled away
    """),
    "gift": listed(
        "cake, honey, milk",
        "eggs, apples, bread, plums",
        """raspberries, cheese, walnuts, marmalade, chestnuts, gingerbread, cucumbers, radishes,
        mushrooms, gooseberries, pumpkin seeds, butter, peaches, pretzels, apricots, sausages,
        cabbages, pickled onions, figs, dates, blueberries, macaroons, mustard, quinces""",
    ),
    "guide": detailed("""
        bear

        dog

        +hare

        +deer

        +goose

        ++postman

        ++shepherd

        ++woodcutter

        ++moose

        ++otter

        ++pedlar

        ++stork

        ++ferryman

        ++yak
    """),
}

RULES: dict[str, str] = {
    "journey": """
        {opening} // {trip_day}, {he} [set out|went out|+packed a basket and set out|++put on <his>
        {garment} and set out] to {see} <his> {elder=elder}[3*|, who was not well|+, who lived on
        the other side of the hill|++, who had written that the house was too quiet]. [<He>|<Hero>]
        [took|had] [{gift=gift}|some {gift=gift}|+a gift of {gift=gift}|++plenty of {gift=gift}] for
        <elder.him>.{passing}
        // But [on the way|soon], {weather=weather}.[-3*|| {@weather.worse}.]{worried}
        {He} [went|ran|+hurried] <weather.shelter>, and there [sat|was]
        {a helper=guide!kind}{named}.[-3*|| {met}]
        // {waiting} [Soon|Then|In the end,|+At last,] <weather.over>. {guided}
        // {arrived}[-5*|2*|2* {journey_lesson}]{evening} // {journey_end}""",
    "trip_day": """2*One day|One morning|One {weekday}|+Early one morning|++Before breakfast one
        {weekday}""",
    "see": "see|+visit|+cheer up|++surprise",
    "worried": """-2*|| "{journey_words}," {sighs}.""",
    "journey_words": """I cannot go on|I want to go home|I cannot see the way|+I am lost
        |+I am cold, and I am tired|++This was not in the plan""",
    "met": """"[Where are you going|+Come in, come in. Where to]?" [asked <who>|<who> asked].
        "[To|{to_see}] my <elder>," [said <hero>|<hero> said]{tired}.
        |"Why are you out in the <weather.noun>?" [asked <who>|<who> asked].
        "{to_see} my <elder>," [said <hero>|<hero> said]{tired}.""",
    "to_see": "I want to see|I am on the way to|+I am going to see",
    "tired": "3*|+, and <his> voice shook|+ in a small voice|++, trying to sound cheerful",
    "waiting": """-3*They sat and waited.|+They sat and waited.|"[Sit|Wait] with me," said <who>
        [|, and they waited].
        |They sat and waited [side by side|+while <who> told a story].|They [had some of the <gift>
        |played {game}] and waited.
        |+"No <weather.noun> lasts for ever," said <who>. "Let us play {game}."
        |++To pass the time, they played {game}, as well as two can.""",
    "guided": """<Who> [took <him> to|went with <him> to] [the house of <his> <elder>|the house].
        |"[Come|Come with me], I know the way," said <who>.
        |+<Who> walked with <him> to the last bend of the road.
        |++<Who> lent <him> a lantern and pointed out a shortcut.""",
    "arrived": """"You came in the <weather.noun>!" {said} <his> <elder>[| and hugged <him>].[| "And
        with <gift>!"]|<His> <elder> [was|sat|+stood] at the door. "[You came|Oh, you came|+There
        you are][|, and in the <weather.noun>]!"|+"Is that my <hero>?" {said} <his> <elder>, and
        <elder.he> opened the door wide.""",
    "journey_lesson": """
        [They had|They sat down and had] the <gift>[|, and it was warm in the house].
        |<Hero> told <elder.him> all about <who>.|{happy}
        |+"I was lost," said <hero>, "but then I had a friend, and the way was short."
        |++And nobody ever took a slice, a sip or a spoonful with greater pleasure.
        |++There are long ways and short ways, and company makes the difference.""",
    "journey_end": "3*{end}|And that is how <hero> came to <his> <elder>.",
}
