"""What a run of `revise` is given: its config, the release, the lists compiled; and what the release's own ledgers name."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.manifest import Run
from pipeline.removal import compiled_each
from pipeline.revise.gone import Gone
from pipeline.revise.ledger import uids_in_ledgers
from pipeline.revise.listed import Listed
from pipeline.revise.scan import Recorded
from pipeline.revise.source import Old, read_old

if TYPE_CHECKING:
    from pipeline.revise import ReviseConfig


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a run reads, and a folder of this machine for what only it needs."""

    config: "ReviseConfig"
    old: Old
    listed: Listed
    scratch: str

    @property
    def recorded(self) -> Recorded:
        """What decides the output."""
        return Recorded(
            workers=self.config.workers,
            release=self.old.digest,
            lists=self.listed.digests,
            phash_bits=self.listed.phash_bits,
            pages=self.listed.pages,
        )

    @property
    def run(self) -> Run:
        """A run of it that begins now."""
        described = {"release": self.old.digest, "lists": list(self.listed.digests)}
        return Run.begun("revise", self.config.out or self.config.release, described)


@contextmanager
def given(config: "ReviseConfig") -> Iterator[Given]:
    """The lists, compiled for the block, and the release. Raises UserError where one of them cannot be read."""
    with compiled_each(config.remove) as lists, tempfile.TemporaryDirectory(prefix="webpairs-revise-") as scratch:
        listed = Listed(lists=lists, pages=config.pages)
        listed.require_entries()
        listed = replace(listed, phash_bits=config.phash_bits if listed.has("phash") else 0)
        yield Given(config=config, old=read_old(config.release), listed=listed, scratch=scratch)


def by_ledgers(what: Given, names: Sequence[str]) -> Gone:
    """The pairs that these ledgers of the release name."""
    keys = uids_in_ledgers([what.old.path(name) for name in names])
    return Gone.written(str(Path(what.scratch) / f"{len(names)}.npy"), keys, by="sha256")
