"""The vocabulary of `bench.attributes`: for each kind of attribute, canonical names with the terms that stand for them.

Terms are in lower case, words apart by one space, in the singular where the thing has one; hyphens are spaces. A term that begins with
another is taken first ("dress shirt" is no dress). Taken from descriptions of pedestrians, frequent misspellings included.
"""

from __future__ import annotations

from collections.abc import Mapping

COLOURS = {
    "black": "black balck blck blackish",
    "white": "white whit whitish off-white",
    "grey": "grey gray greyish grayish charcoal",
    "red": "red reddish crimson scarlet",
    "blue": "blue bluish",
    "green": "green greenish olive mint lime",
    "yellow": "yellow yellowish mustard",
    "brown": "brown bown brownish camel rust",
    "pink": "pink pinkish rose peach salmon fuchsia magenta",
    "orange": "orange",
    "purple": "purple purplish violet lavender lilac",
    "beige": "beige tan cream ivory champagne",
    "khaki": "khaki",
    "dark blue": "navy navy-blue",
    "light blue": "sky-blue baby-blue",
    "dark red": "maroon burgundy wine wine-red",
    "turquoise": "turquoise teal aqua cyan",
    "gold": "gold golden",
    "silver": "silver",
    "dark": "dark dark-colored dark-coloured dark-color dark-colour darkly-colored",
    "light": "light-colored light-coloured light-color light-colour",
    "multicoloured": "colorful colourful multicolored multicoloured multi-colored multi-coloured multi-color multi-colour",
}
SHADES = {"dark": "dark", "darker": "dark", "deep": "dark", "light": "light", "lighter": "light", "pale": "light"}
"""Before a colour word they make a name of their own: `dark blue`. `bright` and the like make none."""
SHADED = frozenset(["grey", "red", "blue", "green", "yellow", "brown", "pink", "orange", "purple", "beige", "khaki"])

Terms = Mapping[str, str]
"""Canonical name -> terms, apart by commas."""

TERMS: Mapping[str, Terms] = {
    "garment": {
        "shirt": """shirt, sihrt, shirtsleeve, dress shirt, button up shirt, button down shirt, buttoned shirt, collared shirt, flannel,
            flannel shirt, button up, undershirt""",
        "t-shirt": "t shirt, tshirt, tee shirt, tee, polo shirt, polo, tee t shirt",
        "blouse": "blouse",
        "top": "top, halter top, crop top, cropped top, tube top, tunic",
        "tank top": "tank top, tanktop, tank, sleeveless shirt, camisole, singlet",
        "sweater": "sweater, jumper, pullover, turtleneck, turtle neck, cardigan, knitwear, jersey",
        "hoodie": "hoodie, hoody, hooded sweatshirt, hooded sweat shirt, hooded sweater, hooded top, hooded shirt",
        "sweatshirt": "sweatshirt, sweat shirt, fleece",
        "jacket": "jacket, windbreaker, wind breaker, blazer, hooded jacket, bomber jacket, short jacket, leather jacket, sports jacket",
        "denim jacket": "denim jacket, jean jacket, jeans jacket, denim coat",
        "down jacket": """down jacket, down coat, downcoat, down overcoat, down filled jacket, down filled coat, down filled overcoat,
            puffy jacket, puffy coat, puffer jacket, puffer coat, puffer, padded jacket, padded coat, padded clothe, cotton padded jacket,
            cotton padded coat, cotton padded clothes, cotton padded overcoat, quilted jacket, quilted coat""",
        "coat": "coat, overcoat, over coat, trench coat, trenchcoat, long coat, winter coat, raincoat, rain coat, parka",
        "vest": "vest, waistcoat",
        "suit": "suit, business suit, suit jacket, suit coat, tuxedo",
        "dress": "dress, gown, sundress, one piece, one piece dress",
        "skirt": "skirt, miniskirt, mini skirt",
        "trousers": """trousers, trouser, pants, pant, slacks, dress pants, suit pants, suit trousers, cargo pants, khakis, casual pants,
            sports pants""",
        "jeans": "jeans, jean, bluejeans, denim, denim jeans, denim pants, denim trousers, jean pants, jeans pants",
        "shorts": "shorts, short pants, jean shorts, jeans shorts, denim shorts, cargo shorts, trunks",
        "capri trousers": "capri, capri pants, cropped pants, cropped trousers, capri trousers, capri jeans",
        "leggings": "leggings, legging, legggings, tights, jeggings",
        "stockings": "stockings, stocking, pantyhose, panty hose, hose, stocks",
        "sweatpants": "sweatpants, sweat pants, jogging pants, track pants, joggers",
        "overalls": "overalls, overall, jumpsuit, romper",
        "uniform": "uniform, school uniform",
    },
    "footwear": {
        "shoes": "shoe, footwear",
        "leather shoes": "leather shoe, dress shoe, loafer, oxford",
        "sneakers": """sneaker, sneakerd, trainer, tennis shoe, sports shoe, sport shoe, running shoe, athletic shoe, gym shoe, canvas shoe,
            sports sneaker, tennis, converse""",
        "boots": "boot, bootie, longboot, ankle boot, knee high boot, snow boot, ugg, long boot, leather boot, high boot, uggs boot",
        "sandals": "sandal, slipper, flip flop, flipflop, open sandal",
        "heels": "heels, high heel, high heeled shoe, high heel shoe, wedge, heeled shoe",
        "flats": "flats, flat shoe, ballet flat",
        "socks": "sock",
    },
    "headwear": {
        "hat": "hat, brimmed hat, wide brimmed hat, fedora, sun hat, straw hat, brim hat, bucket hat",
        "cap": "cap, baseball cap, ball cap, peaked cap, baseball hat",
        "beanie": "beanie, knitted hat, knit hat, woolly hat, woolen hat, knit cap, knitted cap, winter hat",
        "hood": "hood",
        "helmet": "helmet",
        "headband": "headband, head band, hairband, hair band",
        "earmuffs": "earmuff",
        "headscarf": "headscarf, head scarf, bandana, turban, hijab",
    },
    "eyewear": {
        "glasses": "glasses, eyeglasses, spectacles, bespectacled, clear glasses, prescription glasses, eye glasses",
        "sunglasses": "sunglasses, sun glasses, dark glasses, dark sunglasses",
    },
    "accessory": {
        "scarf": "scarf, shawl",
        "gloves": "glove, mitten",
        "mask": "mask, face mask, surgical mask",
        "belt": "belt",
        "tie": "necktie, bow tie, neck tie, bowtie",
        "watch": "wristwatch, wrist watch",
        "necklace": "necklace",
        "bracelet": "bracelet",
        "earrings": "earring",
        "headphones": "headphone, earphone, headset, earbud, head phone, ear phone",
    },
    "carried": {
        "bag": "bag, carryall, sack",
        "backpack": "backpack, back pack, rucksack, knapsack, schoolbag, school bag, bookbag, book bag, back bag, pack",
        "handbag": "handbag, hand bag, purse, clutch, clutch bag, hand purse, pocketbook",
        "shoulder bag": """shoulder bag, crossbody bag, cross body bag, crossbody, cross body, messenger bag, satchel, satchel bag,
            shoulder purse, sling bag, single shoulder bag, crossbody purse""",
        "tote": "tote, tote bag",
        "shopping bag": "shopping bag, paper bag, plastic bag, gift bag, grocery bag",
        "suitcase": "suitcase, rolling suitcase, luggage, luggage case, trolley case, trolley, rolling bag, pull rod box",
        "briefcase": "briefcase, brief case, laptop bag, laptop case, computer bag",
        "duffel bag": "duffel bag, duffle bag, gym bag, duffel, duffle, sports bag, travel bag",
        "umbrella": "umbrella, folded umbrella, parasol",
        "book": "book, notebook",
        "newspaper": "newspaper, magazine",
        "papers": "paper, document",
        "folder": "file folder, folder, envelope",
        "phone": "phone, cell phone, cellphone, mobile phone, mobile, smartphone, smart phone, telephone, iphone, call phone",
        "bottle": "bottle, water bottle, bottled water, thermos, mineral water",
        "cup": "cup, coffee, coffee cup, drink",
        "box": "box, package, parcel, carton",
        "camera": "digital camera",
        "laptop": "laptop, computer",
        "ball": "ball, basketball, football",
        "child": "baby",
    },
    "vehicle": {
        "bicycle": "bicycle, bike",
        "scooter": "scooter, electric bike, electric bicycle, electric car, battery car, electric vehicle, motorcycle, motorbike, moped",
        "tricycle": "tricycle",
        "skateboard": "skateboard, skate board",
        "stroller": "stroller, pram, baby carriage",
    },
    "pattern": {
        "striped": "striped, stripy, stripe, stripped, pinstriped, horizontal stripe, vertical stripe",
        "checked": "checked, checkered, chequered, checker, plaid, check pattern, grid, tartan",
        "dotted": "dotted, spotted, polka dot, dot, polka dotted",
        "floral": "floral, flowery, flowered, flower pattern, floral pattern, floral print, flower print",
        "camouflage": "camouflage, camo",
        "plain": "plain, solid",
        "printed": "printed, print, graphic, logo, patterned, lettering, letter, emblem",
    },
    "sleeves": {
        "short": "short sleeve, short sleeved",
        "long": "long sleeve, long sleeved",
        "none": "sleeveless",
    },
    "hair": {
        "ponytail": "ponytail, pony tail, pigtail",
        "bun": "bun, hair bun",
        "braid": "braid, plait, braided hair",
        "bald": "bald, balding, bald head, shaved head",
        "bangs": "bangs",
        "blond": "blond, blonde",
        "ginger": "ginger",
    },
    "person": {
        "man": "man, guy, gentleman, male, grandfather",
        "woman": "woman, lady, female",
        "boy": "boy",
        "girl": "girl",
        "child": "child, kid, toddler",
    },
}
"""`hair` besides: its length and form, see HAIR; the colour of hair is a colour."""
NEUTRAL = "on top, on top of, book store, orange juice, paper towel, dress up, zebra crossing, tennis racket, letter box, light pole"
"""Terms that name nothing, so that a shorter one within them is not taken: `on top of` is no top."""
HAIR: Mapping[str, str] = {
    "long": "long, shoulder length, waist length, longer",
    "short": "short, cropped, shorter, close cropped",
    "medium": "medium length, mid length, chin length, medium, neck length",
    "curly": "curly, wavy, curled, frizzy",
    "straight": "straight",
}
"""Before `hair` and `haired`, or after `hair is`, other such words and colours between them."""
PLURALS = {"scarf": "scarves", "headscarf": "headscarves", "man": "men", "woman": "women", "child": "children", "baby": "babies"}
"""Plurals that no rule gives."""
