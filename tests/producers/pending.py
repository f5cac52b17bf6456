"""Pending .npy files: arrays that say by their own header whether they are complete.

A pending file is a .npy file but for its first eight bytes: `\\x93NPEND`, the major version of the
header it will have, and `w` while it is being written or `r` once it is ready.

    array = pending.create("x.npy", "<f4", (100, 512))
    array[:] = ...
    pending.mark_ready(array)
"""

import struct

import numpy as np

WRITING, READY = b"w", b"r"


def header(dtype, shape, fortran_order=False, version=1, total=128, mark=WRITING):
    """A pending header of `total` bytes; one length of `shape` may be -1."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    text = repr({"descr": descr, "fortran_order": fortran_order, "shape": tuple(shape)})
    head = b"\x93NPEND" + bytes([version]) + mark
    length = total - len(head) - (2 if version == 1 else 4)
    head += struct.pack("<H" if version == 1 else "<I", length)
    encoded = text.encode("utf-8" if version == 3 else "latin-1")
    if len(encoded) >= length:
        raise ValueError(f"a header of {total} bytes has no room for {text}")
    return head + encoded.ljust(length - 1) + b"\n"


def create(path, dtype, shape, total=128, header_shape=None):
    """Makes a pending file of full size and returns its data, mapped; `header_shape` where the
    header is to say another shape than the data have (one with -1)."""
    with open(path, "wb") as file:
        file.write(header(dtype, header_shape or shape, total=total))
    return np.memmap(path, dtype, "r+", offset=total, shape=tuple(shape))


def mark_ready(array):
    """Flushes the data of a mapped pending file, then says through the mapping that it is ready."""
    array.flush()
    start = np.memmap(array.filename, "u1", "r+", shape=8)
    start[7] = READY[0]
    start.flush()
