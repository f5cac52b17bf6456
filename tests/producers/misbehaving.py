"""Does to drops what no producer should: misbehaving.py

    write PATH COUNT VALUE     makes a file of COUNT bytes of that value, or writes over it
    overwrite PATH COUNT VALUE AT   writes over the bytes from AT on of a file that is there
    forge PATH COUNT VALUE AT  the same, and gives it its old times back
    append PATH COUNT VALUE    opens it again, adds bytes and closes it
    truncate PATH SIZE         cuts it
    text PATH WORD...          writes the words over a text, and a newline
    again PATH COUNT VALUE WORD...  drops it anew, and writes the words over its manifest PATH.json
    replace PATH COUNT VALUE   moves another file in its place
    rename PATH OTHER          renames it
    unlink PATH                removes it
    map PATH COUNT             makes a file so long, maps it for writing, and closes every descriptor
    store AT VALUE             writes a byte through the mapping
    unmap                      ends the mapping
    open PATH NAME             holds it open for writing, under a name of ours
    reopen PATH NAME           the same, of a file that is there, to write behind its present end
    put NAME COUNT VALUE       adds bytes to one that is held open
    close NAME                 closes it
    flood DIRECTORY COUNT      makes so many empty files and removes them again

A file that is gone is answered `gone`, anything else that was done `ok`.
"""

import mmap
import os

from commands import serve

held = {}
mapping = None


def data(count, value):
    return bytes([int(value)]) * int(count)


def unless_gone(action):
    def act(*arguments):
        try:
            action(*arguments)
        except FileNotFoundError:
            return "gone"

    return act


def write(path, count, value):
    with open(path, "wb") as file:
        file.write(data(count, value))


def overwrite(path, count, value, at):
    with open(path, "r+b") as file:
        file.seek(int(at))
        file.write(data(count, value))


def forge(path, count, value, at):
    before = os.stat(path)
    overwrite(path, count, value, at)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def append(path, count, value):
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(data(count, value))


def text(path, *words):
    with open(path, "r+") as file:
        file.truncate()
        file.write(" ".join(words) + "\n")


def again(path, count, value, *words):
    write(path, count, value)
    with open(f"{path}.json", "w") as file:
        file.write(" ".join(words))


def replace(path, count, value):
    hidden = os.path.join(os.path.dirname(path), ".made")
    write(hidden, count, value)
    os.rename(hidden, path)


def map_file(path, count):
    global mapping
    with open(path, "wb+") as file:
        file.truncate(int(count))
        mapping = mmap.mmap(file.fileno(), int(count))
    # Python's mapping keeps a descriptor of its own.
    for descriptor in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{descriptor}") == os.path.realpath(path):
            os.close(int(descriptor))


def store(at, value):
    mapping[int(at)] = int(value)


def unmap():
    global mapping
    # Its descriptor is closed already, and its number may be another's by now.
    os.open("/dev/null", os.O_RDONLY)
    mapping = None


def open_file(path, name):
    held[name] = open(path, "ab")


def reopen(path, name):
    held[name] = open(path, "r+b")
    held[name].seek(0, os.SEEK_END)


def put(name, count, value):
    held[name].write(data(count, value))
    held[name].flush()


def close(name):
    held.pop(name).close()


def flood(directory, count):
    path = os.path.join(directory, "flood.tmp")
    for _ in range(int(count)):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)


serve(
    write=write,
    overwrite=unless_gone(overwrite),
    forge=unless_gone(forge),
    append=unless_gone(append),
    truncate=unless_gone(lambda path, size: os.truncate(path, int(size))),
    text=unless_gone(text),
    again=again,
    replace=replace,
    rename=unless_gone(os.rename),
    unlink=unless_gone(os.unlink),
    map=map_file,
    store=store,
    unmap=unmap,
    open=open_file,
    reopen=unless_gone(reopen),
    put=put,
    close=close,
    flood=flood,
)
