"""A favourite toy is lost, and somebody who can reach it brings it back."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed, listed

TABLES: dict[str, list[TableEntry]] = {
    "toy": [
        *detailed("ball ; loss: [{lost_pond}|{lost_hole}]"),
        *listed("kite, hat", "scarf, balloon", "ribbon, paper plane", {"loss": "{lost_wind}"}),
        *listed("boat", "drum", "hoop, wooden spoon, basket", {"loss": "{lost_pond}"}),
        *listed(
            "",
            "ring, button, bell",
            "marble, whistle, key, thimble, spinning top, coin, brooch",
            {"loss": "{lost_hole}"},
        ),
        *listed("", "", "feather, handkerchief, parasol, pinwheel", {"loss": "{lost_wind}"}),
    ],
}

RULES: dict[str, str] = {
    "lost": """
        {opening} [<He>|<Hero>] had {a colour=colour} {thing=toy}{loved}. //
        {@thing.loss}[-6*{thanks}|{hugged}{lost_lesson}]{evening} // {lost_end}""",
    "loved": """-4*|3*| that <he> {loved_it}|. It was a gift from <his> {elder}
        |+. <He> would not have swapped it for the moon|++. <He> polished it every Sunday""",
    "loved_it": "loved[| very much]|took to bed|+never put down",
    "hugged": """{thanks} //| {hugs} the <thing>. //|{thanks} {hugs} the <thing>. //
        | {hugs} the <thing>.{thanks} //""",
    "hugs": "<Hero> [held|hugged|+kissed|++danced around with]",
    "lost_wind": """{day}, {he} [took the <thing> to the park|was in the park with the <thing>
        |took the <thing> up the hill|++showed the <thing> to the clouds on the hill].{passing}
        A {strong} wind {blew}, and the <thing> {flew} into a {tall} tree. {cried_oh} is in the
        tree[4*!"|!" {He} [jumped and jumped|+jumped as high as <he> could], but the tree was too
        tall.|2* and I cannot fly!"]{sad}
        // {A helper=tree_helper!kind}{named} {came}.{lost_talk} <Who> <helper.deed>
        and {brought}.""",
    "strong": "big|strong|cold|+sudden|++wild",
    "tall": "tall|big|very tall|+prickly",
    "blew": "came|blew|+began to blow|++came galloping over the fields",
    "flew": "flew|went up, up, up|+sailed|++whirled away",
    "lost_pond": """{day}, {he} [went to the pond with the <thing>|took the <thing> to the pond
        |sat by the pond with the <thing>|++stood beside the pond with the <thing>].{passing}
        The <thing> {slipped} into the [water|deep water|cold water][| and went far, far away].
        {cried_oh} is in the pond[2*!"|+ and the water is so cold!"| and I cannot swim!"]{sad}
        // {A helper=water_helper!kind}{named} {came}.{lost_talk} <Who> <helper.deed>
        and {brought}.""",
    "slipped": "fell|jumped|+slipped|++tumbled|++bounced",
    "lost_hole": """{day}, {he} [took the <thing> to the hill|was on the hill with the <thing>
        |sat under a tree with the <thing>|++walked over the hill with the <thing>].{passing}
        The <thing> {slipped} into a deep[|, dark] hole. {cried_oh} is in the
        hole[2*!"| and I cannot see it!"|+ and the hole is too deep for me!"]{sad}
        // {A helper=hole_helper!kind}{named} {came}.{lost_talk} <Who> <helper.deed>
        and {brought}.""",
    "cried_oh": """-3*"{oh}! {my_thing}|"{oh}!" {says}. "{my_thing}""",
    "my_thing": "2*My <thing>|My <colour> <thing>|My dear <thing>|+My dear, dear <thing>",
    "lost_talk": """[-9*|3*| {ask} "I lost my <thing>," {sighs}.]
        "[I can help. I|Do not cry. I|I|+Leave it to me. I|++Chin up. I] can <helper.can>,"
        [said <who>|<who> said].""",
    "brought": """came back with the <thing>|took the <thing> back to <him>
        |+brought the <thing> back safe and sound|++returned it without a scratch""",
    "lost_lesson": """
        3*<He> had lost {a_thing}, but <he> had found a friend.
        |3*From that day on, <hero> [and <who> were [good friends|friends]|was good to every
        <helper>|was a friend to every <helper>|+always looked after the <thing>
        |++never let the <thing> out of sight].
        |2*{happy}
        |+2*"Next time I will take care," said <hero>, and <he> did.
        |++<Hero> learned that help may come from anybody, even from <a helper>.""",
    "a_thing": "<a thing>|<a colour> <thing>",
    "lost_end": "3*{end}|And that is how <hero> found <his>[| <colour>] <thing>.",
}
