"""A WAT with 100 times the rows of the others: memory does not follow it, and the others do not wait for it."""

import subprocess
import sys
import textwrap

import pyarrow.parquet as pq

from pipeline.extract import ExtractConfig, run

SMALL_ROWS, TIMES = 500, 100
SCRIPT = """
    import resource, sys
    from pipeline.extract import ExtractConfig, run

    def peak_mb():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    small, large, out = sys.argv[1:]
    run(ExtractConfig(out=out + "/small", wat=(small,)))
    before = peak_mb()
    manifest = run(ExtractConfig(out=out + "/large", wat=(large,)))
    print(manifest.counts["rows_out"], peak_mb() - before)
    """


def write_wat(path, make, first, rows):
    """A WAT of pages with 100 images each, `first` and on."""
    members = []
    for start in range(first, first + rows, 100):
        links = [
            make.image(f"/{number:08d}.jpg", f"a picture of number {number} in a row") for number in range(start, start + 100)
        ]
        members.append(make.member(make.record(make.page(links, url=f"https://page-{start}.example/"))))
    path.write_bytes(b"".join(members))


def test_its_task_needs_little_more_memory_than_a_usual_one(make, tmp_path):
    small, large = tmp_path / "small.warc.wat.gz", tmp_path / "large.warc.wat.gz"
    write_wat(small, make, 0, SMALL_ROWS)
    write_wat(large, make, SMALL_ROWS, SMALL_ROWS * TIMES)
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(small), str(large), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rows, more_mb = map(int, ran.stdout.splitlines()[-1].split())
    assert rows == SMALL_ROWS * TIMES
    assert more_mb < 60  # 50,000 rows: buffers of 32,768 rows are filled, and the table of uids has grown


def test_it_is_one_part_beside_others_and_all_their_rows_stand(make, tmp_path):
    for number in range(6):
        times = TIMES // 10 if number == 0 else 1
        write_wat(tmp_path / f"{number}.warc.wat.gz", make, number * 10**6, SMALL_ROWS * times)
    manifest = run(ExtractConfig(out=str(tmp_path / "out"), wat=(str(tmp_path / "*.wat.gz"),), workers=2))
    rows = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert sorted(rows) == [SMALL_ROWS] * 5 + [SMALL_ROWS * TIMES // 10]
    assert manifest.counts["rows_out"] == sum(rows)
