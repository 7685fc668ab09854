"""The two corpora of synthetic pictures that the download benchmark serves: what is in them, and their files in bench/.cache.

In: the name of a corpus. Out: a Specimen per file, always the same ones, and a folder with the files. Sizes in bytes come out as
on the web by calibration (`detail`, measured as median bytes of the corpus); shares are exact, spread evenly over the sizes.
"""

import io
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist

import numpy as np
from PIL import ExifTags, Image, ImageCms

from bench.download_picture import on_white, opacity, picture
from bench.places import CACHE, digest_of

_NORMAL = NormalDist()
_ENDINGS = {"jpeg": "jpg", "progressive": "jpg", "webp": "webp", "png": "png", "gif": "gif"}
_ASPECTS = (1.0, 1.25, 4 / 3, 1.5, 1.78, 0.8, 0.75, 0.667)  # width ÷ height
_QUALITIES = (75, 80, 85, 90, 95)
_SUBSAMPLED = 0.75  # of the JPEG files hold colours at half the resolution (4:2:0), the others at full
_EXIF, _ICC = 0.3, 0.3  # of the JPEG files carry a camera's EXIF, an sRGB profile
_GRAPHICS, _WITH_ALPHA = 0.5, 0.3  # of PNG and GIF files are graphics, of PNG files have an alpha channel


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What a corpus holds: `shares` by format; the long side in px at a quantile; the noise of its median picture."""

    number: int
    files: int
    shares: dict[str, float]
    long_side: Callable[[float], float]
    detail: float


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One file: everything it is made from."""

    corpus: str
    number: int
    format: str
    width: int
    height: int
    detail: float
    quality: int
    subsampled: bool
    exif: bool
    icc: bool
    alpha: bool

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.number:05d}.{_ENDINGS[self.format]}"

    @property
    def seed(self) -> tuple[int, int]:
        """What its pixels are drawn from."""
        return CORPORA[self.corpus].number, self.number


def _dense_side(quantile: float) -> float:
    return min(2400.0, max(200.0, 800 * float(np.exp(0.2 * _NORMAL.inv_cdf(quantile)))))


def _laion_side(quantile: float) -> float:
    """74 % at most 512 px, evenly by logarithm from 160 px on; the others up to 1600 px, ever fewer, 6 % from 1024 px on."""
    small = 0.74
    if quantile <= small:
        return 160 * float((512 / 160) ** (quantile / small))
    return 513 * float((1600 / 513) ** (((quantile - small) / (1 - small)) ** 2))


CORPORA = {
    "dense": Corpus(
        number=1,
        files=800,
        shares={"jpeg": 0.574, "progressive": 0.246, "webp": 0.08, "png": 0.07, "gif": 0.03},
        long_side=_dense_side,
        detail=4.0,
    ),
    "laion": Corpus(
        number=2,
        files=1200,
        shares={"jpeg": 0.63, "progressive": 0.27, "webp": 0.04, "png": 0.05, "gif": 0.01},
        long_side=_laion_side,
        detail=4.0,
    ),
}


@cache
def specimens(corpus: str) -> tuple[Specimen, ...]:
    """The files of a corpus, by number."""
    plan = CORPORA[corpus]
    draw = np.random.default_rng(plan.number)
    sides = [plan.long_side(float(q)) for q in _evenly(plan.files, draw)]
    ends = np.cumsum(list(plan.shares.values()))
    formats = [list(plan.shares)[int(np.searchsorted(ends, q))] for q in _evenly(plan.files, draw)]
    return tuple(
        _specimen(corpus, number, side, form, draw) for number, (side, form) in enumerate(zip(sides, formats, strict=True))
    )


def source_pixels(specimen: Specimen) -> np.ndarray:
    """What the file shows before any compression, transparent parts on white: (height, width, 3) float32 RGB."""
    pixels = picture(specimen.seed, specimen.width, specimen.height, specimen.detail)
    if not specimen.alpha:
        return pixels.astype(np.float32)
    return on_white(pixels, opacity(specimen.seed, specimen.width, specimen.height))


def folder_of(corpus: str) -> Path:
    """The folder with the files of a corpus, made where it is not there yet (a minute)."""
    made_by = "".join(digest_of(Path(__file__).with_name(name))[:6] for name in ("download_picture.py", "download_corpus.py"))
    folder = CACHE / f"download_{corpus}_{made_by}"
    if folder.is_dir():
        return folder
    print(f"making {folder}: {CORPORA[corpus].files:,} synthetic pictures", flush=True)
    making = folder.with_suffix(".new")
    making.mkdir(parents=True, exist_ok=True)
    paths = [str(making / specimen.name) for specimen in specimens(corpus)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as workers:
        list(workers.map(_write, specimens(corpus), paths, chunksize=8))
    return making.rename(folder)


def facts_of(corpus: str) -> dict[str, float]:
    """What the files are like: their number, median bytes, median long side and share of at most 512 px."""
    sizes = [(folder_of(corpus) / specimen.name).stat().st_size for specimen in specimens(corpus)]
    sides = [max(specimen.width, specimen.height) for specimen in specimens(corpus)]
    return {
        "files": len(sizes),
        "median_kb": float(np.median(sizes)) / 1e3,
        "mean_kb": float(np.mean(sizes)) / 1e3,
        "median_long_side_px": float(np.median(sides)),
        "share_512px_at_most": float(np.mean(np.array(sides) <= 512)),
    }


def encoded(specimen: Specimen) -> bytes:
    """The file."""
    pixels = picture(specimen.seed, specimen.width, specimen.height, specimen.detail)
    image = Image.fromarray(pixels)
    if specimen.alpha:
        image.putalpha(Image.fromarray(opacity(specimen.seed, specimen.width, specimen.height)))
    into = io.BytesIO()
    match specimen.format:
        case "webp":
            image.save(into, "WEBP", quality=specimen.quality, method=2)
        case "png":
            image.save(into, "PNG")
        case "gif":
            image.quantize(256).save(into, "GIF")
        case _:
            image.save(into, "JPEG", **_jpeg_options(specimen))
    return into.getvalue()


def _evenly(count: int, draw: np.random.Generator) -> np.ndarray:
    """The quantiles of `count` equal parts, in random order: shares come out exact, not drawn."""
    return (draw.permutation(count) + 0.5) / count


def _specimen(corpus: str, number: int, long_side: float, form: str, draw: np.random.Generator) -> Specimen:
    aspect = float(draw.choice(_ASPECTS))
    short_side = long_side * min(aspect, 1 / aspect)
    width, height = (long_side, short_side) if aspect >= 1 else (short_side, long_side)
    graphic = form in ("png", "gif") and draw.random() < _GRAPHICS
    detail = 0.0 if graphic else CORPORA[corpus].detail * float(np.exp(draw.normal(0, 0.6)))
    quality, jpeg = int(draw.choice(_QUALITIES)), _ENDINGS[form] == "jpg"
    chances = draw.random(4)
    return Specimen(
        corpus=corpus,
        number=number,
        format=form,
        width=round(width),
        height=round(height),
        detail=detail,
        quality=quality,
        subsampled=bool(chances[0] < _SUBSAMPLED),
        exif=bool(jpeg and chances[1] < _EXIF),
        icc=bool(jpeg and chances[2] < _ICC),
        alpha=bool(form == "png" and chances[3] < _WITH_ALPHA),
    )


def _jpeg_options(specimen: Specimen) -> dict[str, object]:
    """Huffman tables made for the picture by every second encoder on the web, and by all that write progressive files."""
    progressive = specimen.format == "progressive"
    options: dict[str, object] = {
        "quality": specimen.quality,
        "progressive": progressive,
        "optimize": progressive or specimen.number % 2 == 0,
        "subsampling": "4:2:0" if specimen.subsampled else "4:4:4",
    }
    if specimen.exif:
        options["exif"] = _exif(specimen)
    if specimen.icc:
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return options


def _exif(specimen: Specimen) -> bytes:
    """As a camera writes it, upright."""
    tags = Image.Exif()
    tags[ExifTags.Base.Make], tags[ExifTags.Base.Model] = "Synthetic", f"Camera {specimen.number % 40}"
    tags[ExifTags.Base.Orientation] = 1
    tags[ExifTags.Base.DateTime] = f"2021:05:{1 + specimen.number % 28:02d} 12:00:00"
    tags[ExifTags.Base.Software] = "bench.download_corpus"
    return tags.tobytes()


def _write(specimen: Specimen, path: str) -> None:
    Path(path).write_bytes(encoded(specimen))
