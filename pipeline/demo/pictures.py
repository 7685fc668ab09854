"""From a scene to the bytes of an image file, in the formats the web has."""

import io
from dataclasses import dataclass
from random import Random

from PIL import Image

from pipeline.demo.scenes import Scene, draw
from pipeline.demo.shapes import draw_thing

# Share of each among undamaged pictures; JPEG rules the web.
ENCODINGS: dict[str, float] = {
    "jpeg": 0.70,
    "progressive_jpeg": 0.08,
    "png": 0.06,
    "webp": 0.05,
    "gif": 0.03,
    "cmyk_jpeg": 0.02,
    "exif_rotated_jpeg": 0.02,
    "gray_jpeg": 0.02,
    "palette_alpha_png": 0.02,
}
_TYPES = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "jpeg": "image/jpeg"}
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file: what it shows, its size in px, its encoding (a key of ENCODINGS), how much of the middle is kept."""

    scene: Scene
    width_px: int
    height_px: int
    encoding: str = "jpeg"
    quality: int = 85
    kept_share: float = 1.0

    @property
    def suffix(self) -> str:
        """jpg, png, gif or webp."""
        return self.encoding.rsplit("_", 1)[-1].replace("jpeg", "jpg")

    @property
    def content_type(self) -> str:
        """The media type it is served with."""
        return _TYPES[self.encoding.rsplit("_", 1)[-1]]


def encode(picture: Picture) -> bytes:
    """The image file's bytes; the same picture gives the same bytes."""
    if picture.encoding == "palette_alpha_png":
        return _encode_cut_out(picture)
    image = _render(picture)
    target = io.BytesIO()
    match picture.encoding:
        case "png":
            image.save(target, "PNG", compress_level=4)
        case "gif":
            image.quantize(128).save(target, "GIF")
        case "webp":
            image.save(target, "WEBP", quality=picture.quality, method=2)
        case "cmyk_jpeg":
            image.convert("CMYK").save(target, "JPEG", quality=picture.quality)
        case "gray_jpeg":
            image.convert("L").save(target, "JPEG", quality=picture.quality)
        case "exif_rotated_jpeg":
            # Stored lying on its side, with the tag that tells a viewer to turn it a quarter to the right.
            exif = Image.Exif()
            exif[_EXIF_ORIENTATION] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(target, "JPEG", quality=picture.quality, exif=exif)
        case _:
            image.save(target, "JPEG", quality=picture.quality, progressive=picture.encoding.startswith("progressive"))
    return target.getvalue()


def _render(picture: Picture) -> Image.Image:
    image = draw(picture.scene, picture.width_px, picture.height_px)
    if picture.kept_share == 1.0:
        return image
    dx, dy = (round(side * (1 - picture.kept_share) / 2) for side in image.size)
    return image.crop((dx, dy, image.width - dx, image.height - dy))


def _encode_cut_out(picture: Picture) -> bytes:
    """The thing alone on nothing: a palette PNG whose palette has transparent entries."""
    side = min(picture.width_px, picture.height_px)
    main = picture.scene.main
    thing = draw_thing(main.shape, main.colour, side, Random(picture.scene.detail_seed)).reduce(2)
    canvas = Image.new("RGBA", (picture.width_px, picture.height_px), (255, 255, 255, 0))
    canvas.paste(thing, ((picture.width_px - side) // 2, (picture.height_px - side) // 2))
    target = io.BytesIO()
    canvas.quantize(64, method=Image.Quantize.FASTOCTREE).save(target, "PNG", compress_level=4)
    return target.getvalue()
