"""Files made to do harm, and files that are damaged: bounded memory and time, and a name for every refusal."""

import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.download.images.exif import read_exif
from pipeline.download.images.header import TooComplexError, read_header
from pipeline.download.images.image import BadImageError, ImageSettings, make_picture
from pipeline.download.images.png import pixels_only
from pipeline.download.images.room import Room
from pipeline.download.outcomes import RESIZE_FAILURES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as header.py asks, and pytest forgets
EXACT = ImageSettings(size=512, mode="no", enlarge=False, quality=1, max_pixels=10**7, format="png")


def test_gif_frame_larger_than_its_canvas_is_bounded(make):
    body = bytearray(make.picture(30, 20, kind="GIF", mode="P"))
    at = body.index(b"\x2c", 13 + 3 * 256)
    body[at + 5 : at + 9] = struct.pack("<HH", 60000, 60000)
    with pytest.raises(BadImageError, match="too_many_pixels"):
        make_picture(bytes(body), EXACT)


def test_a_gif_that_pillow_finds_larger_than_its_header_was_read_to_say_is_refused(make):
    """A byte that begins no block hides the frame, and with it how far the canvas reaches, from us but not from Pillow."""
    body = bytearray(make.picture(30, 20, kind="GIF", mode="P"))
    body[6:10] = struct.pack("<HH", 1, 50_000)
    body.insert(13 + 3 * 256, 0)
    assert read_header(bytes(body)).width == 1
    with pytest.raises(BadImageError, match="corrupt"):
        make_picture(bytes(body), EXACT)


def test_huge_exif_is_not_read():
    entries = b"".join(struct.pack("<HHII", tag, 5, 400, 800_000) for tag in range(60_000))
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entries + bytes(25 * 10**6)
    started = time.process_time()
    assert read_exif(block) == (1, None)
    assert time.process_time() - started < 0.1


def test_text_and_profiles_of_a_png_are_not_inflated():
    bomb = zlib.compress(bytes(50 * 2**20))
    body = saved(Image.new("RGB", (20, 20), (9, 99, 199)), "PNG")
    at = 8 + 25
    body = body[:at] + chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"iCCP", b"a\0\0" + bomb) + body[at:]
    assert read_header(body).icc == b""
    assert len(pixels_only(body)) < 500
    assert (stored_pixels(body) == (9, 99, 199)).all()


def test_a_png_of_too_many_chunks_is_refused():
    body = saved(Image.new("RGB", (20, 20)), "PNG")
    with pytest.raises(BadImageError, match="too_complex"):
        make_picture(body[:33] + chunk(b"abCd", b"") * 100_001 + body[33:], EXACT)


def test_a_jpeg_of_too_many_passes_is_refused(make):
    body = make.picture(2000, 1500, progressive=True)
    last = body.rindex(b"\xff\xda")
    passes = body[:-2] + body[last:-2] * 2000 + b"\xff\xd9"
    started = time.process_time()
    with pytest.raises(BadImageError, match="too_complex"):
        make_picture(passes, EXACT)
    assert time.process_time() - started < 1


def test_a_gif_of_too_many_blocks_is_refused():
    with pytest.raises(TooComplexError):
        read_header(b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b"\x21\xfe\x01a\0" * 400_000)


def test_a_tiff_of_giant_tiles_is_refused():
    tags = [(256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, 29_984), (323, 20_000), (324, 8), (325, 9)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    body = b"II*\0" + struct.pack("<I", 40) + zlib.compress(bytes(64)).ljust(32, b"\0")
    with pytest.raises(BadImageError, match="too_complex"):
        make_picture(body + struct.pack("<H", len(tags)) + entries + bytes(4), EXACT)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [({"min_size": 51}, "too_small"), ({"max_area": 4999}, "too_large_area"), ({"max_aspect": 1.9}, "too_elongated")],
)
def test_limits_are_checked_before_decoding(make, limit, reason):
    only_the_header = make.picture(100, 50, quality=90)[:700]
    with pytest.raises(BadImageError, match=reason):
        make_picture(only_the_header, settings(**limit))
    within = {"min_size": 50, "max_area": 5000, "max_aspect": 2.0}
    assert make_picture(make.picture(100, 50), settings(**within)).width == 100


def test_enlarging_may_not_make_a_picture_beyond_the_bound():
    body = saved(Image.new("L", (1, 60_000)), "PNG")
    with pytest.raises(BadImageError, match="too_many_pixels"):
        make_picture(body, settings(size=512, mode="keep_ratio", enlarge=True, max_pixels=10**7))


def test_a_side_too_long_for_the_format_is_named():
    with pytest.raises(BadImageError, match="too_long"):
        make_picture(saved(Image.new("L", (1, 66_000)), "PNG"), settings(format="jpg", quality=90))


def test_a_side_of_millions_is_not_decoded():
    body = bytearray(saved(Image.new("L", (64, 3)), "BMP"))
    body[18:22] = struct.pack("<i", 12_000_000)
    with pytest.raises(BadImageError, match="too_long"):
        make_picture(bytes(body), settings(max_pixels=10**8))


def test_what_does_not_fit_in_the_room_waits_its_turn():
    room, order = Room(100), []

    def take(name, size, held):
        with room.taken(size):
            order.append(name)
            held.wait(5)

    first, others = threading.Event(), threading.Event()
    others.set()
    threads = [threading.Thread(target=take, args=("small", 60, first))]
    threads += [threading.Thread(target=take, args=(name, size, others)) for name, size in [("huge", 10**9), ("late", 1)]]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert order == ["small"]
    first.set()
    for thread in threads:
        thread.join()
    assert order == ["small", "huge", "late"]


_SIX_AT_ONCE = """
import sys, threading, zlib, struct
from pipeline.download.images.image import ImageSettings, make_picture
from pipeline.download.images.room import Room

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def picture(side):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(side * (4 * side + 1)), 1))
    return b"\\x89PNG\\r\\n\\x1a\\n" + head + pixels + chunk(b"IEND", b"")

settings = ImageSettings(size=512, mode="keep_ratio_largest", enlarge=False, quality=95, max_pixels=10**8)
make_picture(picture(600), settings)  # so that everything is loaded
body, room, made = picture(4000), Room(150 * 2**20), []
threads = [threading.Thread(target=lambda: made.append(make_picture(body, settings, room=room))) for _ in range(6)]
before = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(made) == 6
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) - before)
"""


def test_six_huge_pictures_at_once_take_the_memory_of_one():
    done = subprocess.run([sys.executable, "-c", _SIX_AT_ONCE], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 250 * 10**6  # one takes 128 MB; six would take 768


_MEMORY_OF_EACH = """
import io, struct, sys, zlib
from PIL import Image
from pipeline.download.images.header import read_header
from pipeline.download.images.image import ImageSettings, make_picture, memory_of

def jpeg_in_scans(width, height):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG", subsampling=0)
    body = file.getvalue()
    at = body.index(b"\\xff\\xda")
    scan = body[at + 2 + int.from_bytes(body[at + 2 : at + 4], "big") : -2]
    heads = (struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, part, 17 * (part > 1), 0, 63, 0) for part in (1, 2, 3))
    return body[:at] + b"".join(head + scan for head in heads) + b"\\xff\\xd9"

def tiff(width, height, samples, bits, inks):
    data = zlib.compress(bytes(width * height * samples * bits // 8), 1)
    data += bytes(len(data) % 2)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, 8 + len(data)), (259, 3, 1, 8), (262, 3, 1, inks)]
    tags += [(273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(data))]
    entries = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\\0" + struct.pack("<I", 8 + len(data) + 2 * samples) + data + struct.pack("<H", bits) * samples + entries

def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

usual = {"size": 256, "mode": "keep_ratio_largest", "enlarge": False, "quality": 90, "max_pixels": 10**8}
whole = {**usual, "mode": "no"}
for name, make, side, changed, boxes in [
    ("jpeg in scans", jpeg_in_scans, (4000, 3000), usual, ()),
    ("tiff of deep inks", lambda *side: tiff(*side, 4, 16, 5), (4000, 3000), usual, ()),
    ("wide tiff", lambda *side: tiff(*side, 3, 8, 2), (200_000, 60), usual, ()),
    ("blurred", jpeg_in_scans, (3000, 2000), whole, [(0, 0, 1, 1)]),
    ("blurred ribbon", jpeg_in_scans, (60_000, 16), whole, [(0, 0, 1, 1)]),
]:
    settings = ImageSettings(**changed)
    make_picture(make(64, 64), settings, boxes=boxes)  # so that everything is loaded
    body = make(*side)
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    make_picture(body, settings, boxes=boxes)
    if peak() - before > 1.1 * memory_of(read_header(body), settings, boxes) + 8e6:
        print(name, peak() - before, memory_of(read_header(body), settings, boxes))
"""


def test_pictures_take_no_more_memory_than_is_estimated():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _MEMORY_OF_EACH], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


SMALL = {
    "JPEG": [{}, {"progressive": True}],
    "PNG": [{}],
    "WEBP": [{}, {"lossless": True}],
    "GIF": [{}],
    "BMP": [{}],
    "TIFF": [{}, {"compression": "tiff_lzw"}],
    "AVIF": [{}],
}


@given(
    st.sampled_from([(kind, number) for kind, options in SMALL.items() for number in range(len(options))]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    st.integers(0, 5000),
)
def test_damaged_bytes_of_any_format_are_stored_or_refused_by_name(make, which, changes, cut):
    kind, number = which
    body = bytearray(make.picture(24, 20, kind=kind, **SMALL[kind][number]))
    for at, value in changes:
        body[at % len(body)] = value
    try:
        made = make_picture(bytes(body[: max(10, len(body) - cut % len(body))]), EXACT)
    except BadImageError as bad:
        assert str(bad) in RESIZE_FAILURES  # noqa: PT017
    else:
        assert made.width * made.height <= EXACT.max_pixels


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
