"""budget.json: how far a plan has come, and what time it took until then, over all commands that worked on it."""

import json
import time

from pipeline import io
from pipeline.manifest import hash_of, to_json
from pipeline.rank.budget.plan_file import Schedule

SPENT_NAME = "budget.json"


class Spent:
    """The time spent on a plan and the rounds begun. A round that was begun is brought to its end by whoever goes on."""

    def __init__(self, out: str) -> None:
        self._path = io.join(out, SPENT_NAME)
        self._started = time.monotonic()
        self._before_s = 0.0
        self._plan = ""
        self.rounds_begun = 0
        self.left_out: list[int] = []  # rounds, known once no other is begun

    @property
    def here_s(self) -> float:
        """By this command."""
        return time.monotonic() - self._started

    @property
    def seconds(self) -> float:
        """By all commands that worked on the plan."""
        return self._before_s + self.here_s

    def take_up(self, schedule: Schedule) -> None:
        """Go on from what stands in the file, if it tells of this plan; else begin it. A damaged file counts as none."""
        self._plan = hash_of(json.loads(to_json(schedule)))
        try:
            told = json.loads(io.read_bytes(self._path)) if io.exists(self._path) else {}
            if told.get("plan") == self._plan:
                self._before_s, self.rounds_begun = float(told["spent_s"]), int(told["rounds_begun"])
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        self.save()

    def save(self) -> None:
        """Write the file."""
        told = {
            "plan": self._plan,
            "spent_s": round(self.seconds, 3),
            "rounds_begun": self.rounds_begun,
            "rounds_left_out": self.left_out,
        }
        with io.atomic_write(self._path) as file:
            file.write(to_json(told))
