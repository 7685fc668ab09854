"""What the spark-submit entry points share: a stage's options on the command line, the cluster's session underneath."""

import importlib
import sys

from pipeline.cli import COMMANDS, finish, guarded
from pipeline.options import parse


def submit(stage: str) -> int:
    """Run a stage on the session that spark-submit gives; the exit status is the command line's."""
    return guarded(f"webpairs {stage}", lambda: _run(stage))


def _run(stage: str) -> int:
    from pyspark.sql import SparkSession

    command = COMMANDS[stage]
    module = importlib.import_module(command.module)
    config = parse(getattr(module, command.config), sys.argv[1:], command.summary)
    spark = SparkSession.builder.appName(f"webpairs {stage}").getOrCreate()
    try:
        return finish(module.run(config, spark), config)
    finally:
        spark.stop()
