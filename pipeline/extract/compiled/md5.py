"""MD5 (RFC 1321), because a uid is one: the 64 steps of a block written out in LLVM's instructions, as a C compiler would."""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_INT = ir.IntType(32)
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_WORD_OF_STEP = (lambda i: i, lambda i: 5 * i + 1, lambda i: 3 * i + 5, lambda i: 7 * i)
_SINES = [int(abs(math.sin(i + 1)) * 2**32) for i in range(64)]
_BLOCK = 64


@intrinsic
def _mix_block(typingctx: Any, state: Any, data: Any, at: Any) -> Any:
    """(uint32 array of 4, uint8 array, index): state after the 64 bytes of data from index on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state_type, data_type = signature.args[:2]
        block = builder.gep(context.make_array(data_type)(context, builder, args[1]).data, [args[2]])
        block = builder.bitcast(block, _INT.as_pointer())
        words = [builder.load(builder.gep(block, [_INT(i)]), align=1) for i in range(16)]
        slots = context.make_array(state_type)(context, builder, args[0]).data
        places = [builder.gep(slots, [_INT(i)]) for i in range(4)]
        before = [builder.load(place) for place in places]
        for place, old, new in zip(places, before, _rounds(builder, before, words), strict=True):
            builder.store(builder.add(old, new), place)
        return context.get_dummy_value()

    return types.void(state, data, types.intp), generate


def _rounds(builder: Any, before: list[Any], words: list[Any]) -> list[Any]:
    a, b, c, d = before
    for step in range(64):
        turn = step // 16
        mixed = (_choose, _choose_by_last, _parity, _uneven)[turn](builder, b, c, d)
        word = words[_WORD_OF_STEP[turn](step) % 16]
        total = builder.add(builder.add(builder.add(a, mixed), word), _INT(_SINES[step]))
        left = _SHIFTS[turn][step % 4]
        turned = builder.or_(builder.shl(total, _INT(left)), builder.lshr(total, _INT(32 - left)))
        a, b, c, d = d, builder.add(b, turned), b, c
    return [a, b, c, d]


def _choose(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(d, builder.and_(b, builder.xor(c, d)))


def _choose_by_last(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(c, builder.and_(d, builder.xor(b, c)))


def _parity(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(b, builder.xor(c, d))


def _uneven(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(c, builder.or_(b, builder.not_(d)))


@njit
def md5(data, start, end, state):
    """The digest of data[start:end] into `state` (4,) uint32, little endian. Overwrites up to 72 bytes of `data` after `end`."""
    state[0], state[1], state[2], state[3] = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
    size = end - start
    data[end] = 0x80
    padded = (size + 8) // _BLOCK * _BLOCK + _BLOCK
    for at in range(end + 1, start + padded - 8):
        data[at] = 0
    bits = np.uint64(size) << np.uint64(3)
    for place in range(8):
        data[start + padded - 8 + place] = np.uint8(bits >> np.uint64(8 * place) & np.uint64(0xFF))
    for at in range(start, start + padded, _BLOCK):
        _mix_block(state, data, at)
