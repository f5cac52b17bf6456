"""A file system that answers nothing, as one of a server that is gone: hung_mount.py

    hang PATH      mounts it there; answers `impossible` where that is not allowed
    end PATH       ends it, which also ends the calls that wait for it

It is a FUSE file system whose program never reads a request.
"""

import ctypes
import os
import subprocess

from commands import serve

libc = ctypes.CDLL(None, use_errno=True)
held = {}


def hang(path):
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        return "impossible"
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"npyd", os.fsencode(path), b"fuse", 0, options):
        os.close(fuse)
        return "impossible"
    held[path] = fuse
    return "ok"


def end(path):
    os.close(held.pop(path))
    subprocess.run(["umount", "--lazy", path], check=True)
    return "ok"


serve(hang=hang, end=end)
