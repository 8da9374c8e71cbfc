"""Something is broken by mistake: hiding it feels bad, and owning up is a relief."""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, detailed

TABLES: dict[str, list[TableEntry]] = {
    "broken": detailed("""
        cup ; event: played with a ball in the house, and the cup fell and broke
        ; fix: made the cup good with glue

        hat ; event: took the hat to the pond, and it fell into the mud
        ; fix: washed the hat in warm water

        +vase ; event: chased a fly around the table, and the vase tipped over and cracked
        ; fix: glued the vase, piece by piece

        +basket ; event: used the basket as a boat, and the handle came off
        ; fix: wove a new handle for the basket

        +lamp ; event: threw a pillow across the room, and the lamp went over with a crash
        ; fix: made a new shade for the lamp

        +plate ; event: tried to carry everything at once, and the plate slid to the floor
        ; fix: painted a new plate

        ++violin ; event: played the violin with a comb, and a string snapped with a twang
        ; fix: strung the violin afresh

        ++alarm clock ; event: wanted to see where the ticking came from, and springs flew in all
        directions ; fix: put back every spring, wheel and screw of the alarm clock

        ++deckchair ; event: jumped on the deckchair to reach the biscuits, and it ripped
        ; fix: sewed fresh canvas on the deckchair

        ++tablecloth ; event: painted the portrait of an admiral, and a puddle of ink crept over
        the tablecloth ; fix: scrubbed the tablecloth with soda

        ++flowerpot ; event: used the flowerpot as a goalpost, and it split in two
        ; fix: planted new seeds in a bigger flowerpot

        ++bonnet ; event: wore the bonnet in the bath, and the brim went limp
        ; fix: starched and ironed the bonnet

        ++model ship ; event: sent the model ship to sea in the sink, and all the masts came down
        ; fix: raised the masts of the model ship with tweezers

        ++mirror ; event: practised juggling with turnips, and one of them hit the mirror
        ; fix: saved up for new glass in the mirror

        ++armchair ; event: played lion tamer with the armchair, and the stuffing burst out
        ; fix: patched the armchair with velvet

        ++accordion ; event: sat down on the accordion, and it groaned and went flat
        ; fix: taped the bellows of the accordion
    """),
}

RULES: dict[str, str] = {
    "mistake": """
        {opening} <His> {elder=elder} had {a colour=colour} {broken=broken}[-4*|2*|, and <elder.he>
        loved it[| very much]|. <Elder.he> loved it|+ from long ago|++ that nobody was allowed to
        touch]. // {day}, {he} <broken.event>. "{oh}!" {says}.[-3*| {hid}{heavy}]
        // [In the end,|Then|Soon|That night,] {he} went to <his> <elder>. [-2*"{confess},"
        {sighs}.|"[I did it|It was me|+I must tell you something|++There has been an accident],"
        {sighs}. "{confess}."]
        {forgiven} // {together} <broken.fix>. {mistake_lesson}{evening} // {mistake_end}""",
    "hid": """{He} [hid in <his> bed|hid under <his> bed|hid under a tree|ran away|ran up the hill
        |++hid the <broken> behind the curtain].""",
    "heavy": """-6*|2*| {He} [did not want to play|was {very} sad|was afraid to go home
        |+could not eat, not even <supper>|+could not think of anything else]{heavy_tail}.
        | "What can I do?" {says}.|+ It felt as if <he> had a stone in <his> tummy.
        |++ All day long, a small voice inside <him> said, "Tell the truth." """,
    "heavy_tail": "3*| all day|++, and the hours crawled by",
    "confess": """I am {very} sorry[| about your[| <colour>] <broken>]|It is all about your <broken>
        |Your <broken> is no good now|+I broke your <broken>, and then I hid
        |+Please do not be angry about your <broken>""",
    "forgiven": """2*"{forgiving}," <elder.he> said.|2*<His> <elder> [held|hugged] <him>.
        "{forgiving}," [<elder.he> said
        |said <his> <elder>].|2*"{forgiving}," said <his> <elder>[|, and [kissed|hugged] <him>
        |++, trying not to smile].|+It was quiet for a moment. "{forgiving}," <elder.he> said.""",
    "forgiving": """It was good of you to tell me|I am not sad, for you told me|I love you so much
        |+<A broken> can be mended[|, but a lie cannot]|I love you more than any <broken>
        |++When I was little, I broke two""",
    "together": "Then the two of them|The next day, they|+Together, they",
    "mistake_lesson": """-3*{He} was happy.|2*{happy}|2*[It|The <broken>] was not as good as new,
        but <hero> was.
        |2*"[It was good to tell you|I am so happy that I told you]," {tells}.
        |+2*<Hero> felt as light as a feather.
        |+"The truth is heavy," said <hero>, "but only until you say it."
        |++You could still see where it had been mended, and they both liked it better that way.""",
    "mistake_end": """3*{end}|And that is how <hero> said sorry.|+And that is how <hero> told the
        truth.""",
}
