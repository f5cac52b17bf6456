"""Another user who means harm: attacker.py UID

It gives up root's rights for those of that user first of all.

    make PATH COUNT VALUE     makes a file of COUNT bytes of that value
    text PATH WORD...         makes a text of these words
    pending PATH COUNT VALUE  makes a pending file of COUNT bytes, marked as ready
    hold PATH                 opens a file of ours for reading and writing and keeps it so
    spoil VALUE               writes over all bytes of the file that is held
    lease PATH                holds a write lease on a file of ours, for as long as the kernel grants
    mark PATH VALUE           forges npyd's mark on the file that is held
    link TARGET PATH          makes a symbolic link
    exchange PATH OTHER       has two names change places
    swap PATH OTHER FROM TARGET N
                              has them change places again and again, N times 50; what is missing
                              is made anew: the one a link to TARGET, the other a copy of FROM;
                              where FROM is a directory, the drop in it is written anew
    flood DIRECTORY COUNT     drops so many scans
    empty DIRECTORY COUNT     drops so many manifests without data
"""

import ctypes
import fcntl
import mmap  # noqa: F401, NumPy needs it later, when it may not be readable any more
import os
import signal
import sys

import numpy as np
import pending
from commands import serve

libc = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2
CWD = -100
MANIFEST = "dtype = '<f4'\nshape = [2, 3]\n"

uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.umask(0o022)
# The kernel sends it to who holds a lease that somebody waits for.
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = None
leased = []


def make(path, count, value):
    with open(path, "wb") as file:
        file.write(bytes([int(value)]) * int(count))


def text(path, *words):
    with open(path, "w") as file:
        file.write(" ".join(words) + "\n")


def make_pending(path, count, value):
    array = pending.create(path, "|u1", (int(count),))
    array[:] = int(value)
    pending.mark_ready(array)


def hold(path):
    global held
    held = os.open(path, os.O_RDWR)


def spoil(value):
    os.pwrite(held, bytes([int(value)]) * os.fstat(held).st_size, 0)


def lease(path):
    descriptor = os.open(path, os.O_RDWR)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    leased.append(descriptor)


def mark(value):
    os.setxattr(held, "user.npyd.source", value.replace("_", " ").encode())


def is_evil(path):
    return os.path.islink(path) or os.lstat(path).st_nlink > 1 and not os.path.isdir(path)


def refresh(content, path, other, target):
    """Makes anew what npyd took: the link where there is none, else the file."""
    for name, its_other in ((path, other), (other, path)):
        if os.path.lexists(name):
            continue
        if not (os.path.lexists(its_other) and is_evil(its_other)):
            os.symlink(target, name)
        else:
            with open(path + ".new", "wb") as new:
                new.write(content)
            os.rename(path + ".new", name)


def touch(*directories):
    """Makes the drop in the one that is no link another drop."""
    for directory in directories:
        if not os.path.islink(directory):
            make(directory + "/scan.raw", 24, 1)


def exchange(path, other):
    libc.renameat2(CWD, os.fsencode(path), CWD, os.fsencode(other), EXCHANGE)


def swap(path, other, source, target, times):
    content = None
    if not os.path.isdir(source):
        with open(source, "rb") as file:
            content = file.read()
    for _ in range(int(times)):
        try:
            touch(path, other) if content is None else refresh(content, path, other, target)
        except OSError:
            pass  # npyd was faster; next time
        for _ in range(50):
            exchange(path, other)


def flood(directory, count):
    data = np.arange(6, dtype="<f4").tobytes()
    for number in range(int(count)):
        path = f"{directory}/flood-{number:05}.raw"
        with open(path, "wb") as file:
            file.write(data)
        with open(path + ".toml", "w") as file:
            file.write(MANIFEST)


def empty(directory, count):
    for number in range(int(count)):
        with open(f"{directory}/empty-{number:06}.raw.toml", "w") as file:
            file.write(MANIFEST)


serve(
    make=make,
    text=text,
    pending=make_pending,
    hold=hold,
    spoil=spoil,
    lease=lease,
    mark=mark,
    link=os.symlink,
    exchange=exchange,
    swap=swap,
    flood=flood,
    empty=empty,
)
