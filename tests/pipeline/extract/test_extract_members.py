"""Compressed files → pieces: members found, damage skipped, memory bounded."""

import gzip
import io
import random
import zlib
from collections import Counter

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.extract.members import Joint, read_pieces
from pipeline.extract.window import CHUNK_BYTES, Window
from schemas.errors import UserError


def pieces_of(data):
    tally = Counter()
    return list(read_pieces(Window(io.BytesIO(data)), "x.wat.gz", tally)), tally


def members_of(data):
    """Offset → inflated bytes of each member that was given whole."""
    members = {}
    pieces, tally = pieces_of(data)
    for piece in pieces:
        if piece.joint is Joint.MEMBER:
            members[piece.offset] = bytes(piece.data)
        elif piece.joint is Joint.WITHIN:
            members[piece.offset] += bytes(piece.data)
        elif members:
            members.pop(piece.offset, None)
    return members, tally


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


BLOCKS = st.lists(st.binary(max_size=300).map(lambda b: b * 3), min_size=1, max_size=8)


@given(blocks=BLOCKS)
def test_every_sound_member_is_given_whole_with_its_offset(blocks):
    data, expected = b"", {}
    for block in blocks:
        expected[len(data)] = block
        data += gzip.compress(block, mtime=0)
    members, tally = members_of(data)
    assert {at: block for at, block in members.items() if block} == {at: block for at, block in expected.items() if block}
    assert not tally


def inflates_to(member: bytes, block: bytes) -> bool:
    try:
        return gzip.decompress(member) == block
    except (OSError, EOFError, zlib.error):
        return False


@given(blocks=BLOCKS, which=st.integers(0, 7), where=st.floats(0.2, 1), flip=st.integers(1, 255))
@settings(max_examples=200)
def test_a_damaged_member_costs_itself_alone_and_is_counted_once(blocks, which, where, flip):
    blocks = [noise(40, i) + block for i, block in enumerate(blocks)] + [noise(50, 99)]  # the last one is sound
    which %= len(blocks) - 1
    members = [gzip.compress(block, mtime=0) for block in blocks]
    hurt = bytearray(members[which])
    at = 10 + int((len(hurt) - 11) * where)  # behind the header
    hurt[at] ^= flip
    assume(not inflates_to(bytes(hurt), blocks[which]))  # the bits that fill up the last byte mean nothing
    found, tally = members_of(b"".join([*members[:which], bytes(hurt), *members[which + 1 :]]))
    sound = [block for i, block in enumerate(blocks) if i != which]
    assert [block for block in found.values() if block in blocks] == sound
    assert tally == {"damaged_members": 1}


@given(blocks=BLOCKS, cut=st.integers(1, 60))
def test_a_file_cut_in_its_last_member_gives_the_others_and_says_so(blocks, cut):
    last = gzip.compress(noise(100), mtime=0)
    whole = [gzip.compress(block + b"x", mtime=0) for block in blocks]
    found, tally = members_of(b"".join(whole) + last[:-cut])
    assert [f for f in found.values() if f] == [block + b"x" for block in blocks]
    assert tally == {"truncated_files": 1}


@given(junk=st.binary(min_size=1, max_size=200))
def test_no_bytes_after_a_sound_member_raise(junk):
    found, _ = members_of(gzip.compress(b"sound", mtime=0) + junk)
    assert b"sound" in found.values()


@pytest.mark.parametrize("byte", [0, 1, 2])
def test_a_member_whose_sign_is_hurt_is_counted_even_where_it_is_as_large_as_the_one_before(byte):
    first, second, third = (gzip.compress(noise(40, seed), mtime=0) for seed in range(3))
    hurt = bytearray(second)
    hurt[byte] ^= 1
    found, tally = members_of(first + bytes(hurt) + third)
    assert list(found.values()) == [noise(40, 0), noise(40, 2)]
    assert tally == {"damaged_members": 1}


def test_a_header_s_bytes_inside_a_member_do_not_split_it():
    stored = zlib.compressobj(level=0, wbits=31)  # level 0 keeps the bytes as they are
    block = b"begin \x1f\x8b\x08\x00 middle \x1f\x8b\x08 end" * 5
    found, tally = members_of(stored.compress(block) + stored.flush() + gzip.compress(b"next", mtime=0))
    assert list(found.values()) == [block, b"next"]
    assert not tally


def test_garbage_between_members_is_skipped_and_counted():
    found, tally = members_of(gzip.compress(b"one", mtime=0) + b"garbage" * 9 + gzip.compress(b"two", mtime=0))
    assert list(found.values()) == [b"one", b"two"]
    assert tally == {"damaged_members": 1}


def test_zeros_that_pad_a_file_are_no_damage():
    found, tally = members_of(gzip.compress(b"one", mtime=0) + b"\0" * 5000)
    assert list(found.values()) == [b"one"]
    assert not tally


def test_a_member_larger_than_every_buffer_is_given_in_pieces():
    block = noise(9 << 20) + b"\0" * (40 << 20)
    data = gzip.compress(block, compresslevel=1, mtime=0)
    pieces, tally = pieces_of(data + gzip.compress(b"next", mtime=0))
    assert max(len(piece.data) for piece in pieces) <= 1 << 20
    assert b"".join(bytes(piece.data) for piece in pieces) == block + b"next"
    assert pieces[-1] == (len(data), b"next", Joint.MEMBER)
    assert not tally


def test_damage_deep_in_a_large_member_does_not_cost_the_next():
    hurt = bytearray(gzip.compress(noise(12 << 20), compresslevel=1, mtime=0))
    hurt[10 << 20] ^= 0xFF
    found, tally = members_of(bytes(hurt) + gzip.compress(b"next", mtime=0))
    assert b"next" in found.values()
    assert tally == {"damaged_members": 1}


def test_a_window_holds_a_bounded_part_of_a_file_of_many_members():
    data = b"".join(gzip.compress(noise(60_000, i), compresslevel=1, mtime=0) for i in range(200))
    window = Window(io.BytesIO(data))
    held = 0
    for _ in read_pieces(window, "x", Counter()):
        held = max(held, len(window.data))
    assert held <= 2 * CHUNK_BYTES < len(data)


@pytest.mark.parametrize("frames", [[b"one" * 99, b"two", b""], [noise(300_000), b"x" * 3_000_000]])
def test_zstd_frames_are_given_with_their_offsets(frames):
    compressed = [zstandard.ZstdCompressor().compress(frame) for frame in frames]
    found, tally = members_of(b"".join(compressed))
    offsets = [sum(map(len, compressed[:i])) for i in range(len(frames))]
    assert found == dict(zip(offsets, frames, strict=True))
    assert not tally


def test_damaged_and_cut_zstd_is_told():
    frame = zstandard.ZstdCompressor().compress(noise(1000))
    assert members_of(frame + frame[:-9])[1] == {"truncated_files": 1}
    assert members_of(frame + b"garbage")[1] == {"damaged_members": 1}


@pytest.mark.parametrize(("data", "problem"), [(b"", "empty"), (b"<html>no</html>", "not a WAT")])
def test_what_is_no_wat_is_refused_by_name(data, problem):
    with pytest.raises(UserError, match=rf"x\.wat\.gz: .*{problem}"):
        pieces_of(data)
