"""rank --budget: what fits in a time is planned, trained, evaluated and then ranked.

OUT/plan.json is the plan, OUT/budget.json how far it has come: a command that was killed goes on with both, and the time that it
had spent counts.
"""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from pipeline import io
from pipeline.manifest import CONFIG_NAME, Manifest, Run, output_config
from pipeline.rank.budget.plan_file import Schedule, read_plan
from pipeline.rank.budget.planning import make_schedule
from pipeline.rank.budget.rounds import run_rounds
from pipeline.rank.budget.spent import Spent
from pipeline.rank.budget.standing import standing_results
from pipeline.rank.budget.table import outcome_lines, plan_lines
from pipeline.stage import begin
from pipeline.workers import worker_processes
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.rank import RankConfig


def rank_within_budget(config: "RankConfig") -> Manifest:
    """See pipeline.rank.run. Where only the plan is asked for, the manifest counts the runs planned and stands nowhere.

    Raises UserError where not even the least plan fits, and naming the run that fails.
    """
    from pipeline.rank.ranking import rank

    spent = Spent(config.out)
    if io.exists(io.join(config.out, CONFIG_NAME)):
        with begin("rank", config, out=config.out):
            pass  # refuses a folder made with other options now, not after hours
    with worker_processes(config.workers) as processes:
        schedule = read_plan(config.out, output_config(config)) or _planned(config, spent, processes)
        print("\n".join(plan_lines(schedule, config.workers)), flush=True)
        if config.dry_run:
            return _plan_only(config, schedule)
        with begin("rank", config, out=config.out):
            spent.take_up(schedule)
            run_rounds(config, schedule, spent, processes)
            manifest = rank(config)
    spent.save()
    print("\n".join(outcome_lines(schedule, spent, standing_results(config.models))), flush=True)
    return manifest


def _planned(config: "RankConfig", spent: Spent, processes: ProcessPoolExecutor) -> Schedule:
    try:
        return make_schedule(config, spent, processes)
    except BrokenProcessPool as error:
        raise UserError(
            f"{config.shards}: a worker process died (killed, or out of memory) while runs on it were timed, "
            f"{config.workers} at once; give fewer --workers if memory ran out"
        ) from error


def _plan_only(config: "RankConfig", schedule: Schedule) -> Manifest:
    run = Run.begun("rank", config.out, {"stage": "rank", **output_config(config)})
    runs = sum(design.seeds * len(schedule.arms) for design in schedule.designs)
    return run.manifest(counts={"runs_planned": runs}, inputs=(), parts=(), facts={})
