"""text_based: DataComp's text-based filtering: English captions with a word for something that ImageNet-21k has images of."""

import functools
import re
import threading
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from filters.compose import All
from filters.files.assets import find
from filters.files.wordnet import WordNet, read_wordnet
from filters.language import language
from filters.registry import Context, Entry, parameter
from filters.texts.known_words import KnownWords
from filters.texts.text_bytes import plain_texts, present, text_bytes
from schemas.errors import UserError

_MOST_LIST_BYTES = 1 << 26


@dataclass(frozen=True)
class NamesSynset:
    """Keeps texts of which some word's first synset in WordNet is in a list of synsets. Drops null.

    Words are those of Python's str.split(); a synset is known by its offset alone, whatever its part of speech, as in DataComp.
    `wordnet`: folder or archive of WordNet 3.0. `synsets`: text file of ids such as n00002452, one a line.
    """

    wordnet: str
    synsets: str
    name: ClassVar[str] = "names_synset"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the text has such a word."""
        texts = plain_texts(batch["text"])
        has = _vocabulary(self.wordnet, self.synsets).known().some(*text_bytes(texts))
        return pa.array(has & present(texts))


class _Vocabulary:
    """Which words name one of the synsets: asked of WordNet once for each distinct word and thread, as far as memory allows."""

    def __init__(self, wordnet: WordNet, offsets: frozenset[int]) -> None:
        self._wordnet = wordnet
        self._offsets = offsets
        self._threads = threading.local()

    def known(self) -> KnownWords:
        """What this thread knows of words."""
        if not hasattr(self._threads, "known"):
            self._threads.known = KnownWords(self._does)
        known: KnownWords = self._threads.known
        return known

    def _does(self, word: str) -> bool:
        return self._wordnet.first_synset(word) in self._offsets


@functools.lru_cache(maxsize=2)
def _vocabulary(wordnet: str, synsets: str) -> _Vocabulary:
    return _Vocabulary(read_wordnet(wordnet), read_offsets(synsets))


def read_offsets(path: str) -> frozenset[int]:
    """The offsets of the synset ids in a text file, such as n00002452, one a line. Raises UserError naming the file and line."""
    try:
        with open(path, "rb") as file:
            lines = file.read(_MOST_LIST_BYTES).split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    ids = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, one in ids:
        if not re.fullmatch(rb"[a-z]\d{8}", one):
            raise UserError(f"{path}: line {number}: {one[:40]!r} is no synset id such as n00002452")
    if not ids:
        raise UserError(f"{path}: empty; it has one synset id such as n00002452 a line")
    return frozenset(int(one[1:]) for _, one in ids)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What text_based is told."""

    lid_model: str | None = parameter("fastText's lid.176.bin; without it the stored column `lang` decides", None, file=True)
    synsets: str | None = parameter("imagenet21k_wordnet_ids: ids of synsets such as n00002452, one a line", None, file=True)
    wordnet: str | None = parameter("WordNet 3.0: its folder, or a .zip or .tar.gz of it", None)
    assets: str | None = parameter("folder with these files under DataComp's names", None)


def _build(asked: Parameters, context: Context) -> All:
    english = language("en", asked.lid_model, context, "text_based", asked.assets)
    synsets = find("imagenet21k_wordnet_ids", asked.synsets, asked.assets, "text_based")
    wordnet = find("wordnet", asked.wordnet, asked.assets, "text_based")
    _vocabulary(wordnet, synsets)  # now, so that a file that is none of these is told before any work
    return All((NamesSynset(wordnet, synsets), english))  # in this order: its words cost less than the model


ENTRY = Entry(
    name="text_based",
    summary="English, and a word whose first WordNet synset is one of ImageNet-21k's",
    source="Gadre et al. 2023, DataComp; Miller 1995, WordNet; Ridnik et al. 2021, ImageNet-21k",
    parameters=Parameters,
    build=_build,
)
