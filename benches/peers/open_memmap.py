"""open_memmap.py SOURCE OUT DTYPE DIM...: a copy through `open_memmap`, flushed and synced."""

import os
import sys

import numpy as np
from numpy.lib.format import open_memmap

import report

source, out, dtype, *shape = sys.argv[1:]
shape = tuple(map(int, shape))


def work():
    x = np.memmap(source, dtype, "r", shape=shape)
    y = open_memmap(out, "w+", dtype, shape)
    y[:] = x[:]
    y.flush()
    with open(out, "rb") as file:
        os.fsync(file.fileno())


report.run(work)
