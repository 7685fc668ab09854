"""What the spark-submit entry points share: a stage's options on the command line, the cluster's session underneath."""

import importlib
import sys

from pipeline.cli import COMMANDS, finish
from pipeline.options import parse
from schemas.errors import UserError


def submit(stage: str) -> int:
    """Run a stage on the session that spark-submit gives; the exit status is the command line's."""
    from pyspark.sql import SparkSession

    command = COMMANDS[stage]
    module = importlib.import_module(command.module)
    try:
        config = parse(getattr(module, command.config), sys.argv[1:], command.summary)
        spark = SparkSession.builder.appName(f"webpairs {stage}").getOrCreate()
        try:
            return finish(module.run(config, spark), config)
        finally:
            spark.stop()
    except UserError as error:
        print(f"webpairs {stage}: {error}", file=sys.stderr)
        return error.exit_code
