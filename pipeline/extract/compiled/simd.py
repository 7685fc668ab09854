"""Bytes looked at 32 at a time: what numba has no word for, written in LLVM's.

Every array given here must go on for LANES - 1 bytes after the last byte that is asked about (`Batch` pads its buffer).
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_MASK = ir.IntType(LANES)


@intrinsic
def quotes_or_escapes(typingctx: Any, data: Any, at: Any) -> Any:
    """(uint8 array, index) → uint64: bit i says whether data[at + i] is a quote or a backslash."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = _load(context, builder, signature.args[0], args[0], args[1])
        quotes = builder.icmp_unsigned("==", block, _splat(0x22))
        return _bits(builder, builder.or_(quotes, builder.icmp_unsigned("==", block, _splat(0x5C))))

    return types.uint64(data, types.intp), generate


@intrinsic
def not_ascii(typingctx: Any, data: Any, at: Any) -> Any:
    """(uint8 array, index) → uint64: bit i says whether data[at + i] is 0x80 or more."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = _load(context, builder, signature.args[0], args[0], args[1])
        return _bits(builder, builder.icmp_signed("<", block, _splat(0)))

    return types.uint64(data, types.intp), generate


@intrinsic
def pairs_of(typingctx: Any, data: Any, at: Any, first: Any, second: Any, apart: Any) -> Any:
    """(uint8 array, index, byte, byte, n) → uint64: bit i says whether data[at + i] is `first` and data[at + i + n] `second`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, (array, start, one, other, distance) = signature.args[0], args
        here = _load(context, builder, array_type, array, start)
        there = _load(context, builder, array_type, array, builder.add(start, distance))
        hits = builder.and_(
            builder.icmp_unsigned("==", here, _broadcast(builder, one)),
            builder.icmp_unsigned("==", there, _broadcast(builder, other)),
        )
        return _bits(builder, hits)

    return types.uint64(data, types.intp, types.uint8, types.uint8, types.intp), generate


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """(uint64, not 0) → intp: the position of its lowest set bit."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.uint64), generate


def _load(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    pointer = builder.gep(context.make_array(array_type)(context, builder, array).data, [start])
    return builder.load(builder.bitcast(pointer, _BYTES.as_pointer()), align=1)


def _splat(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * LANES)


def _broadcast(builder: Any, byte: Any) -> Any:
    first = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), byte, cgutils.int32_t(0))
    return builder.shuffle_vector(
        first, ir.Constant(_BYTES, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


def _bits(builder: Any, lanes: Any) -> Any:
    return builder.zext(builder.bitcast(lanes, _MASK), ir.IntType(64))
