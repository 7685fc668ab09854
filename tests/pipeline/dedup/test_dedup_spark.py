"""Dedup on Spark writes what dedup in one process writes, byte for byte."""

import pytest

from pipeline.dedup import DedupConfig, run


@pytest.mark.parametrize("clusters", [0, 4])
def test_spark_writes_the_same_bytes(pool_of_copies, tmp_path, spark, are_same, clusters):
    kinds = ("semantic", "exact", "perceptual")
    alone = run(DedupConfig(metadata=str(pool_of_copies), out=str(tmp_path / "alone"), by=kinds, clusters=clusters))
    shared = run(DedupConfig(metadata=str(pool_of_copies), out=str(tmp_path / "spark"), by=kinds, clusters=clusters), spark)
    assert are_same(tmp_path / "alone", tmp_path / "spark")
    assert alone.counts == shared.counts
    assert not (tmp_path / "spark/_clusters").exists()


def test_a_file_that_cannot_be_read_costs_itself_there_too(pool_of_copies, tmp_path, spark, are_same):
    (pool_of_copies / "00002.npz").write_bytes(b"PK\x03\x04")
    one, other = (DedupConfig(metadata=str(pool_of_copies), out=str(tmp_path / name), clusters=3) for name in ("alone", "spark"))
    alone, shared = run(one), run(other, spark)
    assert are_same(tmp_path / "alone", tmp_path / "spark")
    assert alone.failed_inputs == shared.failed_inputs
    assert shared.parts == ("00000", "00001")
