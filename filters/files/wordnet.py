"""WordNet 3.0's index files → the first synset of a word, as nltk finds it for DataComp's text_based. Needs no nltk.

A synset is known by its offset: the byte at which it stands in data.noun, data.verb, data.adj or data.adv (wndb(5WN)).
"""

import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO

from schemas.errors import UserError

_MOST_BYTES = 64 << 20  # of a file; index.noun, the largest that is read, has 5 MB
_LEMMA = re.compile(r"[a-z0-9_'./-]+")  # lemmas have no other characters, and no ending adds one
_LONGEST = 256  # characters; the longest lemma has 71
_VERSION = "3.0"  # offsets are those of one version, and the ImageNet list's are those of this one

# The endings that morphy(7WN) detaches, in its order; adverbs have none. nltk 3.8, which DataComp pins, detaches again where
# nothing was found, as Morphy does not; later versions of nltk do not either.
_ENDINGS = {
    "noun": "s/ ses/s ves/f xes/x zes/z ches/ch shes/sh men/man ies/y",
    "verb": "s/ ies/y es/e es/ ed/e ed/ ing/e ing/",
    "adj": "er/ est/ er/e est/e",
    "adv": "",
}
_FILES = frozenset(name for kind in _ENDINGS for name in (f"index.{kind}", f"{kind}.exc"))


@dataclass(frozen=True)
class _PartOfSpeech:
    first: Mapping[str, int]  # lemma → offset of its first synset
    exceptions: Mapping[str, list[str]]  # inflected form → lemmas
    endings: tuple[tuple[str, str], ...]  # ending, what takes its place
    inflections: tuple[str, ...]  # the endings alone

    def first_synset(self, word: str) -> int | None:
        """The offset of the first synset of the word or else of the first lemma that it may be a form of."""
        found = self.first.get(word)
        if found is None and (word in self.exceptions or word.endswith(self.inflections)):
            return next((self.first[form] for form in self._forms(word) if form in self.first), None)
        return found

    def _forms(self, word: str) -> Iterator[str]:
        if word in self.exceptions:
            yield from self.exceptions[word]
            return
        forms = [word]
        while forms := [form[: -len(old)] + new for form in forms for old, new in self.endings if form.endswith(old)]:
            forms = list(dict.fromkeys(forms))
            yield from forms


class WordNet:
    """The first synsets of all lemmas."""

    def __init__(self, parts: list[_PartOfSpeech]) -> None:
        self._parts = parts
        self._lemmas = {lemma: offset for part in reversed(parts) for lemma, offset in part.first.items()}
        self._exceptions = frozenset(form for part in parts for form in part.exceptions)
        self._inflected = frozenset(old[-1] for part in parts for old in part.inflections)  # the last letters of endings

    def first_synset(self, word: str) -> int | None:
        """The offset of the word's first synset: of nouns, then verbs, adjectives, adverbs; None for a word that has none.

        Words of more than 256 characters have none.
        """
        lower = word.lower()
        if lower[-1:] not in self._inflected and lower not in self._exceptions:  # most words: nothing to be detached
            return self._lemmas.get(lower)
        if len(lower) > _LONGEST or not _LEMMA.fullmatch(lower):
            return None
        for part in self._parts:
            if (found := part.first_synset(lower)) is not None:
                return found
        return None


def read_wordnet(path: str) -> WordNet:
    """WordNet in a folder, or in a .zip or .tar.gz of it. Raises UserError naming `path` where it is not WordNet 3.0."""
    try:
        files = _files(path)
        version = re.search(rb"WordNet (\d+\.\d+) Copyright", files["index.noun"][:4096])
        if version and version[1].decode() != _VERSION:
            raise UserError(f"{path}: WordNet {version[1].decode()}; the offsets of ImageNet's list are those of {_VERSION}")
        return WordNet([_part(files, kind) for kind in _ENDINGS])
    except (OSError, EOFError, KeyError, ValueError, IndexError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError(f"{path}: not WordNet's folder, nor a .zip or .tar.gz of it ({error})") from error
    except (RuntimeError, NotImplementedError) as error:  # an encrypted .zip, or one packed in a way that is not read here
        raise UserError(f"{path}: cannot be unpacked ({error})") from error


def _part(files: Mapping[str, bytes], kind: str) -> _PartOfSpeech:
    """One part of speech. Raises KeyError, ValueError or IndexError where a file is missing or not of that form."""
    first = {}
    for line in files[f"index.{kind}"].decode().splitlines():
        if not line.startswith(" "):  # as the lines of the licence do
            fields = line.split()  # lemma, pos, number of synsets, …, their offsets
            first[fields[0]] = int(fields[-int(fields[2])])
    if not first:
        raise ValueError(f"index.{kind} is empty")
    exceptions = {fields[0]: fields[1:] for line in files[f"{kind}.exc"].decode().splitlines() if (fields := line.split())}
    endings = tuple((old, new) for old, _, new in (rule.partition("/") for rule in _ENDINGS[kind].split()))
    return _PartOfSpeech(first, exceptions, endings, tuple(old for old, _ in endings))


def _files(path: str) -> dict[str, bytes]:
    """WordNet's files by name, as far as they are there. Archives are read where they are, not unpacked."""
    if os.path.isdir(path):
        return {name: _read(partial(_open, os.path.join(path, name)), name) for name in _FILES}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = {name.rpartition("/")[2]: name for name in archive.namelist()}
            return {name: _read(partial(archive.open, inner[name]), name) for name in _FILES if name in inner}
    with tarfile.open(path, "r|*") as tar:  # read once, from its start to its end
        found = {}
        for info in tar:
            if (name := info.name.rpartition("/")[2]) in _FILES and info.isfile():
                found[name] = _read(partial(_opened, tar, info), name)
            if len(found) == len(_FILES):
                break
        return found


def _open(path: str) -> IO[bytes]:
    return open(path, "rb")


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    assert file is not None  # noqa: S101 - for mypy: it is a file
    return file


def _read(open_file: Callable[[], IO[bytes]], name: str) -> bytes:
    with open_file() as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{name} has more than {_MOST_BYTES} bytes")
    return content
