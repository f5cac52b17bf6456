"""Writes a dump under another name and publishes it whole: published.py HOW PATH

HOW is `rename` (from a hidden name beside it), `link` (a hard link to that name, which is then
removed) or `unnamed` (an O_TMPFILE that is linked in).

    write COUNT VALUE   appends COUNT `<i4` to the file that has no final name yet
    publish             gives it its final name
    close               closes it and removes its other name, if it has one
"""

import os
import sys

import numpy as np
from commands import serve

how, path = sys.argv[1:]
directory, name = os.path.split(path)
hidden = os.path.join(directory, f".{name}.tmp")
if how == "unnamed":
    descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o644)
else:
    descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)


def write(count, value):
    os.write(descriptor, np.full(int(count), int(value), "<i4").tobytes())


def publish():
    if how == "rename":
        os.rename(hidden, path)
    elif how == "link":
        os.link(hidden, path)
    else:
        # With a directory given, Python uses linkat, which can follow the link of /proc.
        within = os.open(directory, os.O_RDONLY)
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=within, follow_symlinks=True)
        os.close(within)


def close():
    os.close(descriptor)
    if how == "link":
        os.unlink(hidden)


serve(write=write, publish=publish, close=close)
