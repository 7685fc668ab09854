"""How often, and after which waits, what may pass is tried again; and how all of that ends at once when the user says so."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.nap import sleep_using_event

from pipeline.pull.source import PassingError
from schemas.errors import UserError

_LONGEST_WAIT_S = 30.0
_MOST_WITHOUT_A_BYTE = 16
_PROGRESS_BYTES = 1 << 20  # who got that far since the failure before may fail as often again


class NobodyThereError(UserError):
    """The source gave nothing at all for many files in a row: the others need not be tried."""


class StoppedError(Exception):
    """The run ends: whatever is under way stops."""


@dataclass
class Tally:
    """What all files of a run have cost, counted by threads."""

    bytes_downloaded: int = 0
    retries: int = 0
    resumed: int = 0
    files_without_a_byte: int = 0  # that were given up since the last byte came
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, bytes_downloaded: int = 0, retries: int = 0, resumed: int = 0) -> None:
        """Count more."""
        with self._lock:
            self.bytes_downloaded += bytes_downloaded
            self.files_without_a_byte = 0 if bytes_downloaded else self.files_without_a_byte
            self.retries += retries
            self.resumed += resumed

    def given_up(self) -> int:
        """Count a file that was given up; how many were, since the last byte came."""
        with self._lock:
            self.files_without_a_byte += 1
            return self.files_without_a_byte


@dataclass(frozen=True, kw_only=True)
class Patience:
    """The bounds of a run, and its end: `stop` is set when it is to end at once."""

    attempts: int
    first_wait_s: float
    most_bytes: int  # of a file
    tally: Tally = field(default_factory=Tally)
    stop: threading.Event = field(default_factory=threading.Event)

    def persist(self, attempt: Callable[[], None], position: Callable[[], int]) -> None:
        """Call `attempt` until it returns; what came meanwhile, by `position`, bytes, says whether that leads anywhere.

        Raises UserError after so many failures in a row, NobodyThereError where that is so for file after file, StoppedError
        where the run ends, and at once whatever else `attempt` raises.
        """
        row = _Row(self, position)

        def once() -> None:
            self.go_on()
            attempt()

        trying = Retrying(
            retry=retry_if_exception_type(PassingError),
            stop=row.too_long,
            wait=row.wait_s,
            sleep=sleep_using_event(self.stop),
            before_sleep=lambda _state: self.tally.add(retries=1),
            reraise=True,
        )
        try:
            trying(once)
        except PassingError as error:
            told = f"{error}, after {self.attempts} tries; run the same command again to go on"
            if self.tally.given_up() > _MOST_WITHOUT_A_BYTE:
                raise NobodyThereError(f"nothing came for {_MOST_WITHOUT_A_BYTE} files in a row: {told}") from error
            raise UserError(told) from error

    def go_on(self) -> None:
        """Raises StoppedError where the run is to end."""
        if self.stop.is_set():
            raise StoppedError


class _Row:
    """Failures in a row, between which less than _PROGRESS_BYTES came that had not come before."""

    def __init__(self, patience: Patience, position: Callable[[], int]) -> None:
        self._patience, self._position = patience, position
        self._reached = position()
        self._failures = 0

    def too_long(self, _state: RetryCallState) -> bool:
        if self._position() >= self._reached + _PROGRESS_BYTES:
            self._reached, self._failures = self._position(), 0
        self._failures += 1
        return self._failures >= self._patience.attempts

    def wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.after_s if isinstance(error, PassingError) else None
        if asked is not None:
            return asked
        # Up to half more by chance: workers that one fault stopped do not come back in the same instant.
        longest = min(_LONGEST_WAIT_S, self._patience.first_wait_s * 2.0 ** min(self._failures - 1, 16))
        return longest * random.uniform(1, 1.5)
