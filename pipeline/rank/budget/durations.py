"""A stretch of time as a person writes it (90s, 20min, 1h30min) → seconds, and back."""

import math
import re

from schemas.errors import UsageError

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)min)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_SECONDS = (3600, 60, 1)


def seconds_of(text: str) -> float:
    """Seconds of a time such as 90s, 20min, 6h or 1h30min. Raises UsageError for anything else and for no time at all."""
    found = _TIME.fullmatch(text.strip().lower().replace(" ", ""))
    parts = found.groups() if found else ()
    total = sum(float(part or 0) * unit for part, unit in zip(parts, _SECONDS, strict=bool(parts)))
    if not 0 < total < math.inf:
        raise UsageError(f"--budget {text}: not a time; write hours, minutes and seconds as 6h, 20min, 90s or 1h30min")
    return total


def time_text(seconds: float) -> str:
    """Seconds as `seconds_of` reads them, rounded up: to whole seconds, and from ten minutes on to whole minutes."""
    whole = -int(-seconds // 1)
    if whole < 600:
        minutes, rest = divmod(whole, 60)
        return "".join([f"{minutes}min" if minutes else "", f"{rest}s" if rest or not minutes else ""])
    hours, minutes = divmod(-(-whole // 60), 60)
    return "".join([f"{hours}h" if hours else "", f"{minutes}min" if minutes or not hours else ""])
