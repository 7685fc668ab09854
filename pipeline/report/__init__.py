"""report: everything under a data root → one self-contained HTML file, with no script and no request to anywhere."""

from dataclasses import dataclass

from pipeline import io
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReportConfig(StageConfig):
    """What `webpairs report` is told."""

    root: str = option("data root: the folder that holds 1_candidates … 7_ranking", metavar="DIR")
    out: str | None = option("the file to write; without it ROOT/7_ranking/report.html", None, metavar="FILE.html")
    pairs: int = option("kept pairs and dropped pairs shown per filter", 12, metavar="N")


def run(config: ReportConfig, spark: None = None) -> None:
    """Write the report and say where it is. It is no table, so there is no manifest. Raises UserError for an empty root."""
    from pipeline.report.page import render
    from pipeline.report.read import read_root

    if config.pairs < 0:
        raise UsageError(f"--pairs {config.pairs}: give 0 or more")
    out = config.out or io.join(config.root, "7_ranking", "report.html")
    page = render(read_root(config.root), pairs=config.pairs)
    with io.atomic_write(out) as file:
        file.write(page.encode("utf-8"))
    print(f"report: {out}  ({len(page) / 1e6:.1f} MB)")
