"""Records as SpikeGLX does: live_spikeglx.py DIRECTORY RUN CHANNELS

It writes RUN.meta when it opens RUN.bin, without size and hash; and anew, with both, before it
closes the data. Every sample is one more than the one before it.

    write COUNT     appends COUNT samples of each channel
    close           writes the meta file anew and closes the data
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from commands import serve

directory, run, channels = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fields = {
    "fileCreateTime": "2024-01-02T03:04:05",
    "fileName": f"D:/elsewhere/{run}.bin",
    "firstSample": 0,
    "nSavedChans": channels,
    "niAiRangeMax": 5,
    "niMAGain": 1,
    "niMNGain": 1,
    "niSampRate": 30000,
    "snsMnMaXaDw": f"0,0,{channels},0",
    "snsSaveChanSubset": "all",
    "typeThis": "nidq",
}
written, sha1 = 0, hashlib.sha1()


def describe():
    lines = (f"{key}={fields[key]}\n" for key in sorted(fields))
    (directory / f"{run}.meta").write_text("".join(lines))


def write(count):
    global written
    values = np.arange(written, written + int(count) * channels).astype("<i2").tobytes()
    written += int(count) * channels
    sha1.update(values)
    data.write(values)
    data.flush()


def close():
    fields["fileSHA1"] = sha1.hexdigest().upper()
    fields["fileSizeBytes"] = data.tell()
    fields["fileTimeSecs"] = written / channels / 30000
    describe()
    data.close()


data = open(directory / f"{run}.bin", "wb")
describe()
serve(write=write, close=close)
