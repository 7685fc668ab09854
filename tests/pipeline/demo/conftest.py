"""A small web, generated once for all tests of the demo."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from pipeline.demo.site import write_site
from pipeline.demo.truth import write_truth
from pipeline.demo.wat import write_wats
from pipeline.demo.web import plan_web

PAIRS = 600


@pytest.fixture(scope="session")
def small_web(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The plan (web) and its folders: site, wats, truth."""
    folder: Path = tmp_path_factory.mktemp("web")
    web = plan_web(PAIRS, seed=5)
    with ThreadPoolExecutor(1) as pool:
        write_site(f"{folder}/site", web, pool)
    wats = write_wats(f"{folder}/wat", web, files=2)
    write_truth(f"{folder}/truth.parquet", web)
    return SimpleNamespace(web=web, folder=folder, site=f"{folder}/site", wats=wats, truth=f"{folder}/truth.parquet")


@pytest.fixture(scope="session")
def kinds_by_uid(small_web: SimpleNamespace) -> dict[str, str]:
    """Kind by uid; of a pair that stands on several pages, the kind of its original."""
    kinds: dict[str, str] = {}
    for row in pq.read_table(small_web.truth, columns=["uid", "kind"]).to_pylist():
        if row["uid"] is not None and kinds.get(row["uid"], "duplicate_exact") == "duplicate_exact":
            kinds[row["uid"]] = row["kind"]
    return kinds
