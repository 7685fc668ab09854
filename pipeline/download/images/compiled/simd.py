"""Four floats at a time: what numba has no word for, written in LLVM's."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FLOATS = ir.VectorType(ir.FloatType(), 4)
_INTS = ir.VectorType(ir.IntType(32), 4)
_BYTES = ir.VectorType(ir.IntType(8), 4)
# 1.5 × 2^23: added to a number below 2^22, it leaves the number, rounded half to even, in the last bits of the sum.
_ROUNDING = 12_582_912.0


def weighted_pixel(taps: int | None) -> Any:
    """An intrinsic that stores one pixel, the weighted sum of pixels that follow each other; `taps` None: as many as it is told.

    (line float32, at, shares float32, first, taps, out uint8, to): the pixels line[at + 3 k …], times shares[first + k], added up
    over k, rounded and stored at out[to … to + 2]. It reads a float more than the pixels have, and writes a byte more.
    """

    @intrinsic
    def store(typingctx: Any, line: Any, at: Any, shares: Any, first: Any, told: Any, out: Any, to: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pixels, weights, target = (_data(context, builder, signature, args, place) for place in (0, 2, 5))

            def part(k: Any) -> Any:
                pixel = builder.gep(pixels, [builder.add(args[1], builder.mul(k, args[1].type(3)))])
                weight = builder.load(builder.gep(weights, [builder.add(args[3], k)]))
                return builder.fmul(builder.load(builder.bitcast(pixel, _FLOATS.as_pointer()), align=4), _spread(builder, weight))

            total = cgutils.alloca_once_value(builder, part(args[1].type(0)))
            if taps is not None:
                for k in range(1, taps):
                    builder.store(builder.fadd(builder.load(total), part(args[1].type(k))), total)
            else:
                with cgutils.for_range(builder, args[4], start=args[4].type(1)) as loop:
                    builder.store(builder.fadd(builder.load(total), part(loop.index)), total)
            rounded = builder.fadd(builder.load(total), ir.Constant(_FLOATS, [_ROUNDING] * 4))
            bytes_ = builder.trunc(builder.bitcast(rounded, _INTS), _BYTES)
            place = builder.bitcast(builder.gep(target, [args[6]]), _BYTES.as_pointer())
            builder.store(bytes_, place, align=1)
            return context.get_dummy_value()

        return types.void(line, types.intp, shares, types.intp, types.intp, out, types.intp), generate

    return store


def _data(context: Any, builder: Any, signature: Any, args: Any, place: int) -> Any:
    return context.make_array(signature.args[place])(context, builder, args[place]).data


def _spread(builder: Any, value: Any) -> Any:
    """The value four times."""
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, cgutils.int32_t(0))
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, [0] * 4))
