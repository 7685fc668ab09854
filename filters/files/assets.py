"""The files that DataComp's baselines download: where they are on this machine, and where DataComp publishes them.

In: what an option gave, and a folder of such files. Out: a path. Nothing is downloaded here.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import UserError

_RELEASE = "https://github.com/sagadre/datacomp_baseline_assets/releases/download/v0.1.0-alpha"
IMAGENET_PARTS = 5


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One of these files.

    `names`: what it may be called in a folder of assets, the name that DataComp's scripts give it first. `cached`: the folder in
    which they, or nltk, keep it. `sha256`: of the published file, in hex; another file of the same form is not refused.
    """

    what: str
    option: str
    names: tuple[str, ...]
    cached: str
    url: str
    sha256: str = ""


def _centroids(scale: str, sha256: str) -> Asset:
    return Asset(
        what=f"the centroids of DataComp's {scale} pool",
        option="--param centroids=FILE",
        names=(f"{scale}_centroids.pt", f"{scale}_centroids_l14.pt"),
        cached="~/.cache/datacomp",
        url=f"{_RELEASE}/{scale}_centroids_l14.pt",
        sha256=sha256,
    )


def _imagenet(part: int, sha256: str) -> Asset:
    return Asset(
        what=f"the L/14 embeddings of ImageNet-1k's training images, part {part} of 0 to {IMAGENET_PARTS - 1}",
        option="--param features=[FILE, …]",
        names=(f"in1k_clip_vit_l14_{part}.pt",),
        cached="~/.cache/datacomp",
        url=f"{_RELEASE}/in1k_clip_vit_l14_{part}.pt",
        sha256=sha256,
    )


# Under the names by which DataComp's scripts ask for them; wordnet, which they leave to nltk, is the last.
ASSETS = {
    "fasttext": Asset(
        what="fastText's language-id model",
        option="--lid-model FILE",
        names=("lid.176.bin",),
        cached="~/.cache/fasttext",
        url="https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin",
        sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
    ),
    "imagenet21k_wordnet_ids": Asset(
        what="the list of ImageNet-21k's synsets",
        option="--param synsets=FILE",
        names=("imagenet21k_wordnet_ids.pt", "imagenet21k_wordnet_ids.txt"),  # text under both names
        cached="~/.cache/datacomp",
        url=f"{_RELEASE}/imagenet21k_wordnet_ids.txt",
        sha256="66362bdedf36d933382edca5493fc562dcc17128ce36403c9e730a75f48cb2f2",
    ),
    "small_centroids": _centroids("small", "23c66a05e49ad77283c1e2b33355c7eb088ac332a944c97ff85d5dfd48a5b251"),
    "medium_centroids": _centroids("medium", "028b1721b1d0f139c565b6b0ac99f8a1756f4bae89c36b0ec6d1c6ea9b6f112d"),
    "large_centroids": _centroids("large", "04eeab1069d3540c246cf7ce69323147351a474017fc472e4c50a018ca32240b"),
    "xlarge_centroids": _centroids("xlarge", "3f62e5f8ae3a715ce84e422846fcfce1536d184455ea234790c4a6465c4c6726"),
    "in1k_clip_vit_l14_0": _imagenet(0, "304990fd492f40ba90072b80af78d6e8edcab9d042476ef513e03441cf53743b"),
    "in1k_clip_vit_l14_1": _imagenet(1, "72f008e6aa3bfb54174fa322963215337f843fc90fd642a9dccc815dd9e7ee76"),
    "in1k_clip_vit_l14_2": _imagenet(2, "83c3cc6503b8a50a22cac7023ca6cd61b130ab9725db2a7519f1bec5cabf5493"),
    "in1k_clip_vit_l14_3": _imagenet(3, "83faa289f847799ddcd438e5b74df1cb5973c345674896d10ba31ea48bc63804"),
    "in1k_clip_vit_l14_4": _imagenet(4, "067a45f4a140a93371876510a2fd9198a89ac1d194ae4063a51b45a6da69cadf"),
    "wordnet": Asset(
        what="WordNet 3.0 (its folder, or an archive of it)",
        option="--param wordnet=PATH",
        names=("corpora/wordnet", "corpora/wordnet.zip", "wordnet", "wordnet.zip", "nltk_wordnet.tar.gz"),
        cached="~/nltk_data",
        url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/wordnet.zip",
    ),
}


def find(name: str, given: str | None, folder: str | None, asker: str) -> str:
    """The path of an asset of ASSETS: the given one; or that in `folder`; or that which DataComp's scripts or nltk have cached.

    Raises UserError where there is none, or what is given is not there: it says what is needed, how to give it, and where it is
    published.
    """
    asset = ASSETS[name]
    if given is not None:
        if not os.path.exists(given):
            raise UserError(f"{asset.option.partition('=')[0]} {given}: no such file; give {asset.what}")
        return given
    if found := cached(name, folder):
        return found
    raise UserError(
        f"{asker} needs {asset.what}: give it by {asset.option}, or as {asset.names[0]} in a folder given by --assets or in "
        f"{asset.cached}; it is published at {asset.url}"
    )


def cached(name: str, folder: str | None) -> str | None:
    """The path of an asset in `folder`, else where DataComp's scripts or nltk keep it, else None.

    Raises UserError where `folder` is none.
    """
    asset = ASSETS[name]
    if folder is not None and not os.path.isdir(folder):
        raise UserError(
            f"--assets {folder}: no such folder on this machine; give one with the files that DataComp's baselines take"
        )
    for place in (*([folder] if folder is not None else []), *_caches(asset)):
        for file_name in asset.names:
            if os.path.exists(path := os.path.join(place, file_name)):
                return path
    return None


def _caches(asset: Asset) -> Iterator[str]:
    """The folders in which the scripts that fetch an asset keep it: nltk has several, and an environment variable of its own."""
    if asset.cached == "~/nltk_data":
        yield from filter(None, os.environ.get("NLTK_DATA", "").split(os.pathsep))
    yield os.path.expanduser(asset.cached)
    if asset.cached == "~/nltk_data":
        yield from (os.path.join(sys.prefix, *inner, "nltk_data") for inner in ((), ("share",), ("lib",)))
        yield from (f"/usr/{inner}/nltk_data" for inner in ("share", "local/share", "lib", "local/lib"))
