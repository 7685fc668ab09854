"""plan.json: a plan with all that it came from, written before the first run and taken again by the run that goes on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import io
from pipeline.manifest import to_json
from pipeline.rank.budget.controls import Arm
from pipeline.rank.budget.plan import Cost, Design
from pipeline.rank.budget.power import Noise
from schemas.errors import UserError

PLAN_NAME = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is run, and why: times in s. `options`: those it was made with; `noise`: of each scale in `designs`."""

    options: dict[str, Any]
    budget_s: float
    prepared_s: float  # decoding and timing
    decoded_s: float  # of it, decoding
    reserve_s: float  # kept for the ranking
    workers: int
    arms: tuple[Arm, ...]
    costs: dict[str, Cost]  # of the scales that were timed
    designs: tuple[Design, ...]
    first_seed: int
    noise: dict[str, Noise]

    def seeds(self, design: Design) -> range:
        """The seeds of every arm."""
        return range(self.first_seed, self.first_seed + design.seeds)


def write_plan(schedule: Schedule, out: str) -> None:
    """Write plan.json."""
    with io.atomic_write(io.join(out, PLAN_NAME)) as file:
        file.write(to_json(schedule))


def read_plan(out: str, options: Mapping[str, Any]) -> Schedule | None:
    """The plan that stands in the folder; None where there is none, or one for other options.

    Raises UserError where it is damaged, or a control that it names is gone.
    """
    path = io.join(out, PLAN_NAME)
    if not io.exists(path):
        return None
    try:
        told = json.loads(io.read_bytes(path))
        found = _schedule(told)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan ({error}); remove it, and the time is planned anew") from error
    if found.options != options:
        return None
    gone = next((arm.subset for arm in found.arms if not io.exists(arm.subset)), None)
    if gone:
        raise UserError(f"{gone}: {path} was made with it, and it is gone; remove the plan, and the time is planned anew")
    return found


def _schedule(told: dict[str, Any]) -> Schedule:
    arms = tuple(Arm(**{**arm, "control_of": tuple(arm["control_of"])}) for arm in told["arms"])
    made = {
        "arms": arms,
        "costs": {name: Cost(**cost) for name, cost in told["costs"].items()},
        "designs": tuple(Design(**design) for design in told["designs"]),
        "noise": {name: Noise(**noise) for name, noise in told["noise"].items()},
    }
    return Schedule(**{**told, **made})


__all__ = ["PLAN_NAME", "Schedule", "read_plan", "write_plan"]
