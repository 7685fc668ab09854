"""WordNet 3.0's index files → the first synset of a word, as nltk finds it for DataComp's text_based. Needs no nltk.

A synset is known by its offset: the byte at which it stands in data.noun, data.verb, data.adj or data.adv (wndb(5WN)).
"""

import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from schemas.errors import UserError

_MOST_BYTES = 64 << 20  # of a file; index.noun, the largest that is read, has 5 MB
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
_Read: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True)
class _PartOfSpeech:
    first: Mapping[str, int]  # lemma → offset of its first synset
    exceptions: Mapping[str, list[str]]  # inflected form → lemmas
    endings: Mapping[str, list[tuple[str, str]]]  # last letter → (ending, what takes its place)

    def forms(self, word: str) -> Iterator[str]:
        """What the word may be a form of, the likeliest first; itself is the first."""
        yield word
        if word in self.exceptions:
            yield from self.exceptions[word]
            return
        forms = [word]
        while forms := list(dict.fromkeys(self._shorter(forms))):
            yield from forms

    def _shorter(self, forms: list[str]) -> Iterator[str]:
        for form in forms:
            for old, new in self.endings.get(form[-1:], ()):
                if form.endswith(old):
                    yield form[: -len(old)] + new


class WordNet:
    """The first synsets of all lemmas."""

    def __init__(self, parts: list[_PartOfSpeech]) -> None:
        self._parts = parts

    def first_synset(self, word: str) -> int | None:
        """The offset of the word's first synset: of nouns, then verbs, adjectives, adverbs; None for a word that has none.

        Words of more than 256 characters have none.
        """
        lower = word.lower()
        if len(lower) > _LONGEST:
            return None
        for part in self._parts:
            for form in part.forms(lower):
                if form in part.first:
                    return part.first[form]
        return None


def read_wordnet(path: str) -> WordNet:
    """WordNet in a folder, or in a .zip or .tar.gz of it. Raises UserError naming `path` where it is not WordNet 3.0."""
    try:
        with _opened(path) as read:
            noun = read("index.noun")
            version = re.search(rb"WordNet (\d+\.\d+) Copyright", noun[:4096])
            if version and version[1].decode() != _VERSION:
                raise UserError(f"{path}: WordNet {version[1].decode()}; the offsets of ImageNet's list are those of {_VERSION}")
            return WordNet([_part(read, kind) for kind in _ENDINGS])
    except (OSError, EOFError, KeyError, ValueError, IndexError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError(f"{path}: not WordNet's folder, nor a .zip or .tar.gz of it ({error})") from error
    except (RuntimeError, NotImplementedError) as error:  # an encrypted .zip, or one packed in a way that is not read here
        raise UserError(f"{path}: cannot be unpacked ({error})") from error


def _part(read: _Read, kind: str) -> _PartOfSpeech:
    """One part of speech. Raises KeyError, ValueError or IndexError where a file is missing or not of that form."""
    first = {}
    for line in read(f"index.{kind}").decode().splitlines():
        if not line.startswith(" "):  # as the lines of the licence do
            fields = line.split()  # lemma, pos, number of synsets, …, their offsets
            first[fields[0]] = int(fields[-int(fields[2])])
    if not first:
        raise ValueError(f"index.{kind} is empty")
    exceptions = {fields[0]: fields[1:] for line in read(f"{kind}.exc").decode().splitlines() if (fields := line.split())}
    endings: dict[str, list[tuple[str, str]]] = {}
    for rule in _ENDINGS[kind].split():
        old, _, new = rule.partition("/")
        endings.setdefault(old[-1], []).append((old, new))
    return _PartOfSpeech(first, exceptions, endings)


@contextmanager
def _opened(path: str) -> Iterator[_Read]:
    """A function that gives the content of a file of WordNet by its name. Archives are read where they are, not unpacked."""
    if os.path.isdir(path):
        yield lambda name: _bounded(os.path.join(path, name))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            within = _folder_in(members)
            yield lambda name: _checked(archive.open(members[within + name]).read(_MOST_BYTES + 1), name)
    else:
        with tarfile.open(path) as tar:
            files = {info.name: info for info in tar if info.isfile()}
            folder = _folder_in(files)
            yield lambda name: _from_tar(tar, files[folder + name])


def _folder_in(names: Mapping[str, object]) -> str:
    """The folder of an archive in which WordNet lies, with its slash. Raises ValueError where it has none."""
    found = [name for name in names if name.rpartition("/")[2] == "index.noun"]
    if not found:
        raise ValueError("no file index.noun in it")
    return min(found, key=len).removesuffix("index.noun")


def _bounded(path: str) -> bytes:
    with open(path, "rb") as file:
        return _checked(file.read(_MOST_BYTES + 1), path)


def _from_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return _checked(file.read(_MOST_BYTES + 1) if file else b"", info.name)


def _checked(content: bytes, name: str) -> bytes:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{name} has more than {_MOST_BYTES} bytes")
    return content
