"""Image files from anywhere, as pixels; what is none is named."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pixel_lora_pipeline.validate.measurement import decode_png


class ImageFileError(Exception):
    """A file that cannot be measured: says which, what is wrong, and what to do."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Pixels of an image file of any format and mode that Pillow reads, uint8[H, W, 3], or [H, W, 4].

    Raises
    ------
    ImageFileError
        If the file cannot be read, is no image, is damaged, or is so large that it may be an attack on the memory.
    """
    try:
        return decode_png(path.read_bytes())
    except FileNotFoundError:
        raise ImageFileError(f"{path} does not exist. Check the path.") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path} is a folder. Name the images in it, as {path / '*.png'}.") from None
    except UnidentifiedImageError:
        raise ImageFileError(f"{path} is no image that can be read. PNG is what the pipeline writes.") from None
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{path} is too large to be a test image: {error} Scale it down.") from None
    except (OSError, SyntaxError, ValueError) as error:  # so Pillow reports damage, each format in its way
        raise ImageFileError(f"{path} cannot be read: {error}. Write the image again.") from error
