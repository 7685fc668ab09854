"""A small web, generated once for all tests of the demo."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

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
