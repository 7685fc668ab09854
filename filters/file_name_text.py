"""file_name_text: drops alt texts that are the name of a file, a camera's counter, an address or an identifier."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.registry import Context, Entry, parameter
from filters.texts.folded_text import folded, pieces
from schemas.errors import UsageError

# Linear in the text, whatever it holds: Arrow matches with RE2. All are asked of the folded text (lower case), as a whole.
_SUFFIX = r"\.(?:jpe?g|jfif|png|gif|webp|avif|bmp|tiff?|svg|ico|heic|heif|cr2|nef|arw|dng|psd|eps)"
_COPY = r"(?:[ _-]?\(\d{1,3}\)|[ _-]copy|[ _-]?(?:edited|edit|scaled|cropped)|[ _-]\d{2,5}x\d{2,5}|@\dx)*"
_MAYBE_FILE = rf"{_COPY}(?:{_SUFFIX})?"
_HEX = "[0-9a-f]"
_PATTERNS: dict[str, tuple[str, ...]] = {
    # "sunset.jpg", "uploads/2019/sunset-300x200.jpg?w=5", "sunset (1).png"; not "how to open a .jpg", "a sunset.jpg of mine"
    "file": (rf"[^ ]+{_COPY}{_SUFFIX}(?:[?#][^ ]*)?", rf"[^ ]+\.(?:mp4|mov|avi|pdf)(?:{_SUFFIX})?"),
    # "IMG_1234", "dsc0001.jpg", "PXL_20210101_123456789", "WhatsApp Image 2021-05-06 at 13.40.12"
    "camera": (
        rf"_?(?:img|image|dsc|dscn|dscf|dscn?_|pict|imgp|mvi|mov|vid|cimg|hpim|sany|dcp|photo)[ _-]?(?:\d{{4,}}|e\d{{4}})"
        rf"(?:[ _-]?\d+)*(?:[ _-]?wa\d{{4}})?{_MAYBE_FILE}",
        rf"(?:_mg_|_dsc|pxl_|gopr|gx01|dji_|sam_|pano_|burst|wp_|kimg|s\d{{2}}e?_|p10[0-9])\d{{3,}}[_\d]*{_MAYBE_FILE}",
        rf"10\d[_-]\d{{4}}{_MAYBE_FILE}",
        rf"(?:whatsapp[ _-](?:image|video)|screen[ _-]?shot|bildschirmfoto|capture d.écran|captura de pantalla)[ _-]"
        rf"(?:[a-z]{{2,10}}[ _-])?[\d ._-]*\d(?:[ _-](?:at|um|à|a las)[ _-][\d ._-]*\d)?(?: [ap]\.?m\.?)?{_MAYBE_FILE}",
    ),
    # "image1", "photo-12", "untitled_3", "slide 2"; not "image" alone, nor "photo 12 of the series"
    "numbered": (
        rf"(?:img|images?|pic|picture|photo|foto|bild|imagen|imagem|unnamed|untitled|unbenannt|file|slide|slider|banner|thumb|"
        rf"thumbnail|logo|icon|attachment|screenshot|default|placeholder)[ _.-]?(?:\(\d{{1,6}}\)|#?\d{{1,6}}){_MAYBE_FILE}",
    ),
    # "20190102_123456", "1920x1080", "00012345678"; not a year, a date or a telephone number in groups
    "number": (rf"\d{{8,}}{_COPY}", rf"\d{{6,}}(?:[_-]\d+)+{_COPY}", r"\d{2,5} ?[x×] ?\d{2,5}(?: ?px)?"),
    # "550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e", "5f3aB9kQ2mZ81xWv7LpT3"
    "identifier": (
        rf"\{{?{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}\}}?{_COPY}",
        rf"{_HEX}{{16,}}(?:[_-][a-z0-9]{{1,8}})?{_COPY}",
        rf"(?:[a-z]{{0,9}}\d{{1,9}}){{4,}}[a-z]{{0,9}}{_COPY}",
    ),
    # "https://example.org/a", "www.example.org", "cdn.example.com/a/b"; not "example.org" alone, nor a sentence with a link in it
    "address": (
        r"(?:[a-z][a-z0-9+.-]{1,9}:)?//[^ ]+",
        r"www\.[^ ]+\.[^ ]+",
        r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|io|co|de|fr|ru|uk|eu|info|biz|edu|gov)/[^ ]*",
        r"(?:data|blob|file|javascript):[^ ]+",
    ),
}
_LEAST_IDENTIFIER = 16  # characters: shorter ones are words with digits in them, such as a type number
KINDS = tuple(_PATTERNS)


@dataclass(frozen=True)
class NoFileName:
    """Drops texts that are, as a whole, of one of the `kinds`, and null. Blank texts stay: they are min_characters' to drop."""

    kinds: tuple[str, ...]
    name: ClassVar[str] = "file_name_text"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text is no file's name."""
        found = [np.zeros(0, bool), *(self._found(piece) for piece in pieces(batch["text"]))]
        return pa.array(~np.concatenate(found) & np.asarray(batch["text"].is_valid()))

    def _found(self, texts: pa.LargeStringArray) -> np.ndarray:
        plain = folded(texts)
        long = np.asarray(pc.greater_equal(pc.utf8_length(plain), _LEAST_IDENTIFIER))
        found = np.zeros(len(texts), bool)
        for kind in self.kinds:
            whole = rf"^(?:{'|'.join(_PATTERNS[kind])})$"
            of_kind = np.asarray(pc.match_substring_regex(plain, whole))
            found |= of_kind & long if kind == "identifier" else of_kind
        return found


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What file_name_text is told."""

    kinds: tuple[str, ...] = parameter(f"the kinds that are dropped, of {', '.join(KINDS)}", KINDS)


def _build(asked: Parameters, _: Context) -> NoFileName:
    for kind in asked.kinds:
        if kind not in KINDS:
            raise UsageError(f"file_name_text: kinds has {kind!r}; the kinds are {', '.join(KINDS)}")
    if not asked.kinds:
        raise UsageError(f"file_name_text: kinds is empty; the kinds are {', '.join(KINDS)}")
    return NoFileName(asked.kinds)


ENTRY = Entry(
    name="file_name_text",
    summary="texts that are no file name, camera counter, address or identifier",
    source="Jia et al. 2021, ALIGN, and Changpinyo et al. 2021, Conceptual 12M, name such texts as noise of the web",
    parameters=Parameters,
    build=_build,
)
