"""Records as a software radio does, by sigmf-python: live_sigmf.py STEM

STEM.sigmf-meta is there before STEM.sigmf-data. Every part is one more than the one before it.

    write COUNT     appends COUNT `ci16_le` samples
    hash            writes the metadata anew, with the hash of the data
    close           closes the data
"""

import sys
from pathlib import Path

import numpy as np
import sigmf
from commands import serve

stem = sys.argv[1]
meta, recorded = Path(f"{stem}.sigmf-meta"), 0
about = {"core:datatype": "ci16_le", "core:sample_rate": 48000, "core:version": "1.2.0"}


def write(count):
    global recorded
    data.write(np.arange(2 * recorded, 2 * (recorded + int(count))).astype("<i2").tobytes())
    data.flush()
    recorded += int(count)


def describe(**kwargs):
    described = sigmf.SigMFFile(global_info=dict(about), **kwargs)
    described.add_capture(0)
    described.tofile(str(meta), skip_validate=True, overwrite=True)


describe()
data = open(f"{stem}.sigmf-data", "wb")
serve(write=write, hash=lambda: describe(data_file=data.name), close=lambda: data.close())
