"""Untrusted text and numbers → what a reader sees: control characters made visible, counts, sizes and times with units."""

import unicodedata
from datetime import UTC, datetime
from math import isnan

# Bidirectional controls and zero-width characters: they change what is read without being seen.
_HIDDEN = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x2028, 0x2029}


def visible(value: object, most: int = 300) -> str:
    """`value` as text in which every control character shows as its code, ⟨U+202E⟩.

    Escaping is the template's work; this is about what escaping leaves: characters that reorder or hide text. More than `most`
    characters are cut, and the length is told.
    """
    text = str(value)
    shown = "".join(map(_shown, text[:most]))
    return shown if len(text) <= most else f"{shown}… ({len(text):,} characters)"


def _shown(character: str) -> str:
    hidden = ord(character) in _HIDDEN or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn")
    return f"⟨U+{ord(character):04X}⟩" if hidden else character


def words(name: str) -> str:
    """A count's name as words: dropped_opt_out → opt out, failed_to_download_http_404 → HTTP 404."""
    for prefix in ("dropped_", "failed_to_download_", "failed_to_resize_"):
        name = name.removeprefix(prefix)
    return visible(name.replace("_", " ")).replace("http ", "HTTP ")


def share(part: float, whole: float) -> str:
    """`part` ÷ `whole` in percent, with the digits that matter: 42 %, 4.2 %, 0.04 %."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if percent >= 99.95 or percent == 0:
        return f"{percent:.0f} %"
    digits = 1 if percent >= 1 else 2
    return f"{percent:.{digits}f} %" if percent >= 0.01 else "< 0.01 %"


def moment(started_at: str) -> str:
    """A manifest's time, 2025-03-01T10:00:00+00:00, as 2025-03-01 10:00 UTC; what is no such time as it is."""
    try:
        return datetime.fromisoformat(started_at).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return visible(started_at)


def duration(seconds: float) -> str:
    """Seconds as 0.4 s, 42 s, 3 min 20 s or 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes: int) -> str:
    """Bytes as MB or GB (powers of ten)."""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def count(number: int) -> str:
    """A count with thousands separated: 12,345."""
    return f"{number:,}"


def percent(fraction: float | None) -> str:
    """A fraction as percent with one digit, without the sign; a dash where it is unknown."""
    return "–" if fraction is None or isnan(fraction) else f"{100 * fraction:.1f}"
