"""Whether curated shards hold anything for open_clip's reader: it passes over what it cannot use and looks on, for ever."""

from collections.abc import Sequence

from pipeline import io
from pipeline.samples import Sample, TarReader
from pipeline.train.decoded.decode import decode_image
from schemas.errors import UserError

IMAGES, CAPTION = ("png", "jpg", "jpeg", "webp"), "txt"  # what it takes of a sample
_SIDE_PX = 8  # of what the image is decoded to here, to see whether it can be


def require_usable(tars: Sequence[str], *, subset: str) -> None:
    """Raises UserError where no sample has a caption and an image that can be decoded; as a rule the first one has."""
    for path in tars:
        with io.open_read(path) as file:
            if any(map(_usable, TarReader(file))):
                return
    raise UserError(
        f"{subset}: none of its pairs has a .{CAPTION} and an image ({', '.join(IMAGES)}) that can be decoded, and open_clip's "
        "trainer would look for one for ever; choose others, or see what `--engine native` says of them"
    )


def _usable(sample: Sample) -> bool:
    # The first of these suffixes that is there is what the reader looks at.
    image = next((sample.members[suffix] for suffix in IMAGES if suffix in sample.members), None)
    return sample.members.get(CAPTION) is not None and decode_image(image, _SIDE_PX) is not None


__all__ = ["CAPTION", "IMAGES", "require_usable"]
