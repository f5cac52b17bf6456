"""What a peer tells of its run: one JSON object on standard output."""

import json
import re
import time
from pathlib import Path


def run(work):
    """Times `work`, imports and the start of Python not included, and tells of it."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    peak_kib = int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])
    print(json.dumps({"seconds": seconds, "peak_kib": peak_kib}))
