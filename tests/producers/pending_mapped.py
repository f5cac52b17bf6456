"""Writes a pending file through a mapping: pending_mapped.py PATH FRAMES LENGTH [OPEN]

The file has its full size at once: FRAMES frames of LENGTH `<i4`, behind a header of 128 bytes.
With OPEN the header's first length is -1.

    frame I VALUE   sets every element of frame I
    ready           says through a mapping that the file is ready; the mapping stays
    magic           answers the first six bytes as the mapping shows them, in hexadecimal
    close           unmaps and closes the file
"""

import sys

import numpy as np
import pending
from commands import serve

path, frames, length = sys.argv[1], *map(int, sys.argv[2:4])
header_shape = (-1, length) if "OPEN" in sys.argv else None
array = pending.create(path, "<i4", (frames, length), header_shape=header_shape)
start = np.memmap(path, "u1", "r", shape=8)


def frame(index, value):
    array[int(index)] = int(value)


def ready():
    pending.mark_ready(array)


def magic():
    return bytes(start[:6]).hex()


def close():
    global array, start
    del array, start


serve(frame=frame, ready=ready, magic=magic, close=close)
