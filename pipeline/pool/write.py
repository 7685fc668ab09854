"""After the shuffle: one bucket's sorted rows become one part of the pool and its report."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.addresses import domain_of, host_of
from pipeline.ledger import write_report
from pipeline.manifest import InputReport, PartReport, peak_rss_bytes
from pipeline.pool.judge import Rules, read_tallies
from pipeline.pool.language import identify
from pipeline.pool.refuse import by_first_reason
from pipeline.pool.survive import Batches, survivors, survivors_of_texts, survivors_of_urls
from pipeline.row_groups import in_groups
from pipeline.stage import Part, PartFolder, part_folder
from schemas.pool import POOL

GROUP_ROWS = 1 << 16  # rows of a parquet row group: fixed, so that the bytes do not depend on how the rows arrived


class Account:
    """The counts of one bucket, and of the files whose tallies came here."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(rows_out=0)
        self.inputs: list[InputReport] = []

    def without_tallies(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that carry a pair; the tallies among them are taken down."""
        for batch in batches:
            is_tally = pc.is_valid(batch["tally"])
            for report, counts in read_tallies(batch.filter(is_tally)["tally"].to_pylist()):
                self.inputs.append(report)
                self.counts.update(counts)
            yield batch.filter(pc.invert(is_tally))

    def kept(self, batches: Iterable[pa.RecordBatch], rules: Rules) -> Iterator[pa.RecordBatch]:
        """One row per uid, and one per URL or text where the rules say so, of pages that do not opt out; the others are counted.

        A page that opts out speaks for all copies of its pair, and in dedup by URL for its image; in dedup by text its pairs are
        gone before texts are compared.
        """
        pairs = self._one_per_uid(batches)
        if rules.dedup == "text":
            allowed = self._without_opted_out(pairs, rules)
            rows = self._others_counted(allowed, survivors_of_texts, "dropped_duplicate_text")
        else:
            urls = self._others_counted(pairs, survivors_of_urls, "dropped_duplicate_url") if rules.dedup == "url" else pairs
            rows = self._without_opted_out(urls, rules)
        for batch in rows:
            self.counts["rows_out"] += batch.num_rows
            yield batch

    def _without_opted_out(self, batches: Iterable[pa.RecordBatch], rules: Rules) -> Iterator[pa.RecordBatch]:
        """Rows that may stay; opt-outs are counted by reason."""
        outcome = "dropped_opt_out" if rules.drops_opted_out else "flagged_opt_out"
        for batch in batches:
            for reason, count in by_first_reason(batch["opt_outs"]).items():
                self.counts[f"{outcome}_{reason}"] += count
            yield batch.filter(pc.equal(batch["opt_outs"], 0)) if rules.drops_opted_out else batch

    def _one_per_uid(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in survivors(batches):
            self.counts["dropped_duplicate"] += pc.sum(batch["n_records"]).as_py() - batch.num_rows
            yield batch

    def _others_counted(self, batches: Batches, survivors: Callable[[Batches], Batches], reason: str) -> Iterator[pa.RecordBatch]:
        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                self.counts[reason] += batch.num_rows
                yield batch

        for batch in survivors(counted()):
            self.counts[reason] -= batch.num_rows
            yield batch


def write_bucket(bucket: int, batches: Iterable[pa.RecordBatch], rules: Rules) -> PartReport:
    """Write part-NNNNN.parquet from JUDGED rows in order of EARLIEST (no file where none survives), then its report: done."""
    started = time.monotonic()
    part = Part(name=rules.part_name(bucket))
    account = Account()
    with part_folder(rules.out, part) as folder:
        kept = account.kept(account.without_tallies(batches), rules)
        _write(folder, f"{part.name}.parquet", kept, rules.language_model)
        files = folder.commit()
    report = PartReport(
        name=part.name,
        counts=dict(sorted((name, count) for name, count in account.counts.items() if count or name == "rows_out")),
        inputs=tuple(sorted(account.inputs, key=lambda report: report.path)),
        files=files,
        duration_s=round(time.monotonic() - started, 3),
        peak_rss_bytes=peak_rss_bytes(),
    )
    write_report(rules.out, report)
    return report


def _write(folder: PartFolder, name: str, batches: Iterable[pa.RecordBatch], language_model: str) -> None:
    groups = in_groups((pa.Table.from_batches([batch]) for batch in batches), GROUP_ROWS)
    first = next(groups, None)
    if first is None:
        return
    with folder.open(name) as file, pq.ParquetWriter(file, POOL, compression="zstd") as writer:
        writer.write_table(_pool_rows(first, language_model), row_group_size=GROUP_ROWS)
        for group in groups:
            writer.write_table(_pool_rows(group, language_model), row_group_size=GROUP_ROWS)


def _pool_rows(table: pa.Table, language_model: str) -> pa.Table:
    langs, probabilities = identify(table["text"].to_pylist(), language_model)
    domains = [domain_of(host_of(url) or "") for url in table["url"].to_pylist()]
    added = {
        "lang": pa.array(langs, pa.string()),
        "lang_prob": pa.array(probabilities, pa.float32()),
        "domain": pa.array(domains, pa.string()),
        "opted_out": pc.not_equal(table["opt_outs"], 0),
    }
    columns = [added[field.name] if field.name in added else table[field.name].cast(field.type) for field in POOL]
    # In one chunk: how the rows were chunked on their way would show in the bytes.
    return pa.Table.from_arrays(columns, schema=POOL).combine_chunks()
