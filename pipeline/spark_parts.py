"""A stage's parts on Spark: a task per part; what the tasks hand in, the driver settles while they run."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipeline import io
from pipeline.attempts import Inbox
from pipeline.ledger import meanwhile
from pipeline.manifest import PartReport, Run
from pipeline.stage import FILES_GONE, Part, failed
from schemas.errors import UserError

_Answer = str | PartReport  # the record that was handed in, or the report of a failure


def on_spark(spark: Any, do: Callable[[str, Part], _Answer], parts: Sequence[Part], run: Run) -> list[PartReport]:
    """`do(inbox, part)` of every part in one Spark job, a task each; the report of every part that stands, or of its failure.

    One job and one action: parts need nothing of each other, so nothing waits for the slowest but the end. What comes back
    through Spark is a path per part; reports, with their facts, go through the inbox. Raises UserError where a task failed more
    often than Spark tries it; what was handed in until then stands.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if not parts:
        return []
    inbox, tag = Inbox(io.absolute(run.out)), f"webpairs-{secrets.token_hex(8)}"
    tasks = spark.sparkContext.parallelize(parts, len(parts)).map(partial(do, inbox.path))

    def collect() -> list[_Answer]:
        spark.sparkContext.addJobTag(tag)  # of this thread's jobs
        return list(tasks.collect())

    try:
        answers = meanwhile(collect, partial(_look, inbox, spark, tag), total=len(parts), label=run.stage)
    except (PySparkException, Py4JError) as error:
        raise UserError(
            f"{run.stage}: Spark gave up ({reason(error)}); run the same command again to go on where it stopped"
        ) from error
    named = {part.name: answer for part, answer in zip(parts, answers, strict=True)}
    # A file system may be slow to list what was just written: these are asked for by name.
    inbox.take([record for name, record in named.items() if isinstance(record, str) and name not in inbox.settled])
    return [inbox.settled.get(part.name) or _failure(part, named[part.name]) for part in parts]


def _look(inbox: Inbox, spark: Any, tag: str) -> int:
    try:
        return inbox.look()
    except BaseException:
        spark.sparkContext.cancelJobsWithTag(tag)  # a full disk: what else the job makes could not be settled either
        raise


def _failure(part: Part, answer: _Answer) -> PartReport:
    if isinstance(answer, PartReport):
        return answer
    return failed(part, FILES_GONE)


def reason(error: Exception) -> str:
    """The line of what Spark or Java says that tells what happened."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if "Exception" in line or "Error" in line), str(error)[:300])
