#!/usr/bin/env python3
"""Makes the drops in `in`: one of each kind. Python alone is enough; NumPy is not needed."""

import json
import struct
from pathlib import Path

INBOX = Path(__file__).parent / "in"


def little_endian(typecode, values):
    return struct.pack(f"<{len(values)}{typecode}", *values)


def main():
    INBOX.mkdir(exist_ok=True)

    # A manifest in TOML, beside data whose number of frames the file's size tells.
    (INBOX / "camera.raw").write_bytes(little_endian("H", range(3 * 4 * 5)))
    (INBOX / "camera.raw.toml").write_text(
        'dtype = "<u2"\nshape = [-1, 4, 5]\n\n# Further keys are yours.\nexposure_ms = 12.5\n'
    )

    # A manifest in JSON: records behind a header of the instrument's own.
    records = b"".join(struct.pack("<Id", tick, tick / 8) for tick in range(100))
    (INBOX / "probe.dat").write_bytes(b"PROBE 1\n" + records)
    (INBOX / "probe.json").write_text(
        json.dumps({"dtype": [["tick", "<u4"], ["volt", "<f8"]], "shape": [100], "offset": 8}) + "\n"
    )

    # A pending file: its header is there, but for its first eight bytes; the data are complete.
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }"
    header = b"\x93NPEND\x01r" + struct.pack("<H", 118) + text.ljust(117).encode() + b"\n"
    (INBOX / "track.npy.pending").write_bytes(header + little_endian("f", [n / 4 for n in range(21)]))

    # Nothing but frames: the configuration has a template for them.
    (INBOX / "detector.u16").write_bytes(little_endian("H", range(2 * 4 * 6)))

    # Room for the header at the front of the data: it is written there, in place.
    room = bytes(128)
    (INBOX / "scope.raw").write_bytes(room + little_endian("h", range(-500, 500)))
    (INBOX / "scope.toml").write_text('dtype = "<i2"\nshape = [1000]\nreserved = 128\n')


if __name__ == "__main__":
    main()
