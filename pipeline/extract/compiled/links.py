"""Image links of a page → what is to become of each: its URL by one of the plain ways to resolve it, or left to Python."""

from numba import njit

from pipeline.extract.compiled.json import same
from pipeline.extract.compiled.strings import decode, is_decodable

# Columns of a row of `links`: its page's row, its way, where URL and text stand, and its source's place in others.SOURCES.
LINK_PAGE, WAY, URL_START, URL_END, TEXT_START, TEXT_END, LINK_SOURCE = range(7)
LINK_COLUMNS = 7
IMG = 0  # the source of what the scanner finds

# Ways. The first four name what of the base URL goes before the src: nothing, scheme and colon, up to the host, up to the folder.
VERBATIM, AFTER_SCHEME, AFTER_HOST, AFTER_FOLDER = range(4)
ASK, ASK_RAW = 4, 5  # for Python: url and text decoded, or as they stand in the JSON
GIVEN_URL, GIVEN = 6, 7  # by Python: the URL, or URL and text, in an array of their own
GONE = 8

# What is counted of links.
LINKS_READ, NO_ALT, BLANK_SRC, DATA_URL = range(4)

_SLASH, _HASH, _QUESTION, _COLON, _SEMICOLON, _DOT, _BACKSLASH = 0x2F, 0x23, 0x3F, 0x3A, 0x3B, 0x2E, 0x5C
_HYPHEN, _UNDERSCORE = 0x2D, 0x5F
MOST_URL_BYTES = 8192  # not more than urls.LONGEST_URL_CHARS
_MOST_LABEL_CHARS, _MOST_HOST_CHARS = 63, 253  # RFC 1035


@njit
def settle(data, links, first, end, tally):
    """Decode url and text of links[first:end] in `data` and set their ways."""
    for number in range(first, end):
        link = links[number]
        tally[LINKS_READ] += 1
        if link[TEXT_END] == link[TEXT_START]:
            tally[NO_ALT] += 1
            link[WAY] = GONE
        elif link[URL_END] == link[URL_START]:
            tally[BLANK_SRC] += 1
            link[WAY] = GONE
        elif not is_decodable(data, link[URL_START], link[URL_END]) or not is_decodable(data, link[TEXT_START], link[TEXT_END]):
            link[WAY] = ASK_RAW
        else:
            link[URL_END] = decode(data, link[URL_START], link[URL_END])
            link[TEXT_END] = decode(data, link[TEXT_START], link[TEXT_END])
            if same(data, link[URL_START], link[URL_START] + 2, b"./") and link[URL_START] + 2 < link[URL_END]:
                link[WAY] = _relative_way(data, link[URL_START] + 2, link[URL_END])
                link[URL_START] += 2 if link[WAY] == AFTER_FOLDER else 0
            else:
                link[WAY] = _way(data, link[URL_START], link[URL_END])
            if link[WAY] == GONE:
                tally[DATA_URL] += 1


@njit
def _way(data, start, end):
    """How the src data[start:end] becomes a URL; plain ways only where Python's `resolve` would say the same."""
    first, last = data[start], data[end - 1]
    if first <= 0x20 or last <= 0x20 or first >= 0x80 or last >= 0x80:
        return ASK  # perhaps white space to strip
    if same(data, start, start + 5, b"data:") and start + 5 < end:
        return GONE
    if end - start > MOST_URL_BYTES:
        return ASK  # perhaps too long
    if same(data, start, start + 7, b"http://") and start + 7 < end:
        return VERBATIM if _is_host_usual(data, start + 7, end) else ASK
    if same(data, start, start + 8, b"https://") and start + 8 < end:
        return VERBATIM if _is_host_usual(data, start + 8, end) else ASK
    if first == _SLASH and start + 1 < end and data[start + 1] == _SLASH:
        return AFTER_SCHEME if _is_join_plain(data, start, end) and _is_host_usual(data, start + 2, end) else ASK
    if first == _SLASH:
        return AFTER_HOST if _is_join_plain(data, start, end) else ASK
    return _relative_way(data, start, end)


@njit
def _relative_way(data, start, end):
    """The same for a path that is relative to the page's folder."""
    first, last = data[start], data[end - 1]
    if first <= 0x20 or last <= 0x20 or first >= 0x80 or last >= 0x80 or end - start > MOST_URL_BYTES:
        return ASK
    if first == _SLASH or first == _QUESTION or first == _HASH or first == _DOT or not _is_join_plain(data, start, end):
        return ASK
    for at in range(start, end):
        if data[at] == _COLON or (data[at] == _SLASH and data[at + 1] == _SLASH):
            return ASK  # perhaps a scheme; an empty segment, which urljoin leaves out here
    return AFTER_FOLDER


@njit
def _is_host_usual(data, start, end):
    """Whether an authority from `start` on is a domain name in ASCII and nothing else: no port, user, brackets, escapes."""
    label, dots, underscores = start, 0, False
    for at in range(start, end + 1):
        code = data[at] if at < end else _SLASH
        if code == _DOT or code == _SLASH or code == _QUESTION or code == _HASH or code == _BACKSLASH:
            size = at - label
            if size == 0 or size > _MOST_LABEL_CHARS or data[label] == _HYPHEN or data[at - 1] == _HYPHEN:
                return False
            if code != _DOT:
                is_letter = 0x61 <= data[label] | 0x20 <= 0x7A
                return dots > 0 and is_letter and not underscores and at - start <= _MOST_HOST_CHARS
            label, dots, underscores = at + 1, dots + 1, False
        elif code == _UNDERSCORE:
            underscores = True
        elif not (0x61 <= code | 0x20 <= 0x7A or 0x30 <= code <= 0x39 or code == _HYPHEN):
            return False
    return False


@njit
def _is_join_plain(data, start, end):
    """Whether urljoin only puts something before data[start:end]: no dots to resolve, nothing empty after it to leave out."""
    if data[end - 1] == _QUESTION or data[end - 1] == _HASH:
        return False
    for at in range(start, end):
        code = data[at]
        if code < 0x20 or code == 0x7F or code == _SEMICOLON or code == _BACKSLASH:
            return False
        if (code == _SLASH and data[at + 1] == _DOT) or (code == _QUESTION and data[at + 1] == _HASH):
            return False
    return True
