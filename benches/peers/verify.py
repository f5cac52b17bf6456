"""verify.py FRAME FRAMES FILE...: whether each file is to NumPy what was dropped.

FRAME is a file with the bytes of one frame. Every frame of a dump is that, but for its first eight
bytes, which are its number; in a burst the number of the first frame is the file's own, from its
name. A file that is no .npy is read as raw frames.
"""

import re
import sys
from pathlib import Path

import numpy as np

frame = np.fromfile(sys.argv[1], np.uint8)
frames = int(sys.argv[2])
AT_ONCE = 1024

for path in map(Path, sys.argv[3:]):
    if path.suffix == ".npy":
        x = np.load(path, mmap_mode="r")
        assert (x.dtype, x.shape) == (np.dtype("<u2"), (frames, 128, 256)), (path, x.dtype, x.shape)
    else:
        x = np.memmap(path, "<u2", "r", shape=(frames, 128, 256))
        assert path.stat().st_size == x.nbytes, path
    first = int((re.search(r"\d+", path.name) or ["0"])[0])
    found = x.reshape(frames, -1).view(np.uint8)
    for at in range(0, frames, AT_ONCE):
        some = found[at : at + AT_ONCE]
        numbers = np.ascontiguousarray(some[:, :8]).view("<u8")[:, 0]
        assert (numbers == first + at + np.arange(len(some))).all(), (path, at)
        assert (some[:, 8:] == frame[8:]).all(), (path, at)
