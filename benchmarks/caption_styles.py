"""Right captions of four kinds, each with its pictures: what the checks of captions are tried on.

Sprites with twelve codes and more in tags; tags as on image boards, with rare words; the embedded model's captions in
colour words; and sentences. None of them is written by the checks' own vocabulary alone.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from other_style import draw
from PIL import Image

from pixel_lora_pipeline.embedded.captioning import plain_tags
from pixel_lora_pipeline.embedded.portrait import draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel

SPRITES = Path(__file__).parents[2] / "shared" / "samples" / "dicebear"


@dataclass(frozen=True)
class Captioned:
    caption: str
    png: bytes


@dataclass(frozen=True)
class Style:
    """A dataset in which every caption is right.

    `lacks` names what no caption of it says, which the checks tell once.
    """

    name: str
    trigger: str
    items: list[Captioned]
    lacks: frozenset[str]


# ruff: noqa: SIM905 - words are easier to read and add to as running text
RARE = (
    "yukata,haori,ascot,epaulettes,pauldrons,circlet,monocle,heterochromia,hime cut,ahoge,sidelocks,gorget,tabard,"
    "doublet,kirtle,shako,tricorne,busby,fez,cravat,jabot,brooch,locket,lorgnette,quiver,scabbard,halberd,glaive,"
    "grimoire,lute,satchel,bandolier,gauntlet,vambrace,greaves,mantle,capelet,poncho,sarong,kimono,obi,qipao,hanbok,"
    "dirndl,kilt,toga,chiton,cuirass,visor,antlers,fangs,elf ears,fox ears,halo,mole under eye,scar across eye,"
    "face paint,war paint,nose ring,lip piercing,septum piercing,eyepatch,bandaid on nose,leaf on head,hair bobbles,"
    "braided bangs,french braid,fishtail braid,cornrows,undercut,pompadour,widow's peak,sideburns,goatee,stubble,"
    "five o'clock shadow,crow's feet,laugh lines,dimples,beauty mark,rosy cheeks,candlelight,rim light,backlit,dusk,"
    "starry sky motif,lens flare,scanlines,crt filter,gameboy palette,nes palette,jrpg bust,vn sprite,chibi"
).split(",")


def styles(number: int, seed: int) -> list[Style]:
    """All of them with so many captions together; without the labelled sprites, the others have more."""
    made: list[tuple[float, Callable[[int, int], Style]]] = [
        (0.25, image_board_style),
        (0.3, embedded_style),
        (0.15, sentence_style),
    ]
    if (SPRITES / "labels.json").is_file():
        made.insert(0, (0.3, sprite_style))
    total = sum(share for share, _ in made)
    return [make(round(number * share / total), seed) for share, make in made]


def _png(pixels: NDArray[np.uint8], scale: int = 1) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(buffer, format="PNG")
    return buffer.getvalue()


def sprite_style(number: int, seed: int) -> Style:
    """Captions of labelled sprites with at least twelve codes, each exactly of the picture."""
    rng = np.random.default_rng([seed, 1])
    labels = json.loads((SPRITES / "labels.json").read_text(encoding="utf-8"))["items"]
    items: list[Captioned] = []
    seen: set[str] = set()
    for index in range(number):
        label = labels[(seed * 37 + index) % len(labels)]
        png = (SPRITES / label["file"]).read_bytes()
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"))
        if index >= len(labels):  # a second caption needs a picture of its own
            pixels = pixels[:, ::-1]
            png = _png(pixels)
        caption = _sprite_caption(label, pixels, rng)
        while caption in seen:
            caption = _sprite_caption(label, pixels, rng)
        seen.add(caption)
        items.append(Captioned(caption, png))
    return Style("sprites", "bespokefolk", items, frozenset())


def _sprite_caption(label: dict[str, Any], pixels: NDArray[np.uint8], rng: np.random.Generator) -> str:
    colors = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(pixels.reshape(-1, 3), axis=0)]

    def code(known: str | None) -> str:
        return f"#{known}" if known and f"#{known}" in colors else str(rng.choice(colors))

    length = "long" if label["hair_style"].startswith("long") else "short"
    parts = [
        "bespokefolk",
        "portrait of a villager",
        f"{length} hair {code(label['hair_color'])}",
        f"background {code(label['background_color'])}",
        f"skin tone {code(label['skin_color'])}",
        f"lips {code(None)}",
        f"eyes {code(label['eyes_color'])}",
        f"shirt {code(label['clothing_color'])}",
    ]
    if label["hat"]:
        parts.append(f"hat {code(label['hat_color'])}")
    if label["glasses"]:
        kind = "sunglasses" if label["glasses_kind"] == "dark" else "glasses"
        parts.append(f"{kind} {code(label['glasses_color'])}")
    if label["earrings"]:
        parts.append(f"earrings {code(label['earrings_color'])}")
    parts.append("happy expression" if label["mouth_kind"] == "happy" else "sad expression")
    missing = max(3, 12 - sum("#" in part for part in parts)) + int(rng.integers(0, 3))
    parts.append("palette " + " ".join(code(None) for _ in range(missing)))
    return ", ".join(parts)


_NAMES = {
    "#1c1410": "black", "#4a2c17": "brown", "#8a5a2b": "brown", "#e0b64f": "blonde", "#f2e2b0": "blonde",
    "#b5401c": "red", "#7d7f86": "grey", "#ececf2": "white", "#e84a8f": "pink", "#3f7fe8": "blue", "#39b25a": "green",
    "#8d4fd6": "purple", "#22b8b0": "aqua", "#d8262b": "red", "#f07f1d": "orange",
}  # fmt: skip


def image_board_style(number: int, seed: int) -> Style:
    """Tags as "trigger, 1girl, solo, …" without codes, each with one or two tags that hardly another caption has."""
    rng = np.random.default_rng([seed, 2])
    items: list[Captioned] = []
    seen: set[str] = set()
    while len(items) < number:
        drawn = draw(int(rng.integers(1 << 30)))
        hair = _NAMES.get(drawn.hair or "", "brown")
        ground = rng.choice(["simple background", "white background", "gradient background", "blue background"])
        tags = [
            "pxlgrl",
            str(rng.choice(["1girl", "1boy"])),
            "solo",
            f"{hair} hair",
            str(rng.choice(["long hair", "short hair", "medium hair", "very long hair"])),
            f"{rng.choice(['blue', 'green', 'brown', 'red', 'purple', 'yellow'])} eyes",
            "looking at viewer",
            str(rng.choice(["smile", "closed mouth, smile", "frown", "expressionless", "grin", "pout, angry"])),
            f"{rng.choice(['pink', 'red', 'pale'])} lips",
            str(rng.choice(["red shirt", "white shirt", "black jacket", "blue dress", "armor", "brown coat"])),
            *sorted(drawn.accessories),
            *(str(tag) for tag in rng.choice(RARE, size=int(rng.integers(0, 3)), replace=False)),
            str(ground),
            "upper body",
            "pixel art",
        ]
        caption = ", ".join(tags)
        if caption not in seen:
            seen.add(caption)
            items.append(Captioned(caption, _png(drawn.pixels)))
    return Style("image board", "pxlgrl", items, frozenset({"hex-count"}))


def embedded_style(number: int, seed: int) -> Style:
    """The captions of the embedded model's demo: colours by word, no lips."""
    rng = np.random.default_rng([seed, 3])
    items: list[Captioned] = []
    seen: set[str] = set()
    while len(items) < number:
        portrait = draw_portrait(rng)
        caption = ", ".join(("pixchar", "pixel art portrait", *plain_tags(portrait)))
        if caption not in seen:
            seen.add(caption)
            items.append(Captioned(caption, _png(render_pixel(portrait))))
    return Style("embedded", "pixchar", items, frozenset({"hex-count", "lips-missing"}))


def sentence_style(number: int, seed: int) -> Style:
    """Whole sentences that name a few codes of the picture."""
    rng = np.random.default_rng([seed, 4])
    items: list[Captioned] = []
    for _ in range(number):
        drawn = draw(int(rng.integers(1 << 30)))
        colors = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(drawn.pixels.reshape(-1, 3), axis=0)]
        items.append(Captioned(_sentence(rng, [str(color) for color in rng.permutation(colors)]), _png(drawn.pixels)))
    return Style("sentences", "ohwxpix", items, frozenset({"hex-count"}))


def _sentence(rng: np.random.Generator, colors: list[str]) -> str:
    picked: Iterator[str] = iter(colors * 8)
    who = rng.choice(["a woman", "a man", "an old wizard", "a young knight", "a girl", "a merchant", "a sailor"])
    mood = rng.choice(["smiling gently", "frowning", "with a neutral expression", "grinning", "with an angry face"])
    hair = rng.choice(["long wavy hair", "short curly hair", "a messy bun of hair", "straight shoulder length hair"])
    wears = rng.choice(["a wool cloak", "a leather jerkin", "a striped sailor shirt", "a plain linen tunic"])
    return (
        f"ohwxpix portrait of {who} {mood} and looking at the viewer, {hair} in {next(picked)} with {next(picked)} "
        f"shadows, a {next(picked)} background behind the head, skin in {next(picked)}, lips in {next(picked)}, "
        f"wearing {wears} colored {next(picked)} over the shoulders"
    )
