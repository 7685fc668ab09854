"""revise: a release + removal lists → the next revision, with a ledger of what went and why; or the proof that none is left."""

from dataclasses import dataclass

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class ReviseConfig(StageConfig):
    """What goes, of what, and where the next revision is to stand."""

    release: str = option("folder of the release", positional=True, metavar="RELEASE")
    remove: tuple[str, ...] = option(
        "removal lists: text files of URLs, domains, uids, hashes of URLs or images (md5, sha1, sha256) and perceptual hashes "
        "(16 hex digits), one per line",
        (),
        metavar="LIST",
    )
    out: str | None = option("folder for the next revision (not with --verify)", None, metavar="DIR")
    phash_bits: int = option("how many bits of 64 an image's perceptual hash may differ from a listed one", 4, metavar="N")
    shards: str | None = option("shards of the release to translate, too", None, metavar="DIR")
    shards_out: str | None = option("folder for the translated shards", None, metavar="DIR")
    subsets: tuple[str, ...] = option(
        "further subset files to translate (.npy); those of the release always are", (), metavar="FILE"
    )
    verify: bool = option(
        "write nothing: prove that nothing on the lists is in the release (and in --shards); exit 1 if it is", False
    )


def run(config: ReviseConfig, spark: None = None) -> Manifest:
    """Write the next revision, or verify this one."""
    from pipeline.revise.revising import revise

    return revise(config)


__all__ = ["ReviseConfig", "run"]
