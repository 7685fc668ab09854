"""Rounds: what may still begin within the budget, what a killed command goes on with, and what a table says of it."""

import json
import time
from dataclasses import replace

import pytest

from pipeline.rank.budget.controls import Arm
from pipeline.rank.budget.plan import Cost, Design
from pipeline.rank.budget.plan_file import Schedule, read_plan, write_plan
from pipeline.rank.budget.power import Noise
from pipeline.rank.budget.rounds import Guard
from pipeline.rank.budget.spent import Spent
from pipeline.rank.budget.table import outcome_lines, plan_lines
from pipeline.rank.running import Begun, Ended, in_rounds, visible_as
from pipeline.train import TrainConfig
from pipeline.workers import worker_processes
from schemas.errors import UserError

NOISE = Noise(seed_sd=0.02, item_variance=1e-4, source="assumed: so")


def schedule(*, first_seed=0, subset="a.npy"):
    """For 100 s: 3 arms, 4 seeds, runs of 5 s, 100 steps of 10 samples."""
    cost = Cost(seconds_per_step=5 / 100, seconds_beside=0.0, batch_size=10, own_samples=1000, least_samples=100)
    return Schedule(
        options={"scale": ["demo", "micro"], "out": "out", "most_seeds": 8},
        budget_s=100.0,
        prepared_s=3.0,
        decoded_s=1.0,
        reserve_s=5.0,
        workers=1,
        arms=tuple(Arm(name=name, subset=subset, rows=100) for name in ("no_filter", "a", "random_like_a")),
        costs={"demo": cost},
        designs=(Design(scale="demo", seeds=4, samples_seen=1000, seconds=60.0),),
        first_seed=first_seed,
        noise={"demo": NOISE},
    )


def settings(seed=0, subset="a.npy", **more):
    return TrainConfig(**{"shards": "s", "scale": "demo", "out": "m", **more}, subset=subset, seed=seed)


def spent(tmp_path, plan, seconds=0.0, begun=0):
    """A journal that tells of so much."""
    first = Spent(str(tmp_path))
    first.take_up(plan)
    path = tmp_path / "budget.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "spent_s": seconds, "rounds_begun": begun}))
    again = Spent(str(tmp_path))
    again.take_up(plan)
    return again


def guard(tmp_path, seconds=0.0, begun=0, workers=1):
    plan = schedule()
    return Guard(plan, spent(tmp_path, plan, seconds, begun), workers)


def test_a_round_begins_where_it_ends_within_the_budget(tmp_path):
    assert guard(tmp_path, seconds=80).may_begin(1, [])
    assert not guard(tmp_path, seconds=84).may_begin(1, [])


def test_the_first_round_begins_whatever_was_spent_and_so_does_one_that_was_begun_before(tmp_path):
    assert guard(tmp_path, seconds=500).may_begin(0, [])
    late = guard(tmp_path, seconds=500, begun=3)
    assert [late.may_begin(number, []) for number in (1, 2, 3)] == [True, True, False]


def test_runs_slower_than_planned_leave_rounds_out(tmp_path):
    slow = guard(tmp_path, seconds=70)
    assert slow.may_begin(1, [])
    for number in range(3):
        slow.note(Ended(round=1, settings=settings(number), seconds=10.0))
    assert slow.slowness == {"demo": pytest.approx(2.0)}
    assert not slow.may_begin(2, [])


def test_runs_that_stood_before_say_nothing_of_the_speed(tmp_path):
    again = guard(tmp_path, begun=2)
    again.note(Ended(round=1, settings=settings(), seconds=0.1))
    assert again.slowness == {}


def test_runs_under_way_and_workers_are_reckoned_with(tmp_path):
    under_way = [Begun(round=0, settings=settings(), since=time.monotonic())]
    assert guard(tmp_path, seconds=78).may_begin(1, [])
    assert not guard(tmp_path, seconds=78.5).may_begin(1, under_way)
    assert guard(tmp_path, seconds=86, workers=2).may_begin(1, under_way)


def test_what_was_spent_and_begun_is_kept_for_the_same_plan_only(tmp_path):
    plan = schedule()
    assert spent(tmp_path, plan, seconds=60, begun=2).rounds_begun == 2
    again = Spent(str(tmp_path))
    again.take_up(replace(plan, first_seed=1))
    assert (again.rounds_begun, again.seconds < 30) == (0, True)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"plan": 1}'])
def test_a_damaged_journal_counts_as_none(tmp_path, damage):
    (tmp_path / "budget.json").write_bytes(damage)
    again = Spent(str(tmp_path))
    again.take_up(schedule())
    assert again.rounds_begun == 0


def test_a_plan_reads_back_as_it_was_written_and_only_for_its_options(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    plan = schedule(subset=str(tmp_path / "a.npy"))
    write_plan(plan, str(tmp_path))
    assert read_plan(str(tmp_path), plan.options) == plan
    assert read_plan(str(tmp_path), {**plan.options, "most_seeds": 3}) is None
    assert read_plan(str(tmp_path / "other"), plan.options) is None


def test_a_plan_that_is_damaged_or_whose_control_is_gone_is_named(tmp_path):
    plan = schedule(subset=str(tmp_path / "gone.npy"))
    write_plan(plan, str(tmp_path))
    with pytest.raises(UserError, match=r"gone\.npy.*remove the plan"):
        read_plan(str(tmp_path), plan.options)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match=r"plan\.json: not a plan"):
        read_plan(str(tmp_path), plan.options)


def test_the_table_tells_arms_runs_and_what_they_detect():
    lines = plan_lines(schedule(), 1)
    text = "\n".join(lines)
    assert "no_filter       100             10.0  control: all of the pool" in text
    assert "demo   4 (0 to 3)         1,000    12      1.0" in text
    assert "assumed: so" in text
    assert "micro: left out" in text
    assert max(map(len, lines)) <= 130


def test_rounds_left_out_are_named_by_their_seeds(tmp_path):
    plan = schedule(first_seed=2)
    journal = spent(tmp_path, plan)
    journal.left_out = [2, 3]
    lines = outcome_lines(plan, journal, [])
    assert lines[0] == "left out at demo, of every arm alike, as runs took longer than timed: seeds 4, 5"
    assert "budget: 1min40s given" in lines[-1]


def test_a_card_is_called_as_the_environment_calls_it():
    assert visible_as(1, {}) == "1"
    assert visible_as(1, {"CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b"}) == "GPU-b"


def test_a_run_that_fails_names_its_filter_and_seed(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"no subset")
    run = settings(seed=5, subset=str(tmp_path / "broken.npy"), shards=str(tmp_path), out=str(tmp_path / "m"))
    with worker_processes(1) as processes, pytest.raises(UserError, match=r"^broken, scale demo, seed 5: .*not a subset"):
        list(in_rounds(processes, [[run]], "evals", workers=1))
