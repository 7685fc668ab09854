"""Every kind of picture beside the same bytes read by Pillow, on white."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.download.images.flatten import on_white
from pipeline.download.images.image import BadImageError, ImageSettings, make_picture
from pipeline.download.images.png import SIGNATURE

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as header.py asks, and pytest forgets
# Stored without loss, so that what differs is the decoder's.
EXACT = ImageSettings(size=512, mode="no", enlarge=False, quality=1, max_pixels=10**7, format="png")
LOSSY = 3  # grey levels by which two decoders of a lossy format may differ on average


def test_palette_with_transparent_entries(make):
    image = Image.open(io.BytesIO(make.picture(90, 60))).quantize(16)
    body = saved(image, "PNG", transparency=bytes([0, 80, 255, 128, *[255] * 12]))
    assert difference(body) <= 1


def test_one_transparent_entry_of_a_palette(make):
    body = saved(Image.open(io.BytesIO(make.picture(90, 60))).quantize(16), "PNG", transparency=3)
    assert difference(body) <= 1


def test_grey_with_alpha(make):
    assert difference(make.picture(90, 60, kind="PNG", mode="LA")) <= 1


def test_colours_with_alpha(make):
    for kind in ("PNG", "TIFF"):
        assert difference(make.picture(90, 60, kind=kind, mode="RGBA")) <= 1
    assert mean_difference(make.picture(90, 60, kind="WEBP", mode="RGBA")) <= 1
    assert mean_difference(make.picture(90, 60, kind="AVIF", mode="RGBA")) <= LOSSY


def test_white_is_mixed_in_exactly_for_every_colour_and_opacity():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    pixels = np.stack([colour, colour[:, ::-1], colour // 2, alpha], axis=-1).astype(np.uint8)
    mixed = (alpha[..., None] * pixels[..., :3] + (255 - alpha[..., None]) * 255) / 255
    assert (on_white(pixels) == np.rint(mixed)).all()


def test_one_colour_that_stands_for_transparent():
    pixels = np.full((20, 30, 3), 200, np.uint8)
    pixels[5:15, 5:20] = (10, 20, 30)
    body = saved(Image.fromarray(pixels), "PNG", transparency=(10, 20, 30))
    stored = stored_pixels(body)
    assert (stored[5:15, 5:20] == 255).all()
    assert (stored[:5] == 200).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_of_grey_colour_and_alpha(channels):
    ramp = np.linspace(0, 65535, 40 * 60 * channels).reshape(40, 60, channels).astype(np.uint16)
    body = cv2.imencode(".png", ramp if channels > 1 else ramp[..., 0])[1].tobytes()
    colours = ramp[..., 2::-1].astype(float)
    alpha = ramp[..., 3:] / 65535 if channels == 4 else 1.0
    expected = (colours * alpha + 65535 * (1 - alpha)) / 257
    assert np.abs(stored_pixels(body) - expected).max() <= 1.5


def test_an_interlaced_png():
    assert difference(_interlaced()) == 0


def test_single_bits(make):
    for kind in ("PNG", "BMP", "TIFF"):
        assert difference(make.picture(91, 60, kind=kind, mode="1")) == 0


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_a_palette(make, bits):
    image = Image.open(io.BytesIO(make.picture(91, 60))).quantize(1 << bits)
    assert difference(saved(image, "PNG", bits=bits)) == 0


def test_ordinary_modes_of_every_lossless_format(make):
    for kind, modes in {"PNG": "RGB L P", "GIF": "P L", "BMP": "RGB L P", "TIFF": "RGB L P"}.items():
        for mode in modes.split():
            assert difference(make.picture(90, 61, kind=kind, mode=mode)) == 0, (kind, mode)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4"])
def test_compressed_tiff(make, compression):
    body = make.picture(90, 61, kind="TIFF", mode="1" if compression == "group4" else "RGB", compression=compression)
    assert difference(body) == 0


def test_tiff_of_sixteen_bits():
    ramp = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    body = saved(Image.fromarray(ramp), "TIFF")
    assert np.abs(stored_pixels(body)[..., 0] - ramp / 257).max() <= 1


def test_tiff_turned_by_its_own_tag():
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :10] = (250, 10, 10)
    tag = Image.Exif()
    tag[0x0112] = 6
    body = saved(Image.fromarray(pixels), "TIFF", exif=tag)
    made = make_picture(body, EXACT)
    assert (made.width, made.height, made.original_width) == (20, 40, 20)
    assert (stored_pixels(body)[:10] == (250, 10, 10)).all()


@pytest.mark.parametrize("bits", [8, 10])
def test_avif(make, bits):
    body = make.picture(90, 62, kind="AVIF", quality=90)
    if bits == 10:
        encoded, body = cv2.imencode(".avif", make.smooth(90, 62).astype(np.uint16) * 4, [cv2.IMWRITE_AVIF_DEPTH, 10])
        body = body.tobytes()
        if not encoded:
            pytest.skip("this OpenCV writes no AVIF")
    assert mean_difference(body) <= LOSSY


def test_avif_turned_by_exif(make):
    tag = Image.Exif()
    tag[0x0112] = 6
    made = make_picture(make.picture(90, 62, kind="AVIF", exif=tag), EXACT)
    assert (made.width, made.height) == (62, 90)


def test_bmp_upside_down_and_with_runs():
    palette = b"".join(bytes([i, 255 - i, i // 2, 0]) for i in range(256))
    rows = bytes([4, 7, 0, 0, 2, 9, 2, 1, 0, 0, 0, 1])  # 4 × 7; 2 × 9, 2 × 1
    header = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(rows), 0, 0, 256, 0)
    runs = b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(rows), 0, 0, 14 + 40 + 1024) + header + palette + rows
    assert difference(runs) == 0
    raw = bytes(range(48))
    header = struct.pack("<IiiHHIIiiII", 40, 4, -4, 1, 24, 0, len(raw), 0, 0, 0, 0)
    top_down = b"BM" + struct.pack("<IHHI", 54 + len(raw), 0, 0, 54) + header + raw
    assert stored_pixels(top_down)[0, 0].tolist() == [2, 1, 0]
    assert difference(top_down) == 0


def test_bmp_of_32_bits_whose_fourth_byte_means_nothing():
    raw = bytes([10, 20, 30, 0]) * 16
    header = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 32, 0, len(raw), 0, 0, 0, 0)
    body = b"BM" + struct.pack("<IHHI", 54 + len(raw), 0, 0, 54) + header + raw
    assert (stored_pixels(body) == (30, 20, 10)).all()


def test_bmp_with_alpha(make):
    assert difference(make.picture(40, 30, kind="BMP", mode="RGBA")) <= 1


def test_gif_that_moves_gives_its_first_frame(make):
    frames = [Image.open(io.BytesIO(make.picture(60, 40, seed))).quantize(32) for seed in range(3)]
    body = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, loop=0)
    assert difference(body) == 0


def test_gif_whose_first_frame_is_smaller_than_its_canvas(make):
    frame = Image.open(io.BytesIO(make.picture(30, 20))).quantize(16)
    body = bytearray(saved(frame, "GIF", transparency=2))
    at = body.index(b"\x2c", 13 + 3 * 16)
    body[6:10] = struct.pack("<HH", 60, 50)
    body[at + 1 : at + 5] = struct.pack("<HH", 20, 10)
    assert stored_pixels(bytes(body)).shape == (50, 60, 3)
    assert difference(bytes(body)) <= 1


def test_webp_that_moves_gives_its_first_frame(make):
    frames = [Image.fromarray(make.smooth(60, 40, seed, 4)) for seed in range(3)]
    body = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert difference(body) <= 2


def test_avif_that_moves_gives_its_first_frame(make):
    frames = [Image.fromarray(make.smooth(64, 48, seed)) for seed in range(3)]
    assert mean_difference(saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=50)) <= LOSSY


def test_png_that_moves_gives_its_first_frame(make):
    frames = [Image.fromarray(make.smooth(60, 40, seed)) for seed in range(3)]
    assert difference(saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)) == 0


def test_jpeg_of_four_inks(make):
    assert mean_difference(make.picture(90, 60, mode="CMYK", quality=95)) <= LOSSY


def test_jpeg_of_red_green_and_blue(make):
    body = saved(Image.fromarray(make.smooth(90, 60)), "JPEG", keep_rgb=True, quality=95)
    assert mean_difference(body) <= 1


def test_jpeg_of_twelve_bits_is_refused(make):
    body = bytearray(make.picture(90, 60))
    body[body.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(BadImageError, match="corrupt"):
        make_picture(bytes(body), EXACT)


def test_every_lossy_ordinary_kind(make):
    for kind, mode in [("JPEG", "RGB"), ("JPEG", "L"), ("WEBP", "RGB")]:
        for more in ({}, {"progressive": True}) if kind == "JPEG" else ({},):
            assert mean_difference(make.picture(91, 61, kind=kind, mode=mode, **more)) <= 1


@pytest.mark.parametrize(("kind", "quality", "magic"), [("png", 6, b"\x89PNG"), ("webp", 80, b"RIFF"), ("jpg", 80, b"\xff\xd8")])
def test_pictures_are_stored_in_the_format_that_is_asked_for(make, kind, quality, magic):
    made = make_picture(make.picture(90, 60, kind="PNG"), settings(format=kind, quality=quality))
    assert made.data.startswith(magic)
    assert Image.open(io.BytesIO(made.data)).size == (90, 60)


def _interlaced() -> bytes:
    """4 × 1, grey, in passes: pixels 0; none; none; 2; none; 1 and 3."""
    head = struct.pack(">IIBBBBB", 4, 1, 8, 0, 0, 0, 1)
    passes = bytes([0, 10, 0, 30, 0, 20, 40])
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(passes)) + chunk(b"IEND", b"")


def settings(**changed):
    return ImageSettings(**{**EXACT.__dict__, **changed})


def saved(image, kind, **options) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    return encoded.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def stored_pixels(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(make_picture(body, EXACT).data)).convert("RGB")).astype(int)


def reference(body: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(body)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")).astype(int)


def difference(body: bytes) -> int:
    return int(np.abs(stored_pixels(body) - reference(body)).max())


def mean_difference(body: bytes) -> float:
    return float(np.abs(stored_pixels(body) - reference(body)).mean())
