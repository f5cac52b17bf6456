"""Records as the Open Ephys GUI does: live_open_ephys.py RECORDING FOLDER CHANNELS

structure.oebin comes last of the files that are made at the start, and stays. The samples reach
continuous.dat in blocks of 4096, the last when the file is closed; their numbers reach the .npy
files at once, whose headers are brought up to date whenever 1024 more are there, and when they are
closed, which is after the data. Every sample is one more than the one before it.

    write COUNT     records COUNT samples of each channel
    close           closes all files
"""

import json
import sys
from pathlib import Path

import numpy as np
from commands import serve

BLOCK, UPDATE = 4096, 1024

recording, folder, channels = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
stream = recording / "continuous" / folder
stream.mkdir(parents=True)


class Rows:
    """A .npy file that grows."""

    def __init__(self, name, dtype):
        self.file = open(stream / name, "wb")
        self.dtype, self.count = np.dtype(dtype), 0
        self.update()

    def update(self):
        text = f"{{'descr': '{self.dtype.str}', 'fortran_order': False, 'shape': ({self.count},), }}"
        self.file.seek(0)
        self.file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little"))
        self.file.write(text.encode().ljust(117) + b"\n")
        self.file.seek(0, 2)
        self.file.flush()

    def write(self, rows):
        self.file.write(rows.astype(self.dtype).tobytes())
        before, self.count = self.count, self.count + len(rows)
        if before // UPDATE != self.count // UPDATE:
            self.update()

    def close(self):
        self.update()
        self.file.close()


def write(count):
    global recorded, block
    samples = np.arange(recorded, recorded + int(count))
    recorded += int(count)
    block = np.concatenate([block, np.arange(samples[0] * channels, recorded * channels)])
    while len(block) > BLOCK * channels:
        data.write(block[: BLOCK * channels].astype("<i2").tobytes())
        data.flush()
        block = block[BLOCK * channels :]
    numbers.write(samples)
    times.write(samples / 30000)


def close():
    data.write(block.astype("<i2").tobytes())
    data.close()
    numbers.close()
    times.close()


recorded, block = 0, np.array([], int)
numbers, times = Rows("sample_numbers.npy", "<i8"), Rows("timestamps.npy", "<f8")
data = open(stream / "continuous.dat", "wb")
channel = {"channel_name": "CH1", "bit_volts": 0.195, "units": "uV"}
structure = {
    "GUI version": "1.0.1",
    "continuous": [{"folder_name": f"{folder}/", "sample_rate": 30000, "num_channels": channels,
                    "channels": [channel] * channels}],
    "events": [],
    "spikes": [],
}
(recording / "structure.oebin").write_text(json.dumps(structure, indent=2))
serve(write=write, close=close)
