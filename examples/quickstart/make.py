#!/usr/bin/env python3
"""Writes one drop of each kind to `in`. Needs only Python, not NumPy."""

import json
import struct
from pathlib import Path

DROP_DIR = Path(__file__).parent / "in"


def little_endian(typecode, values):
    return struct.pack(f"<{len(values)}{typecode}", *values)


def main():
    DROP_DIR.mkdir(exist_ok=True)

    # A TOML manifest. npyd computes the number of frames from the file size.
    (DROP_DIR / "camera.raw").write_bytes(little_endian("H", range(3 * 4 * 5)))
    (DROP_DIR / "camera.raw.toml").write_text(
        'dtype = "<u2"\nshape = [-1, 4, 5]\n\n# Other keys are your own metadata.\nexposure_ms = 12.5\n'
    )

    # A JSON manifest: records after a header in the instrument's own format.
    records = b"".join(struct.pack("<Id", tick, tick / 8) for tick in range(100))
    (DROP_DIR / "probe.dat").write_bytes(b"PROBE 1\n" + records)
    (DROP_DIR / "probe.json").write_text(
        json.dumps({"dtype": [["tick", "<u4"], ["volt", "<f8"]], "shape": [100], "offset": 8}) + "\n"
    )

    # A pending file that is marked ready: its data are complete, only its first eight bytes differ
    # from a .npy file.
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }"
    header = b"\x93NPEND\x01r" + struct.pack("<H", 118) + text.ljust(117).encode() + b"\n"
    (DROP_DIR / "track.npy.pending").write_bytes(header + little_endian("f", [n / 4 for n in range(21)]))

    # Frames without any description: the configuration has a template for them.
    (DROP_DIR / "detector.u16").write_bytes(little_endian("H", range(2 * 4 * 6)))

    # Reserved room at the front of the data file: npyd writes the header there, in place.
    room = bytes(128)
    (DROP_DIR / "scope.raw").write_bytes(room + little_endian("h", range(-500, 500)))
    (DROP_DIR / "scope.toml").write_text('dtype = "<i2"\nshape = [1000]\nreserved = 128\n')


if __name__ == "__main__":
    main()
