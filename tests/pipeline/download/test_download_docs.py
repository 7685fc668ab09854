"""docs/download.md tells every outcome and every option of img2dataset."""

import importlib.util
import inspect
import re
import warnings

import pytest

from pipeline.download.config import DownloadConfig
from pipeline.download.docs import PAGE, with_outcomes


def test_the_table_of_outcomes_is_made_from_the_code():
    assert with_outcomes(PAGE.read_text()) == PAGE.read_text(), "run: python -m pipeline.download.docs"


def test_every_option_that_the_page_names_exists():
    named = {name.replace("-", "_") for name in re.findall(r"`--([a-z-]+)", PAGE.read_text())}
    assert named <= set(DownloadConfig.__dataclass_fields__)


@pytest.mark.skipif(importlib.util.find_spec("img2dataset") is None, reason="needs the extra img2dataset")
def test_every_option_of_img2dataset_is_mapped():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its libraries' own
        from img2dataset import download

    rows = re.findall(r"^\| (`[a-z_`, ]+) \|", PAGE.read_text(), re.MULTILINE)
    mapped = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert set(inspect.signature(download).parameters) <= mapped
