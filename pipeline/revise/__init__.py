"""revise: a release + removal lists → the next revision, with a ledger of what went and why; or the proof that none is left."""

from dataclasses import dataclass

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

_MOST_PHASH_BITS = 16  # of 64: hashes farther apart than that are near by chance where many are listed


@dataclass(frozen=True, kw_only=True)
class ReviseConfig(StageConfig):
    """What goes, of what, and where the next revision is to stand."""

    release: str = option("folder of the release", positional=True, metavar="RELEASE")
    remove: tuple[str, ...] = option(
        "removal lists: text files of URLs, domains, uids, hashes of URLs or images (md5, sha1, sha256) and perceptual hashes "
        "(16 hex digits), one per line; without any, --shards and --subsets follow the release's own ledger",
        (),
        metavar="LIST",
    )
    out: str | None = option("folder for the next revision (not with --verify)", None, metavar="DIR")
    phash_bits: int = option(
        f"how many bits of 64 an image's perceptual hash may differ from a listed one, 0 to {_MOST_PHASH_BITS}", 4, metavar="N"
    )
    pages: bool = option("a listed URL or domain means the images on that page, or on that site's pages, too", False)
    shards: str | None = option("shards of the release to translate, too", None, metavar="DIR")
    shards_out: str | None = option("folder for the translated shards", None, metavar="DIR")
    subsets: tuple[str, ...] = option(
        "further subset files to translate (.npy); those of the release always are", (), metavar="FILE"
    )
    subsets_out: str | None = option("folder for the further subset files, under their names", None, metavar="DIR")
    verify: bool = option(
        "write nothing: prove that nothing on the lists, and nothing that a ledger names, is in the release (and in --shards, "
        "--subsets); exit 1 if it is",
        False,
    )
    parent: str | None = option(
        "with --verify: the revision before, of which this one must have all that was not removed", None, metavar="DIR"
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds, missing or of no use."""
        super().__post_init__()
        if not 0 <= self.phash_bits <= _MOST_PHASH_BITS:
            raise UsageError(f"--phash-bits {self.phash_bits}: must be 0 to {_MOST_PHASH_BITS}")
        if self.verify:
            self._require_without(
                "--verify writes nothing", out=self.out, shards_out=self.shards_out, subsets_out=self.subsets_out
            )
            return
        self._require_without("it is for --verify", parent=self.parent)
        if bool(self.shards) != bool(self.shards_out):
            raise UsageError("--shards and --shards-out: give both, or neither")
        if bool(self.subsets) != bool(self.subsets_out):
            raise UsageError("--subsets and --subsets-out: give both, or neither")
        if self.remove and self.out is None:
            raise UsageError("--out: is missing; give a folder for the next revision, or --verify to write nothing")
        if not self.remove:
            self._require_without("no list is given: add --remove LIST", out=self.out)
            if not (self.shards or self.subsets):
                raise UsageError(
                    "--remove: is missing; give lists, or --shards or --subsets to translate by the release's ledger"
                )

    def _require_without(self, why: str, **given: str | None) -> None:
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"--{name.replace('_', '-')} {value}: {why}; leave it out")


def run(config: ReviseConfig, spark: None = None) -> Manifest:
    """Write the next revision, or verify this one. Raises UserError where what should be gone is there, or cannot be read."""
    from pipeline.revise.revising import revise

    return revise(config)


__all__ = ["ReviseConfig", "run"]
