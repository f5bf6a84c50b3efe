"""Pictures of pictures: images at whole factors without smoothing, captions that fit, files of few colours."""

import io

from PIL import Image, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def opened(png: bytes) -> Image.Image:
    """An image file's pixels in RGB."""
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The image enlarged or reduced by a whole factor, to the nearest pixel, so that it fits a square of this side."""
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        size = (image.width * factor, image.height * factor)
    else:
        factor = -(-longest // side)
        size = (max(1, image.width // factor), max(1, image.height // factor))
    return image.resize(size, Image.Resampling.NEAREST)


def shortened(text: str, width: int, font: Font) -> str:
    """The text on one line of at most `width` pixels, its end replaced by "…"; empty if not even that fits."""
    text = " ".join(text.split())
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
        if text == "…":
            return ""
    return text


def encoded(picture: Image.Image, colors: int | None) -> bytes:
    """The picture as PNG, in at most so many colours; None for all that it has."""
    if colors is not None:
        # A ninth of the pixels shows the same colours, and choosing a palette is what takes long.
        sample = picture.resize((-(-picture.width // 3), -(-picture.height // 3)), Image.Resampling.NEAREST)
        palette = sample.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
