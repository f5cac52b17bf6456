"""Writes many drops, or checks what became of them: many.py write|check DIRECTORY MANIFESTS PENDINGS

The array of each drop follows from its number alone: its length, its dtype, its values.
"""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "producers"))
import pending  # noqa: E402

DTYPES = ["<f4", ">i2", "<u2", "<f8", "<c8", "|u1"]


def array(number):
    dtype = np.dtype(DTYPES[number % len(DTYPES)])
    rows, columns = 1 + number % 7, 1 + number % 5
    values = np.arange(rows * columns).reshape(rows, columns) + number % 97
    return values.astype(dtype)


def write_manifest_drop(directory, number):
    """The data first, or the manifest first, and the data sometimes under a name of their own."""
    expected = array(number)
    raw = os.path.join(directory, f"m{number}.raw")
    rows, columns = expected.shape
    manifest = f"dtype = '{expected.dtype.str}'\nshape = [{rows}, {columns}]\n"

    def write_data():
        with open(raw, "wb") as file:
            file.write(expected.tobytes())

    def write_manifest():
        with open(raw + ".toml", "w") as file:
            file.write(manifest)

    steps = [write_data, write_manifest]
    for step in steps if number % 2 else reversed(steps):
        step()


def write_pending_drop(directory, number):
    expected = array(number)
    path = os.path.join(directory, f"p{number}.npy")
    open_shape = (-1, expected.shape[1]) if number % 2 else None
    mapped = pending.create(path, expected.dtype, expected.shape, header_shape=open_shape)
    mapped[:] = expected
    pending.mark_ready(mapped)


def check(directory, name, number):
    expected = array(number)
    found = np.load(os.path.join(directory, f"{name}{number}.npy"), mmap_mode="r")
    assert found.dtype == expected.dtype and found.dtype.str == expected.dtype.str, name
    assert found.shape == expected.shape, f"{name}{number}: {found.shape}"
    assert np.array_equal(found, expected), f"{name}{number}"


action, directory, manifests, pendings = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
for number in range(manifests):
    if action == "write":
        write_manifest_drop(directory, number)
    else:
        check(directory, "m", number)
for number in range(pendings):
    if action == "write":
        write_pending_drop(directory, number)
    else:
        check(directory, "p", number)
