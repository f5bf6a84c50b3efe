"""The vocabulary that captions are read with; colours are in `named_colors`."""
# ruff: noqa: SIM905 - words are easier to read, sort and add to as running text

from collections.abc import Mapping
from typing import Final

# A caption is read noun by noun: those of regions, those of accessories, and others whose only part is to
# take the colours that belong to them out of the way ("red scarf").
REGION_NOUNS: Final[Mapping[str, str]] = {
    "background": "background", "backgrounds": "background", "bg": "background", "backdrop": "background",
    "hair": "hair", "hairs": "hair", "haired": "hair", "hairstyle": "hair", "haircut": "hair",
    "ponytail": "hair", "ponytails": "hair", "pigtails": "hair", "braid": "hair", "braids": "hair",
    "bangs": "hair", "curls": "hair", "afro": "hair", "mohawk": "hair", "dreadlocks": "hair",
    "bob": "hair", "bun": "hair", "buns": "hair",
    "tips": "second_hair", "ends": "second_hair", "streaks": "second_hair", "roots": "second_hair",
    "skin": "skin", "skinned": "skin", "complexion": "skin",
    "lips": "lips", "lip": "lips", "lipstick": "lips",
}  # fmt: skip
ACCESSORY_NOUNS: Final[Mapping[str, str]] = {
    "crown": "crown", "crowns": "crown", "tiara": "crown", "diadem": "crown",
    "sunglasses": "sunglasses", "shades": "sunglasses", "aviators": "sunglasses", "wayfarers": "sunglasses",
    "glasses": "glasses", "eyeglasses": "glasses", "spectacles": "glasses",
    "necklace": "necklace", "necklaces": "necklace", "choker": "necklace", "chain": "necklace",
    "hat": "hat", "hats": "hat", "cap": "hat", "beanie": "hat", "fedora": "hat", "bonnet": "hat", "beret": "hat",
}  # fmt: skip
# What makes a noun before it the lesser part of a compound: "hair bow", "crown jewels", "glasses frame".
COMPOUND_HEADS: Final = frozenset(
    "accessory accessories band bow bows clip clips frame frames gem gems jewel jewels lens lenses ornament "
    "ornaments pin pins ribbon ribbons tie ties".split()
)
# What after a noun denies it: "hat-less", and what makes it another word: "shades of".
DENYING_TAILS: Final = frozenset("less free".split())
NO_NOUNS: Final = frozenset({("shades", "of")})
OTHER_NOUNS: Final = COMPOUND_HEADS | frozenset(
    "apron armor bandana beard blazer blouse blush border bracelet brow brows buttons cape cheek cheeks "
    "cloak clothes clothing coat collar dress ear earring earrings ears eye eyebrow eyebrows eyelashes eyes "
    "eyeshadow face flower flowers freckles gloves goggles hairband headband headphones helmet highlight "
    "highlights hoodie horns jacket lace line lines lipliner logo mask moustache mouth mustache nails nose "
    "outfit outline outlines overalls pattern pearl pearls pendant robe scarf scrunchie shading shadow shadows "
    "shirt shoulders smile stripe stripes suit suspenders sweater teeth trim tshirt tunic turtleneck uniform "
    "veil vest wings".split()
)
# Hair that says its colour itself.
HAIR_PEOPLE: Final[Mapping[str, str]] = {
    "blonde": "#f0cf65",
    "blond": "#f0cf65",
    "brunette": "#7a4a26",
    "redhead": "#c1440e",
    "ginger": "#c1440e",
}
# Words that describe a thing without colouring it, or stand between it and its colour.
DESCRIPTIVE: Final = frozenset(
    "a an the her his their its is are was of in with color colour colored coloured colors tone toned dyed "
    "shade hue very really long short medium length shoulder curly wavy straight messy spiky shaggy flowing "
    "fluffy big small tiny large huge little neat tied braided thick thin shiny silky soft smooth glossy matte "
    "sleek loose layered side swept bob bun buzz cut undercut slicked back high low plain solid flat simple "
    "clean clear uniform monochrome single pure bright vivid vibrant rich deep dark light pale pastel neon "
    "wearing metal metallic royal ornate simple jeweled jewelled round square thick rimmed framed heart shaped "
    "cat baseball top cowboy witch wizard party straw winter knit knitted wool parted pixel art pixelated full "
    "half split natural beautiful pretty cute elegant cool stylish transparent blurred blurry studio style".split()
)
NEGATIONS: Final = frozenset("no without not never lacking minus".split())
END_OF_NEGATION: Final = frozenset("but with wearing only has having".split())
FILLERS_AFTER: Final = frozenset(
    "is are was in of a an the color colour colored coloured tone toned dyed shade hue very bright".split()
)
CONNECTING: Final = NEGATIONS | frozenset("and or on at from to against over for behind".split())
# What says that hair is meant to have two colours, and what joins them.
TWO_TONED: Final = frozenset("two duo split half ombre balayage gradient multicolored multicoloured streaked".split())
JOINING: Final = frozenset("and to".split())
