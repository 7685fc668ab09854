"""A shard that stands already, for --retry-failed: which of its rows are not to be asked again, and what they have."""

import tarfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.download.outcomes import SUCCESS, may_pass_later
from pipeline.ledger import reports_of


class Standing:
    """The sidecar of a finished shard, and its images."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder, self._name = folder, name
        with io.open_read(io.join(folder, f"{name}.parquet")) as file:
            self.table = pq.read_table(file)
        outcomes = zip(self.table["status"].to_pylist(), self.table["error_message"].to_pylist(), strict=True)
        self.kept = [status == SUCCESS or not may_pass_later(reason or "") for status, reason in outcomes]

    @classmethod
    def of(cls, folder: str, name: str) -> "Standing | None":
        """The shard `name`, None where it does not stand whole."""
        return cls(folder, name) if reports_of(folder, [name]) else None

    def merged(self, fresh: pa.Table) -> pa.Table:
        """Its own rows where they are kept, else those of `fresh`, which has one row for each of them."""
        both = pa.concat_tables([self.table.cast(fresh.schema), fresh])
        return both.take([row if kept else row + len(self.kept) for row, kept in enumerate(self.kept)])

    def images(self, ending: str) -> Iterator[bytes]:
        """The bytes of its images, in order of key."""
        with io.open_read(io.join(self._folder, f"{self._name}.tar")) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                if member.name.endswith(f".{ending}"):
                    image: Any = tar.extractfile(member)
                    yield image.read()
