"""Copies blocks of memory past the processor's caches, for what is not read again soon. No TensorFlow.

A plain copy first reads what it overwrites, and drives out of the caches what others have there. Stores that are marked
as non-temporal do neither: where memory is the limit, a copy of pictures is 1.6 times as fast. NumPy and glibc write
that way only from many megabytes on, so LLVM compiles it here, for the processor at hand; what comes out is a loop of
four instructions.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Iterator

import numpy as np
from llvmlite import binding, ir

# What is stored at a time, in bytes: a line of the caches of x86; other processors take it in parts.
LINE = 64

_NAME = "copy_blocks"
_BYTE, _INT64 = ir.IntType(8), ir.IntType(64)


class StreamingCopy:
    """A compiled copy of blocks of one length, for use in threads."""

    def __init__(self) -> None:
        """Compiles, in some 10 ms."""
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        try:
            features = binding.get_host_cpu_features().flatten()
        # Of some kinds of processors LLVM tells the name alone, which says enough there.
        except RuntimeError:
            features = ""
        target = binding.Target.from_default_triple()
        machine = target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features)
        # Holds the code in memory.
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(str(_module())), machine)
        self._engine.finalize_object()
        take_addresses = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
        self._code = take_addresses(self._engine.get_function_address(_NAME))

    def __call__(self, addresses: np.ndarray, blocks: np.ndarray) -> None:
        """Copies from anywhere in memory; leaves Python's lock meanwhile.

        Args:
            addresses: Where each block begins, int64 [blocks]; nothing checks that it may be read.
            blocks: Where they are copied to, uint8 [blocks, ...], one block after the other; `LINE` bytes or more each.
        """
        size = math.prod(blocks.shape[1:])
        assert addresses.dtype == np.int64 and blocks.dtype == np.uint8
        assert len(addresses) == len(blocks) and size >= LINE
        assert addresses.flags.c_contiguous and blocks.flags.c_contiguous
        self._code(blocks.ctypes.data, addresses.ctypes.data, len(blocks), size)


def _module() -> ir.Module:
    """LLVM's code of a function of where to, the address of the addresses, the number of blocks, and their size.

    The first and the last line of a block are stored as usual, since a block may begin anywhere in a line. They overlap
    with the lines between them, which begin where a line does.
    """
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_INT64] * 4), _NAME)
    to, addresses, blocks, size = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    non_temporal = module.add_metadata([ir.Constant(ir.IntType(32), 1)])
    line = ir.VectorType(_BYTE, LINE).as_pointer()

    def copy_line(source: ir.Value, target: ir.Value) -> ir.Instruction:
        loaded = builder.load(builder.inttoptr(source, line), align=1)
        return builder.store(loaded, builder.inttoptr(target, line), align=1)

    with _counting(builder, _INT64(0), blocks, 1) as block:
        address = builder.add(addresses, builder.mul(block, _INT64(8)))
        source = builder.load(builder.inttoptr(address, _INT64.as_pointer()))
        target = builder.add(to, builder.mul(block, size))
        last = builder.sub(size, _INT64(LINE))
        copy_line(source, target)
        with _counting(builder, builder.and_(builder.neg(target), _INT64(LINE - 1)), last, LINE) as at:
            stored = copy_line(builder.add(source, at), builder.add(target, at))
            stored.align = LINE
            stored.set_metadata("nontemporal", non_temporal)
        copy_line(builder.add(source, last), builder.add(target, last))
    # Other threads see such stores in their order only behind a fence.
    builder.fence("seq_cst")
    builder.ret_void()
    return module


@contextlib.contextmanager
def _counting(builder: ir.IRBuilder, start: ir.Value, end: ir.Value, step: int) -> Iterator[ir.Value]:
    """A block that builds the body of a loop; gives the number that counts from `start` to below `end`."""
    before, body, behind = builder.block, *(builder.append_basic_block() for _ in range(2))
    builder.cbranch(builder.icmp_signed("<", start, end), body, behind)
    builder.position_at_end(body)
    number = builder.phi(_INT64)
    number.add_incoming(start, before)
    yield number
    following = builder.add(number, _INT64(step))
    number.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), body, behind)
    builder.position_at_end(behind)
