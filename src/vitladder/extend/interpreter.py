"""Makes Triton's interpreter, which runs kernels on the CPU, compute what a GPU would.

Triton 3.8 interprets bfloat16 wrongly: tl.dot multiplies the raw bits, and a cast from float32
truncates. `repair` puts both right (and calls device functions without patching triton.language
at every call, which took nine tenths of the time). `probe` makes two faults of a kernel visible
that the interpreter hides: masked loads without `other` give NaN instead of 0, and float32 dots
that leave input_precision to the default lose the bits that TF32 loses.
"""

# mypy: disable-error-code="import-untyped"
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton.language as tl
from numpy.typing import NDArray
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle

Array = NDArray[Any]


def widen_bf16(bits: Array) -> Array:
    """Return the float32 values of bfloat16 bit patterns."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_to_bf16(values: Array) -> Array:
    """Return bfloat16 bit patterns, rounded to nearest, ties to even, as every GPU does."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded).reshape(values.shape)


def truncate_to_tf32(values: Array) -> Array:
    """Drop the 13 bits of float32 that a TF32 matrix unit does not read."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def repair() -> None:
    """Replace what the interpreter computes wrongly; calling it again changes nothing."""
    if InterpreterBuilder.cast_impl is not _cast:
        InterpreterBuilder.cast_impl = _cast
        InterpreterBuilder.create_dot = _dot
        InterpretedFunction.__call__ = _call


@contextmanager
def probe(*, poison: bool = True, tf32: bool = False) -> Iterator[None]:
    """Within the block, masked loads without `other` give NaN, and TF32 dots lose their bits.

    Dots that ask for input_precision="ieee" are exact with tf32 too.
    """
    repair()
    load, dot = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_dot
    if poison:
        InterpreterBuilder.create_masked_load = _poisoned(load)
    if tf32:
        InterpreterBuilder.create_dot = _tf32_dot
    try:
        yield
    finally:
        InterpreterBuilder.create_masked_load = load
        InterpreterBuilder.create_dot = dot


_original_cast: Callable[..., TensorHandle] = InterpreterBuilder.cast_impl


def _cast(self: InterpreterBuilder, source: TensorHandle, target: Any) -> TensorHandle:
    types = source.dtype.scalar, target.scalar
    if types == (tl.float32, tl.bfloat16):
        return TensorHandle(round_to_bf16(source.data), tl.bfloat16)
    if types == (tl.bfloat16, tl.float32):
        return TensorHandle(widen_bf16(source.data), tl.float32)
    if tl.bfloat16 in types and types[0] != types[1]:
        raise NotImplementedError(f"the interpreter casts {types[0]} to {types[1]} wrongly")
    with np.errstate(over="ignore"):
        return _original_cast(self, source, target)


def _values(operand: TensorHandle) -> Array:
    return widen_bf16(operand.data) if operand.dtype.scalar == tl.bfloat16 else operand.data


def _dot(
    self: InterpreterBuilder,
    a: TensorHandle,
    b: TensorHandle,
    d: TensorHandle,
    input_precision: Any,
    max_num_imprecise_acc: Any,
) -> TensorHandle:
    del self, input_precision, max_num_imprecise_acc
    product = np.matmul(_values(a), _values(b), dtype=d.data.dtype)
    return TensorHandle(product + d.data, d.dtype.scalar)


def _tf32_dot(
    self: InterpreterBuilder,
    a: TensorHandle,
    b: TensorHandle,
    d: TensorHandle,
    input_precision: Any,
    max_num_imprecise_acc: Any,
) -> TensorHandle:
    if "TF32" in str(input_precision) and "TF32x3" not in str(input_precision):
        a, b = (
            TensorHandle(truncate_to_tf32(x.data), x.dtype) if x.data.dtype == np.float32 else x
            for x in (a, b)
        )
    return _dot(self, a, b, d, input_precision, max_num_imprecise_acc)


def _poisoned(load: Callable[..., TensorHandle]) -> Callable[..., TensorHandle]:
    def create_masked_load(
        self: InterpreterBuilder, pointers: TensorHandle, mask: TensorHandle, other: Any, *rest: Any
    ) -> TensorHandle:
        loaded = load(self, pointers, mask, other, *rest)
        if other is None:
            loaded.data = np.where(mask.data, loaded.data, _garbage(loaded)).astype(
                loaded.data.dtype
            )
        return loaded

    return create_masked_load


def _garbage(loaded: TensorHandle) -> Any:
    """Return what cannot pass for a number: NaN, or a large integer."""
    if loaded.dtype.scalar == tl.bfloat16:
        return np.uint16(0x7FC0)
    if loaded.data.dtype.kind == "f":
        return np.nan
    return True if loaded.data.dtype == np.bool_ else np.iinfo(loaded.data.dtype).max


def _call(self: InterpretedFunction[Any], *args: Any, **kwargs: Any) -> Any:
    """Call a device function; triton.language is patched only where it is not yet."""
    modules = [x for x in self.fn.__globals__.values() if x is tl or x is tl.core]
    if any(tl.core.is_builtin(module.load) for module in modules):
        interpreter._patch_lang(self.fn)
    return self.rewrite()(*args, **kwargs)
