"""Colours: a profile that is not sRGB is applied, one that is costs nothing, one that is broken is ignored; CMYK."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.download.images import colour
from pipeline.download.images.colour import is_srgb
from pipeline.download.images.image import ImageSettings, make_picture

EXACT = ImageSettings(size=512, mode="no", enlarge=False, quality=1, max_pixels=10**7, format="png")
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def test_srgb_is_known_by_what_it_does_whatever_it_is_called():
    ours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    levels = np.linspace(0, 1, 1024)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    table = struct.pack(">4s4xI", b"curv", 1024) + np.rint(linear * 65535).astype(">u2").tobytes()
    assert is_srgb(ours)
    assert is_srgb(rgb_profile(SRGB, table, name=b"c2"))
    assert not is_srgb(rgb_profile(ADOBE_RGB, gamma(2.2), name=b"sRGB, it says"))
    assert not is_srgb(rgb_profile(SRGB, gamma(1.0), name=b"sRGB linear"))


def test_a_profile_is_known_again_whenever_it_was_made():
    old = rgb_profile(ADOBE_RGB, gamma(1.9))
    new = old[:24] + struct.pack(">6H", 2026, 1, 2, 3, 4, 5) + old[36:84] + bytes(range(16)) + old[100:]
    assert old != new
    assert colour._transform(old, "RGB") is colour._transform(new, "RGB") is not None


def test_no_profile_a_broken_one_and_one_for_other_pixels_leave_colours_alone(make):
    plain = make.picture(60, 40, kind="PNG")
    for profile in (b"", b"junk" * 100, rgb_profile(ADOBE_RGB, gamma(2.2))[:200], grey_profile(1.0)):
        body = make.picture(60, 40, kind="PNG", icc_profile=profile)
        assert make_picture(body, EXACT).data == make_picture(plain, EXACT).data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_wider_space_is_converted(make, kind):
    profile = rgb_profile(ADOBE_RGB, gamma(2.2))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    body = make.picture(60, 40, kind=kind, icc_profile=profile, **lossless)
    expected = through(profile, Image.open(io.BytesIO(body)).convert("RGB"))
    plain = np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)
    assert np.abs(stored(body) - expected).mean() < (3 if kind == "AVIF" else 1)
    assert np.abs(stored(body) - plain).mean() > 4
    assert "icc_profile" not in Image.open(io.BytesIO(make_picture(body, EXACT).data)).info


def test_a_jpeg_in_another_space_does_not_pass(make):
    profile = rgb_profile(ADOBE_RGB, gamma(2.2))
    usual = ImageSettings(size=512, mode="no", enlarge=False, quality=95, max_pixels=10**7)
    assert not make_picture(make.picture(60, 40, icc_profile=profile), usual).passed
    ours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert make_picture(make.picture(60, 40, icc_profile=ours), usual).passed


def test_a_profile_in_several_segments_is_joined(make):
    profile = rgb_profile(ADOBE_RGB, gamma(2.2))
    body = make.picture(60, 40, icc_profile=profile + bytes(150_000))
    assert body.count(b"ICC_PROFILE\0") == 3
    assert np.abs(stored(body) - through(profile, Image.open(io.BytesIO(body)))).mean() < 1


def test_grey_stays_grey(make):
    body = make.picture(60, 40, kind="PNG", mode="L", icc_profile=grey_profile(1.0))
    linear = np.asarray(Image.open(io.BytesIO(body))) / 255
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    made = np.asarray(Image.open(io.BytesIO(make_picture(body, EXACT).data)))
    assert made.ndim == 2
    assert np.abs(made - expected).max() < 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_mixed_as_their_profile_says(make, kind):
    profile = ink_profile()
    body = make.picture(60, 40, kind=kind, mode="CMYK", icc_profile=profile)
    expected = through(profile, Image.open(io.BytesIO(body)))
    assert np.abs(stored(body) - expected).mean() < 1
    assert np.abs(expected[..., 0] - expected[..., 2]).max() < 3  # grey, unlike what inks give without a profile


def test_inks_without_a_profile_are_img2datasets(make):
    for body in (make.picture(60, 40, mode="CMYK"), ycck(make)):
        theirs = cv2.cvtColor(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2RGB)
        assert np.array_equal(stored(body), theirs)
        assert np.abs(stored(body) - np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))).mean() < 4


def ycck(make) -> bytes:
    """A CMYK JPEG that says it holds YCCK: other colours, the same structure."""
    body = bytearray(make.picture(60, 40, mode="CMYK"))
    body[body.index(b"Adobe") + 11] = 2
    return bytes(body)


def stored(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(make_picture(body, EXACT).data)).convert("RGB")).astype(int)


def through(profile: bytes, image: Image.Image) -> np.ndarray:
    """The reference: littlecms with the rule of colour.py, before anything else."""
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        srgb,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(converted).astype(int)


def rgb_profile(primaries, curve: bytes, name: bytes = b"a space") -> bytes:
    tags = {b"desc": described(name), b"wtpt": xyz(0.9642, 1, 0.8249)}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([letter]) + b"XYZ"] = xyz(*primary)
        tags[bytes([letter]) + b"TRC"] = curve
    return icc(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(power: float) -> bytes:
    return icc(b"mntr", b"GRAY", b"XYZ ", {b"desc": described(b"grey"), b"wtpt": xyz(0.9642, 1, 0.8249), b"kTRC": gamma(power)})


def ink_profile() -> bytes:
    """Every ink takes away a quarter of the lightness, and none has a colour."""
    ramp = bytes(range(256))
    corners = b"".join(bytes([255 * (4 - bin(corner).count("1")) // 4, 128, 128]) for corner in range(16))
    identity = b"".join(fixed(float(i % 4 == 0)) for i in range(9))
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2) + identity + ramp * 4 + corners + ramp * 3
    tags = {b"desc": described(b"inks"), b"wtpt": xyz(0.9642, 1, 0.8249), b"A2B0": table, b"A2B1": table}
    return icc(b"prtr", b"CMYK", b"Lab ", tags)


def icc(kind: bytes, space: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2 (ICC.1:2001-04 §6)."""
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI", 128 + len(table) + len(data), 0x02100000) + kind + space + between
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(0.9642, 1, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + data


def described(text: bytes) -> bytes:
    return b"desc" + struct.pack(">4xI", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(fixed, values))


def gamma(power: float) -> bytes:
    return struct.pack(">4s4xIH", b"curv", 1, round(power * 256)) + bytes(2)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
