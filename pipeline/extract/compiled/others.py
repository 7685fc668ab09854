"""Whether a piece of a page may be an image besides <img>. Only what surely is none is refused here: Python reads the rest.

`wanted` is a mask of the bits in compiled.sources.
"""

from numba import njit

from pipeline.extract.compiled.json import BACKSLASH, lower, same_letters
from pipeline.extract.compiled.simd import LANES, lowest_bit, pairs_of, quotes_or_escapes
from pipeline.extract.compiled.sources import OG_IMAGE, VIDEO_POSTER

_QUESTION, _HASH, _DOT = 0x3F, 0x23, 0x2E


@njit
def may_name_image(data, start, end):
    """Whether the path in the raw URL data[start:end] may end with the extension of an image; a quote must stand at `end`."""
    at = start
    while at < end:
        found = pairs_of(data, at, _QUESTION, _QUESTION, 0) | pairs_of(data, at, _HASH, _HASH, 0) | quotes_or_escapes(data, at)
        if found:
            at += lowest_bit(found)
            break
        at += LANES
    if at < end:
        return data[at] == BACKSLASH or _has_extension(data, start, at)
    if start < end and (data[end - 1] <= 0x20 or data[end - 1] >= 0x80):
        return True  # perhaps white space to strip
    return _has_extension(data, start, end)


@njit
def _has_extension(data, start, end):
    """Whether data[start:end] ends as one of others._EXTENSIONS, in any case."""
    if end - start >= 4 and data[end - 4] == _DOT:
        at = end - 3
        return (
            same_letters(data, at, end, b"jpg")
            or same_letters(data, at, end, b"png")
            or same_letters(data, at, end, b"gif")
            or same_letters(data, at, end, b"bmp")
            or same_letters(data, at, end, b"tif")
        )
    if end - start >= 5 and data[end - 5] == _DOT:
        at = end - 4
        return (
            same_letters(data, at, end, b"jpeg")
            or same_letters(data, at, end, b"webp")
            or same_letters(data, at, end, b"tiff")
            or same_letters(data, at, end, b"avif")
        )
    return False


@njit
def may_be_open_graph(data, start, end, wanted):
    """Whether the raw name of a meta, once decoded, trimmed and in lower case, may be an image's, or that of a text for one."""
    if start == end or not wanted & (OG_IMAGE | VIDEO_POSTER):
        return False
    unusual = data[start] <= 0x20 or data[end - 1] <= 0x20 or data[start] >= 0x80 or data[end - 1] >= 0x80
    if unusual:
        return True
    for at in range(start, end):
        if data[at] == BACKSLASH:
            return True
    if lower(data[start]) != 0x6F:
        return False
    return (
        same_letters(data, start, end, b"og:title")
        or same_letters(data, start, end, b"og:description")
        or (wanted & OG_IMAGE != 0 and same_letters(data, start, end, b"og:image"))
        or (wanted & OG_IMAGE != 0 and same_letters(data, start, end, b"og:image:url"))
    )
