"""Makes small arrays of every kind with NumPy: `arrays.py DIRECTORY`.

For each array there is NAME.npy, as np.save writes it, NAME.raw, its bytes in memory order, and a
line of index.jsonl that describes the raw bytes: `descr` is the literal of the .npy header.
"""

import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np

PLAIN = [
    "?", "b", "B", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8",
    "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<f16", ">f16", "<c8", ">c8", "<c16", ">c16", "<c32", ">c32",
    "S1", "S5", "S0", "<U1", "<U7", ">U3", "<U0", "V1", "V7", "V0",
    "<M8", ">M8", "<M8[Y]", "<M8[M]", "<M8[W]", "<M8[D]", "<M8[h]", "<M8[m]", "<M8[s]", "<M8[ms]", "<M8[us]",
    "<M8[ns]", "<M8[ps]", "<M8[fs]", "<M8[as]", "<M8[25s]", ">M8[10ms]", "<m8", "<m8[D]", "<m8[100ms]", ">m8[7ns]",
]

SHAPES = [(), (1,), (3,), (0,), (2, 3), (3, 1), (1, 4), (0, 3), (3, 0), (2, 3, 4), (1, 1, 1), (2, 1, 3, 2), (2, 1, 2, 1, 2)]


def structured():
    """Structured dtypes: padding, alignment, titles, nesting, subarrays, and odd names."""
    pixel = np.dtype([("r", "u1"), ("g", "u1"), ("b", "u1")])
    yield [("a", "<i2"), ("b", "<f4")]
    yield [("a", ">i2"), ("b", "|S3"), ("c", "<U2"), ("d", "<M8[ns]"), ("e", "?")]
    yield np.dtype([("a", "u1"), ("b", "<f8"), ("c", "<i2")], align=True)
    yield {"names": ["a", "b"], "formats": ["<i2", "<f8"], "offsets": [3, 16], "itemsize": 40}
    yield {"names": ["x"], "formats": ["<f4"], "offsets": [0], "itemsize": 12}
    yield {"names": ["late"], "formats": ["u1"], "offsets": [9]}
    yield [(("A title", "a"), "<i4"), ("b", "u1")]
    yield [("pos", "<f4", (3,)), ("matrix", "<f8", (2, 2))]
    yield [("one", "<f4", (1,)), ("none", "<f4", (0,)), ("deep", "<i2", (2, 1, 3))]
    yield [("outer", np.dtype((np.dtype(("<f8", (5,))), (2,))))]
    yield [("p", pixel), ("q", pixel, (2,))]
    yield [("n", [("m", [("k", "<i4"), ("l", "<f4", (2,))]), ("o", "u1")]), ("z", "<c8")]
    yield [("n", np.dtype([("a", "u1"), ("b", "<f8")], align=True), (3,)), ("v", "V5")]
    yield [("void", "V4"), ("text", "S0"), ("wide", "U0")]
    yield []
    for name in ["it's", 'say "so"', "it's \"so\"", "back\\slash", "tab\there", "line\nend", "null\x00", "nbsp\xa0", "soft\xad"]:
        yield [(name, "<i4")]
    for name in ["é", "ÿ", "Ω", "日本", "😀", "zero\u200bwidth", "a\u0301"]:
        yield [(name, "<i4"), ("b", "u1")]
    yield [(("Ωmega", "o"), "<f4")]
    yield [(f"f{i}", "<f4") for i in range(40)]
    yield [(f"channel_{i:04}", "<i2") for i in range(300)]  # more than np.load takes by default
    yield [(f"channel_{i:05}_{'x' * 20}", "u1") for i in range(1600)]  # version 2
    yield [(f"kanal_ö_{i:05}_{'x' * 20}", "u1") for i in range(1600)]  # version 2, Latin-1
    yield [(f"канал_{i:05}_{'x' * 20}", "u1") for i in range(1600)]  # version 3


def fill(dtype, shape, random):
    """An array of random bytes: every pattern is an item, but for text, which must be Unicode."""
    array = np.zeros(shape, dtype)
    if array.nbytes and array.dtype.kind not in "U" and "U" not in str(array.dtype):
        raw = random.integers(0, 256, array.nbytes, np.uint8)
        if array.dtype.kind == "b":
            raw &= 1
        array = np.frombuffer(raw.tobytes(), array.dtype).reshape(shape).copy()
    return array


def arrays(random):
    for text in PLAIN:
        for shape in SHAPES:
            yield fill(text, shape, random)
    for shape in SHAPES:
        yield np.asfortranarray(fill("<f4", shape, random)) if shape else fill("<f4", shape, random)
        yield np.asfortranarray(fill(">i8", shape or (1,), random))
    yield fill("u1", (1,) * 64, random)
    yield fill("<i2", (2,) + (1,) * 62 + (3,), random)
    yield np.asfortranarray(fill("<i2", (2,) + (1,) * 62 + (3,), random))
    yield fill("u1", (100_000,), random)
    for description in structured():
        dtype = np.dtype(description)
        for shape in [(), (3,), (2, 2)]:
            yield fill(dtype, shape, random)
        yield np.asfortranarray(fill(dtype, (2, 3), random))


def main(directory):
    directory = Path(directory)
    random = np.random.default_rng(1)
    warnings.simplefilter("ignore")  # of headers that old NumPy can't read
    with open(directory / "index.jsonl", "w") as index:
        for number, array in enumerate(arrays(random)):
            name = f"a{number:04}"
            buffer = io.BytesIO()
            np.save(buffer, array)
            content = buffer.getvalue()
            header = np.lib.format.header_data_from_array_1_0(array)
            order = "F" if header["fortran_order"] else "C"
            raw = array.tobytes(order)
            (directory / f"{name}.npy").write_bytes(content)
            (directory / f"{name}.raw").write_bytes(raw)
            line = {
                "name": name,
                "descr": repr(header["descr"]),
                "shape": list(array.shape),
                "order": order,
                "header_len": len(content) - len(raw),
            }
            index.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
