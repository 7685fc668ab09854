"""What a picture takes once it is stored: bytes and pixels of the download benchmark's corpora at several sizes."""

from typing import Any

import numpy as np

from bench.download_corpus import folder_of, specimens

PICTURE_SIZES = (224, 256, 384, 512, 768)


def stored(corpus: str, size_px: int) -> dict[str, Any]:
    """Means over the corpus at `--image-size size_px`, the other options `download`'s defaults (and DataComp's)."""
    from pipeline.download.images.image import ImageSettings, make_picture

    settings = ImageSettings(size=size_px, mode="keep_ratio_largest", enlarge=False, quality=95, max_pixels=89_478_485)
    folder = folder_of(corpus)
    made = [make_picture((folder / specimen.name).read_bytes(), settings) for specimen in specimens(corpus)]
    return {
        "pictures": corpus,
        "image_size_px": size_px,
        "stored_bytes": float(np.mean([len(picture.data) for picture in made])),
        "stored_megapixels": float(np.mean([picture.width * picture.height for picture in made])) / 1e6,
        "stored_as_served": float(np.mean([picture.passed for picture in made])),
    }
