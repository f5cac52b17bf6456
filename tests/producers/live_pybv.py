"""Exports a recording by pybv, one file a command: live_pybv.py DIRECTORY NAME

Whatever the commands are, the first writes NAME.eeg, the second NAME.vmrk, the third NAME.vhdr:
200 samples of 2 channels, each one more than the one before it.
"""

import sys

import numpy as np
import pybv.io


def at_command(writer):
    def write(*args, **kwargs):
        sys.stdin.readline()
        writer(*args, **kwargs)
        print("ok", flush=True)

    return write


for name in ["_write_bveeg_file", "_write_vmrk_file", "_write_vhdr_file"]:
    setattr(pybv.io, name, at_command(getattr(pybv.io, name)))
print("ok", flush=True)
pybv.io.write_brainvision(
    data=(np.arange(400).reshape(200, 2).T + 0.5) * 1e-6,  # pybv cuts off what is behind the point
    sfreq=500,
    ch_names=["Fp1", "Cz"],
    fname_base=sys.argv[2],
    folder_out=sys.argv[1],
    fmt="binary_int16",
    resolution=1,
    unit="µV",
)
sys.stdin.read()
