"""Holds a raw dump as np.memmap and writes frames into it: mapped.py PATH FRAMES LENGTH OFFSET

The file has its full size at once: FRAMES frames of LENGTH `<i4`, behind OFFSET bytes.

    frame I VALUE   sets every element of frame I
    flush           syncs the mapping
    close           unmaps and closes the file
    reopen          maps it again, as it is
"""

import sys

import numpy as np
from commands import serve

path, frames, length, offset = sys.argv[1], *map(int, sys.argv[2:])
array = np.memmap(path, "<i4", "w+", offset=offset, shape=(frames, length))


def frame(index, value):
    array[int(index)] = int(value)


def flush():
    array.flush()


def close():
    global array
    del array


def reopen():
    global array
    array = np.memmap(path, "<i4", "r+", offset=offset, shape=(frames, length))


serve(frame=frame, flush=flush, close=close, reopen=reopen)
