"""save_copy.py SOURCE OUT DTYPE DIM...: `np.save` of a copy in memory, synced."""

import os
import sys

import numpy as np

import report

source, out, dtype, *shape = sys.argv[1:]
shape = tuple(map(int, shape))


def work():
    x = np.memmap(source, dtype, "r", shape=shape)
    with open(out, "wb") as file:
        np.save(file, x.copy())
        file.flush()
        os.fsync(file.fileno())


report.run(work)
