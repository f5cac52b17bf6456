"""Writes a raw dump through io_uring: io_uring.py PATH

    write COUNT VALUE   appends COUNT `<i4`
    close               closes the file

The kernel's ring is the only holder of the open file: the process has no descriptor of it. The ring
is used by its system calls (io_uring_setup(2)), because Python's standard library has none.
"""

import ctypes
import mmap
import os
import struct
import sys

import numpy as np
from commands import serve

SETUP, ENTER, REGISTER = 425, 426, 427  # system calls, with one number on all architectures
REGISTER_FILES, UNREGISTER_FILES = 2, 3
ENTER_GETEVENTS = 1
OFF_SQ_RING, OFF_SQES = 0, 0x10000000
OP_WRITE, FIXED_FILE = 23, 1
SQE_SIZE, CQE_SIZE = 64, 16

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Ring:
    def __init__(self):
        params = ctypes.create_string_buffer(120)
        self.fd = call(SETUP, 1, params)
        words = struct.unpack("30I", params.raw)
        entries, completions = words[0], words[1]
        _, self.sq_tail, self.sq_mask, _, _, _, self.sq_array = words[10:17]
        self.cq_head, _, self.cq_mask, _, _, self.cqes = words[20:26]
        size = max(self.sq_array + 4 * entries, self.cqes + CQE_SIZE * completions)
        self.ring = mmap.mmap(self.fd, size, offset=OFF_SQ_RING)
        self.sqes = mmap.mmap(self.fd, SQE_SIZE * entries, offset=OFF_SQES)

    def get(self, at):
        return struct.unpack_from("I", self.ring, at)[0]

    def put(self, at, value):
        struct.pack_into("I", self.ring, at, value)

    def write(self, offset, data):
        """Writes to the registered file, and waits until that is done."""
        buffer = ctypes.create_string_buffer(data, len(data))
        tail = self.get(self.sq_tail)
        index = tail & self.get(self.sq_mask)
        entry = (OP_WRITE, FIXED_FILE, 0, 0, offset, ctypes.addressof(buffer), len(data))
        struct.pack_into(f"=BBHiQQI{SQE_SIZE - 28}x", self.sqes, SQE_SIZE * index, *entry)
        self.put(self.sq_array + 4 * index, index)
        self.put(self.sq_tail, tail + 1)
        call(ENTER, self.fd, 1, 1, ENTER_GETEVENTS, None, 0)
        head = self.get(self.cq_head)
        at = self.cqes + CQE_SIZE * (head & self.get(self.cq_mask))
        _, result, _ = struct.unpack_from("=QiI", self.ring, at)
        self.put(self.cq_head, head + 1)
        assert result == len(data), result


ring = Ring()
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
call(REGISTER, ring.fd, REGISTER_FILES, ctypes.byref(ctypes.c_int(file)), 1)
os.close(file)
written = 0


def write(count, value):
    global written
    data = np.full(int(count), int(value), "<i4").tobytes()
    ring.write(written, data)
    written += len(data)


def close():
    call(REGISTER, ring.fd, UNREGISTER_FILES, None, 0)


serve(write=write, close=close)
