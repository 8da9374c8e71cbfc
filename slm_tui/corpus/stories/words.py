"""The names and single words of the stories, from the most to the least common.

A table is written level by level: what `tiny` knows, what `small` adds, what `rich` adds.
"""

from __future__ import annotations

from slm_tui.corpus.stories.tables import TableEntry, listed

SHE = {"he": "she", "him": "her", "his": "her", "himself": "herself"}
HE = {"he": "he", "him": "him", "his": "his", "himself": "himself"}

WORDS: dict[str, list[TableEntry]] = {
    "girl": listed(
        "Mia, Lily, Anna, Rosa, Ella, Nora",
        "Emma, Clara, Zoe, Lucy, Hanna, Maya",
        """Ida, Greta, Sofia, Ruby, Amira, Wilma, Tilda, Yuki, Flora, Ingrid, Elsie, Marta, Noor,
        Paula, Stella, Leonie, Frida, Asha, Matilda, Johanna, Lotta, Selma, Agnes, Carmen, Thea""",
        SHE,
    ),
    "boy": listed(
        "Tom, Ben, Max, Leo, Sam, Finn",
        "Jack, Noah, Oscar, Paul, Emil, Theo",
        """Anton, Hugo, Karim, Otis, Jonas, Felix, Arthur, Milo, Rafael, Kenji, Lukas, Samir,
        Gustav, Nils, Edgar, Mateo, Simon, Vincent, Kofi, Albert, Henry, Oliver, Ravi, Piet""",
        HE,
    ),
    "pet": [
        *listed(
            "Pip, Dot, Bibi",
            "Nutmeg, Poppy, Daisy, Mimi, Tilly, Clover",
            """Marigold, Pepper, Snowdrop, Juniper, Twinkle, Cinnamon, Biscuit, Fern, Lulu,
            Primrose, Velvet, Dumpling, Trixie, Bluebell, Saffron, Pumpkin, Fidget, Crumpet""",
            SHE,
        ),
        *listed(
            "Bobo, Tuck, Rolo",
            "Bruno, Toffee, Barnaby, Rufus, Hobo, Button",
            """Bramble, Hazel, Ziggy, Pickle, Mortimer, Thistle, Basil, Rusty, Domino, Waffle,
            Humphrey, Tumbler, Bumble, Scamp, Wellington, Figaro, Cobweb, Marmalade, Noodle""",
            HE,
        ),
    ],
    "helper_name": listed(
        "",
        "Otto, Gus, Olga, Hilda, Frank",
        "Percival, Wanda, Cornelius, Bettina, Ludwig, Dorothea, Ernest, Mathilda, Boris, Prudence",
    ),
    "trait": listed(
        "little, small, happy, kind, good, sweet, big",
        "young, cheerful, curious, gentle, merry, quiet",
        """playful, thoughtful, polite, friendly, lively, dreamy, tidy, sleepy, clever, careful,
        freckled, bouncy, inquisitive, hopeful, scruffy, musical, talkative, good-hearted""",
    ),
    "colour": listed(
        "red, blue, green, yellow, white, little, old, big, new",
        "orange, purple, silver, golden, pink, black, brown",
        """violet, turquoise, crimson, scarlet, spotted, striped, checked, lilac, copper, pearly,
        ivory, emerald, speckled, rainbow, lemon, indigo, amber, maroon""",
    ),
    "elder": [
        *listed("mother, grandmother", "aunt", "godmother", SHE),
        *listed("father", "grandfather, uncle", "godfather", HE),
    ],
    "food": listed(
        "",
        "apple pie, honey cake, pea soup, nut bread, plum jam",
        """pancakes, blackberry tart, carrot stew, gingerbread, warm porridge, baked apples,
        cheese dumplings, pear crumble, tomato soup, cinnamon buns, rhubarb pudding, corn fritters,
        mushroom pie, roasted chestnuts, cherry strudel, barley broth, leek soup, almond biscuits,
        elderflower jelly, potato cakes, waffles with cream, oat cookies, vanilla custard,
        spinach noodles, beetroot salad, raisin muffins, hazelnut fudge, turnip mash""",
    ),
    "flower": listed(
        "",
        "roses, daisies, tulips",
        """bluebells, poppies, violets, sunflowers, foxgloves, snowdrops, marigolds, lilies,
        cornflowers, primroses, buttercups, daffodils, crocuses, lupins, pansies, peonies,
        honeysuckle, forget-me-nots, dandelions, hollyhocks, asters, jasmine, cowslips""",
    ),
    "songbird": listed(
        "",
        "robin, blackbird, lark",
        """thrush, wren, finch, linnet, starling, cuckoo, goldfinch, nuthatch, warbler, chaffinch,
        redstart, bullfinch, oriole, wagtail, siskin""",
    ),
    "tree": listed(
        "",
        "oak, apple tree, birch",
        """willow, chestnut, maple, cherry tree, beech, rowan, pear tree, lime, hawthorn, elm,
        larch, walnut tree, poplar, alder, sycamore, hornbeam, plum tree, juniper bush, spruce""",
    ),
    "village": listed(
        "",
        "Appledale, Mossy Hill, Little Brook",
        """Thornby, Puddlewick, Fernhollow, Larkfield, Pebble Bay, Otterbridge, Windmere,
        Honeycombe, Nettleton, Bramley Cross, Foggy Bottom, Kettlewood, Silverbrook, Goosegate,
        Tumbledown, Dapplemoor, Crabtree Corner, Hollyhead, Marshmouth, Owlsworth""",
    ),
    "hobby": listed(
        "",
        "count the clouds, sing in the bath, jump over puddles",
        """collect smooth pebbles, whistle old tunes, climb on gates, draw funny faces,
        chase butterflies, invent riddles, dance in the kitchen, stack wooden blocks,
        feed the sparrows, press leaves in heavy books, name the stars, listen at keyholes,
        roll down grassy slopes, build towers of cushions, talk to snails, skip with a rope,
        follow the tracks of beetles, polish the spoons, paint with both hands,
        tell jokes to the goldfish, watch the trains, hum while reading, read maps upside down""",
    ),
    "treasure": listed(
        "",
        "a shiny shell, a brass bell, a wooden horse",
        """a bent key, a tin soldier, a glass marble, a peacock feather, a broken compass,
        a jar of sand, an acorn crown, a rusty lantern, a paper lion, a chipped teapot,
        a magnifying glass, a velvet purse, a snow globe, a music box, a pirate flag,
        a lump of amber, a knitted dragon, a ship in a bottle, a crooked candle,
        an atlas with torn pages, a photograph of a whale, a fossil, a cracked saucer""",
    ),
    "garment": listed(
        "",
        "coat, boots, cap",
        """jacket, mittens, jumper, raincoat, bonnet, waistcoat, sandals, cardigan, cape, socks,
        slippers, overalls, gloves, shawl, pullover""",
    ),
    "simile": listed(
        "",
        "a king in a castle, a bee in the clover, a bird in spring",
        """a frog in a puddle, a pig in mud, a kitten in a basket, a lark at dawn,
        a sailor in harbour, a baker at breakfast, a cricket by the hearth, a lamb in April,
        a clown at the circus, a dolphin in a wave, a spoon in the jam, a goose in the rain,
        a snail on a lettuce, a drummer on parade, a cat on a sunny wall""",
    ),
    "game": listed(
        "ball, hide and seek",
        "tag, catch, pirates, leapfrog",
        """hopscotch, skittles, marbles, follow the leader, blind man's buff, shopkeepers, knights,
        explorers, musical chairs, noughts and crosses, dominoes, statues, tug of war, acrobats,
        castles, cops and robbers, kings and queens, lighthouse keepers""",
    ),
    "smell": listed(
        "",
        "fresh bread, pine trees, wet grass",
        """peppermint, woodsmoke, seaweed, lavender, warm hay, oranges, candle wax, toast,
        ripe strawberries, coffee, old books, soap, rosemary, moss, melted butter, clean laundry""",
    ),
    "sight": listed(
        "",
        "a snail crossed the path, two ducks flew over, a bee hummed by",
        """a weathercock creaked on a roof, a postman rang his bell, a spider mended her web,
        three geese argued about the way, a caterpillar nibbled a nettle, the church clock struck,
        a dragonfly shimmered over the ditch, a cow looked up and chewed, a gate swung to and fro,
        an ant dragged a crumb uphill, the washing flapped on a line, a tractor rumbled far away,
        a lizard blinked on a warm stone, a hen scratched in the dust, a grasshopper fiddled,
        the millwheel splashed and turned, two squirrels quarrelled over a cone, a donkey yawned,
        a kingfisher flashed past, a ladybird landed on a thumb, a mushroom glistened with dew""",
    ),
}
