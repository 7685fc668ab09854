"""A pool in which one host has half of all URLs, or one text a tenth of all rows: buckets stay even, and memory bounded."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from pipeline.pool import PoolConfig
from pipeline.pool.judge import Rules, judge
from pipeline.pool.write import Account

ROWS, PARTITIONS = 12_000, 16


def rules(dedup):
    return Rules.of(PoolConfig(candidates="in", out="out", dedup=dedup, partitions=PARTITIONS))


def candidates(row, batch, *, hosts=1, texts=1):
    """Pairs of which every `hosts`-th is of one host and every `texts`-th has one text; with 1 none is."""
    made = []
    for number in range(ROWS):
        host = "large" if hosts > 1 and number % hosts == 0 else f"small-{number % 997}"
        text = "image may contain: text" if texts > 1 and number % texts == 0 else f"a picture of number {number}"
        made.append(row(text=text, url=f"https://{host}.example/{number}.jpg", record_offset=number))
    return batch(made)


def rows_of_buckets(judged):
    found = Counter(judged["bucket"].to_pylist())
    return np.array([found[bucket] for bucket in range(PARTITIONS)])


@pytest.mark.parametrize("skew", [{"hosts": 2}, {"texts": 10}, {"hosts": 2, "texts": 10}], ids=str)
def test_buckets_are_even_whatever_host_or_text_the_pairs_have(row, batch, skew):
    found = rows_of_buckets(judge(candidates(row, batch, **skew), rules("uid"), Counter()))
    assert found.sum() == ROWS
    assert found.max() < 1.15 * np.median(found)  # uids are hashes: 750 a bucket, give or take 27


def test_one_text_of_a_tenth_of_all_rows_is_one_bucket_more_and_no_other_is_larger_for_it(row, batch):
    found = np.sort(rows_of_buckets(judge(candidates(row, batch, texts=10), rules("text"), Counter())))
    assert found[-1] > ROWS / 10
    assert found[-2] < 1.2 * np.median(found)


def test_rows_of_one_text_pass_through_in_batches_however_many_they_are(row, batch):
    judged = judge(batch([row(url=f"https://a.example/{number}.jpg") for number in range(1000)]), rules("text"), Counter())
    held, baseline = [], pa.total_allocated_bytes()

    def many():
        """100 batches of 1000 rows with one text, as they come from the shuffle; each its own memory."""
        for _ in range(100):
            held.append(pa.total_allocated_bytes() - baseline)
            yield judged.take(pa.array(np.arange(1000)))

    account = Account()
    kept = list(account.kept(many(), rules("text")))
    assert [rows.num_rows for rows in kept] == [1]
    assert kept[0]["n_records"].to_pylist() == [100 * 1000]
    assert account.counts["dropped_duplicate"] + account.counts["dropped_duplicate_text"] == 100 * 1000 - 1
    assert max(held) < 12 * judged.nbytes  # a batch, and what is made of it
