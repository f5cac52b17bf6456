"""Writes a raw dump piece by piece: appended.py PATH

    write COUNT VALUE   appends COUNT `<i4` and flushes them to the file
    close               closes the file
    reopen              opens it again, to append
"""

import sys

import numpy as np
from commands import serve

path = sys.argv[1]
file = open(path, "wb")


def write(count, value):
    file.write(np.full(int(count), int(value), "<i4").tobytes())
    file.flush()


def close():
    file.close()


def reopen():
    global file
    file = open(path, "ab")


serve(write=write, close=close, reopen=reopen)
