"""Eight rows side by side, a row a lane: what numba has no word for, written in LLVM's. A vector is one coordinate of 8 rows.

Buffers are flat float32 arrays in which vector k lies at [8 k, 8 k + 8).
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_HALVES = ir.VectorType(ir.HalfType(), LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_WORDS = ir.VectorType(ir.IntType(64), 16)


@intrinsic
def as_float(typingctx: Any, half: Any) -> Any:
    """(uint16, the bits of a float16) → float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def ones(typingctx: Any, word: Any) -> Any:
    """(uint64) → how many of its bits are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def near_of_16(typingctx: Any, ones_: Any, others: Any, at: Any, one: Any, other: Any, limit: Any) -> Any:
    """(two uint64 arrays, index, two words, limit) → uint64: bit i tells if the two words at index + i differ by `limit` at most.

    That is, together, in so many of their 128 bits.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_WORDS, [_WORDS]), "llvm.ctpop.v16i64")

        def apart(array: int, word: int) -> Any:
            place = builder.gep(_data(context, builder, signature, args, array), [args[2]])
            block = builder.load(builder.bitcast(place, _WORDS.as_pointer()), align=8)
            return builder.call(popcount, [builder.xor(block, _spread(builder, args[word]))])

        near = builder.icmp_unsigned("<=", builder.add(apart(0, 3), apart(1, 4)), _spread(builder, args[5]))
        return builder.zext(builder.bitcast(near, ir.IntType(16)), ir.IntType(64))

    return types.uint64(ones_, others, types.intp, types.uint64, types.uint64, types.uint64), generate


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """(uint64, not 0) → intp: the position of its lowest set bit."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.uint64), generate


@intrinsic
def load_eight(typingctx: Any, rows: Any, at: Any, stride: Any, buffer: Any, to: Any) -> Any:
    """(uint16 array, index, row length, float32 buffer, index): 8 columns of 8 rows become 8 vectors from buffer[to] on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = _data(context, builder, signature, args, 0), _data(context, builder, signature, args, 3)
        rows_ = []
        for row in range(LANES):
            place = builder.gep(source, [builder.add(args[1], builder.mul(args[2], args[2].type(row)))])
            halves = builder.load(builder.bitcast(place, _HALVES.as_pointer()), align=2)
            rows_.append(builder.fpext(halves, _FLOATS))
        for column, vector in enumerate(_transposed(builder, rows_)):
            _store(builder, vector, target, builder.add(args[4], args[4].type(column * LANES)))
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, buffer, types.intp), generate


@intrinsic
def butterfly(typingctx: Any, buffer: Any, at: Any, step: Any) -> Any:
    """(float32 buffer, index, step): the 8 vectors at index, index + step, … become their Walsh-Hadamard transform."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature, args, 0)
        places = [builder.add(args[1], builder.mul(args[2], args[2].type(k))) for k in range(8)]
        vectors = [_load(builder, data, place, _FLOATS) for place in places]
        for half in (1, 2, 4):
            for k in (k for k in range(8) if not k & half):
                one, other = vectors[k], vectors[k + half]
                vectors[k], vectors[k + half] = builder.fadd(one, other), builder.fsub(one, other)
        for vector, place in zip(vectors, places, strict=True):
            _store(builder, vector, data, place)
        return context.get_dummy_value()

    return types.void(buffer, types.intp, types.intp), generate


@intrinsic
def largest_of_64(typingctx: Any, buffer: Any, at: Any, out: Any) -> Any:
    """(float32 buffer, index, int32 array of 8): per lane, which of 64 vectors has the largest magnitude there (0 … 63).

    The number of the vector replaces the last 6 bits of its magnitude, so that one integer maximum finds both.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature, args, 0)
        best = _splat(0)
        for k in range(64):
            bits = _load(builder, data, builder.add(args[1], args[1].type(k * LANES)), _INTS)
            tagged = builder.or_(builder.and_(bits, _splat(0x7FFFFFC0)), _splat(k))
            best = builder.select(builder.icmp_signed(">", tagged, best), tagged, best)
        _store(builder, builder.and_(best, _splat(63)), _data(context, builder, signature, args, 2), ir.IntType(64)(0))
        return context.get_dummy_value()

    return types.void(buffer, types.intp, out), generate


@intrinsic
def signs_of_32(typingctx: Any, buffer: Any, at: Any, out: Any) -> Any:
    """(float32 buffer, index, int32 array of 8): per lane the signs of 32 vectors, a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature, args, 0)
        word = _splat(0)
        for k in range(32):
            bits = _load(builder, data, builder.add(args[1], args[1].type(k * LANES)), _INTS)
            word = builder.or_(builder.shl(word, _splat(1)), builder.lshr(bits, _splat(31)))
        _store(builder, word, _data(context, builder, signature, args, 2), ir.IntType(64)(0))
        return context.get_dummy_value()

    return types.void(buffer, types.intp, out), generate


def _data(context: Any, builder: Any, signature: Any, args: Any, place: int) -> Any:
    return context.make_array(signature.args[place])(context, builder, args[place]).data


def _load(builder: Any, data: Any, at: Any, vector: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), align=4)


def _store(builder: Any, vector: Any, data: Any, at: Any) -> None:
    builder.store(vector, builder.bitcast(builder.gep(data, [at]), vector.type.as_pointer()), align=4)


def _splat(value: int) -> Any:
    return ir.Constant(_INTS, [value] * LANES)


def _spread(builder: Any, word: Any) -> Any:
    """The word 16 times."""
    one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, ir.Constant(_WORDS, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 16), [0] * 16)
    )


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """8 vectors of 8: vector k of the result holds element k of each. A round swaps one bit of row and column number."""
    for bit in (1, 2, 4):
        keep = [k if not k & bit else LANES + k - bit for k in range(LANES)]
        take = [k + bit if not k & bit else LANES + k for k in range(LANES)]
        swapped = list(rows)
        for k in (k for k in range(LANES) if not k & bit):
            swapped[k] = _shuffled(builder, rows[k], rows[k + bit], keep)
            swapped[k + bit] = _shuffled(builder, rows[k], rows[k + bit], take)
        rows = swapped
    return rows


def _shuffled(builder: Any, one: Any, other: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(one, other, ir.Constant(_INTS, places))
