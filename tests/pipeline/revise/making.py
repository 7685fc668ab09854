"""Shards and lists for tests of revise, and what a revision must leave, said as slowly and plainly as can be."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.addresses import host_of, normalise
from pipeline.download.layout import write_tar
from pipeline.revise import ReviseConfig, run
from schemas.subsets import array_to_uids


def revised(release, out, *entries, folder, **options):
    """The manifest of a revision by one list of these entries per group of them."""
    return run(ReviseConfig(release=str(release), out=str(out), remove=lists(folder, *entries), **options))


def verified(release, *entries, folder, **options):
    """The manifest of a verification by such lists."""
    return run(ReviseConfig(release=str(release), verify=True, remove=lists(folder, *entries), **options))


def lists(folder, *groups):
    """Paths of lists, one per group of entries."""
    paths = []
    for number, entries in enumerate(groups):
        path = folder / f"list{number}.txt"
        path.write_text("".join(f"{entry}\n" for entry in ([entries] if isinstance(entries, str) else entries)))
        paths.append(str(path))
    return tuple(paths)


def rows_of(release):
    """All rows of a release, in order."""
    return [row for path in sorted((release / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def entries_of(path):
    """The uids of a subset file, in order."""
    return array_to_uids(np.load(path))


def sums(release):
    """name → sha256 of the file as it is."""
    return {
        path.relative_to(release).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(release.rglob("*"))
        if path.is_file()
    }


def reason(row, entries, *, bits=4, pages=False):
    """By what a row is on a list of those entries; None where it is not."""
    listed = {entry.lower() for entry in entries}
    urls = {normalise(entry) for entry in entries if "://" in entry}
    domains = {entry.removeprefix("*.") for entry in entries if "." in entry and "://" not in entry}
    phashes = [int(entry, 16) for entry in entries if len(entry) == 16 and "." not in entry]

    def below(url):
        labels = (host_of(url) or "").split(".")
        return any(".".join(labels[at:]) in domains for at in range(len(labels)))

    holds = {
        "uid": row["uid"] in listed,
        "url": normalise(row["url"]) in urls,
        "domain": below(row["url"]),
        "hash": any(hashlib.new(name, row["url"].encode()).hexdigest() in listed for name in ("md5", "sha1", "sha256")),
        "content": row["sha256"] in listed or row["stored_sha256"] in listed,
        "phash": row["phash"] is not None and any((int(row["phash"], 16) ^ other).bit_count() <= bits for other in phashes),
        "page": pages and (normalise(row["page_url"]) in urls or below(row["page_url"])),
    }
    return next((name for name, held in holds.items() if held), None)


def make_shards(folder, rows, *, failed=(), per_shard=10, **others):
    """Shards as download writes them: a sample per row, and a failed one, without a sample, for each of `failed`."""
    folder.mkdir(parents=True)
    for start in range(0, len(rows), per_shard):
        name = f"{start // per_shard:05d}"
        tried = [*rows[start : start + per_shard], *(failed if start == 0 else ())]
        table = [
            {
                "uid": row["uid"],
                "page_url": row["page_url"],
                "caption": row["text"],
                "url": row["url"],
                "key": f"{name}{number:04d}",
                "status": "failed_to_download" if row in failed else "success",
                "error_message": "http_404" if row in failed else None,
                "sha256": None if row in failed else row["sha256"],
                **{name: make(row) for name, make in others.items()},
            }
            for number, row in enumerate(tried)
        ]
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
        stats = {"count": len(table), "successes": sum(each["status"] == "success" for each in table), "duration": 1.5}
        (folder / f"{name}_stats.json").write_text(json.dumps(stats))
        with (folder / f"{name}.tar").open("wb") as file:
            write_tar(file, [member for each in table if each["status"] == "success" for member in members(each)])
    (folder / "sizes.json").write_text("{}")
    return folder


def members(told):
    """The three members of a sample."""
    yield f"{told['key']}.jpg", b"image of " + told["uid"].encode() * 9
    yield f"{told['key']}.json", json.dumps(told).encode()
    yield f"{told['key']}.txt", told["caption"].encode()
