"""watchdog_script.py IN OUT: finalizes every .raw file that is closed in IN, as its manifest says.

What people write around `watchdog`, with npyd's durability: the array is synced before it gets its
name, and the directory after. Says `ready` once it watches; ends with its standard input.
"""

import os
import sys
import tomllib
from pathlib import Path

import numpy as np
from watchdog.events import FileClosedEvent, FileSystemEventHandler
from watchdog.observers import Observer

source, target = map(Path, sys.argv[1:])


class Finalizer(FileSystemEventHandler):
    def on_closed(self, event):
        raw = Path(event.src_path)
        if raw.suffix != ".raw":
            return
        manifest = tomllib.loads(raw.with_name(raw.name + ".toml").read_text())
        x = np.memmap(raw, manifest["dtype"], "r", shape=tuple(manifest["shape"]))
        part = target / (raw.stem + ".part")
        with open(part, "wb") as file:
            np.save(file, x)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, target / (raw.stem + ".npy"))
        directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)


observer = Observer()
# Only closed files: with all events its queue would overflow in a burst, and drops be lost.
observer.schedule(Finalizer(), str(source), event_filter=[FileClosedEvent])
observer.start()
print("ready", flush=True)
sys.stdin.read()
observer.stop()
observer.join()
