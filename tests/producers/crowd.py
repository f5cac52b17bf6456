"""Many producers of all kinds in one directory, and a count of the records that are still there.

    crowd.py write DIRECTORY LOGS COUNT USER...
    crowd.py check LOGS DIRECTORY...

Each producer is a process of its own, as one of the users, and drops one file or series of records.
A record is 32 bytes that no other record has. Each producer keeps a log: `+RECORD` once a record is
written, `-RECORD` before it overwrites one or cuts it off. `check` looks for every record that was
written and not overwritten in all files below the directories, prints those that are missing, and
exits with 1 if there are any.
"""

import ast
import hashlib
import math
import mmap
import os
import random
import re
import signal
import struct
import sys
import time

AT_ONCE = 40
RECORD = re.compile(rb"rec:[0-9]{8}:[0-9]{4}:[0-9a-f]{14}")
LEN = 32


def pause():
    """None, or one that is shorter or longer than the quiet time."""
    time.sleep(random.choice([0, 0, 0.02, 0.1, 0.35, 0.8]))


class Producer:
    def __init__(self, directory, logs, number):
        self.directory, self.number, self.next = directory, number, 0
        self.log = open(os.path.join(logs, f"{number}.log"), "ab", buffering=0)
        self.count = random.randint(2, 12)

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, suffix="raw"):
        return f"p{self.number}.{suffix}"

    def record(self):
        self.next += 1
        head = f"rec:{self.number:08}:{self.next:04}:"
        return (head + hashlib.sha256(head.encode()).hexdigest()[: LEN - len(head)]).encode()

    def wrote(self, record):
        self.log.write(b"+" + record + b"\n")

    def overwrites(self, record):
        self.log.write(b"-" + record + b"\n")

    def describe(self, name=None, dtype="<u8", rows=-1, more=""):
        columns = LEN // int(dtype[-1])
        text = f"dtype = '{dtype}'\nshape = [{rows}, {columns}]\n{more}"
        with open(self.path((name or self.file()) + ".toml"), "w") as file:
            file.write(text)

    def append(self, file, count=None, between=pause):
        records = []
        for _ in range(count or self.count):
            record = self.record()
            file.write(record)
            self.wrote(record)
            records.append(record)
            between()
        return records

    def open(self, name=None, mode="wb"):
        return open(self.path(name or self.file()), mode, buffering=0)

    def slow(self):
        """Writes with pauses, and keeps the file open."""
        self.describe()
        with self.open() as file:
            self.append(file)

    def reopening(self):
        """Opens the file again for each record; it may have been taken meanwhile."""
        for at in range(self.count):
            with self.open(mode="ab") as file:
                self.append(file, 1)
            if at in (0, self.count - 1):
                self.describe()
            pause()

    def mapped(self, dies=False):
        """Fills a mapping of a file of full size, and has closed the descriptor."""
        self.describe(rows=random.choice([-1, self.count]))
        with self.open(mode="w+b") as file:
            file.truncate(self.count * LEN)
            mapping = mmap.mmap(file.fileno(), self.count * LEN)
        for at in range(self.count):
            if dies and at == self.count // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            record = self.record()
            mapping[at * LEN : (at + 1) * LEN] = record
            self.wrote(record)
            pause()

    def mapped_and_dying(self):
        self.mapped(dies=True)

    def dying(self):
        """Is killed within a record."""
        self.describe()
        with self.open() as file:
            self.append(file)
            file.write(self.record()[: LEN // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    def correcting_data(self):
        """Writes one record over when the file may have been taken."""
        self.describe()
        with self.open() as file:
            records = self.append(file, between=lambda: None)
        pause()
        try:
            with self.open(mode="r+b") as file:
                pause()
                at = random.randrange(len(records))
                if os.pread(file.fileno(), LEN, at * LEN) != records[at]:
                    return  # it has become an array, whose header moved the data
                file.seek(at * LEN)
                self.overwrites(records[at])
                self.append(file, 1)
        except FileNotFoundError:
            pass

    def correcting_description(self):
        self.describe(dtype="<f4")
        with self.open() as file:
            self.append(file, between=lambda: None)
        pause()
        pause()
        self.describe(dtype="<i2")

    def renaming(self):
        """Writes under a hidden name, and gives the final one twice."""
        self.describe()
        former = []
        for _ in range(2):
            with self.open(f".{self.file()}.tmp") as file:
                records = self.append(file, between=lambda: None)
            # What has been taken meanwhile is not overwritten, but may be missing for all we know.
            for record in former:
                self.overwrites(record)
            os.rename(self.path(f".{self.file()}.tmp"), self.path(self.file()))
            former = records
            pause()

    def with_digest(self):
        """Says by a digest what the whole file is."""
        count, start = self.count, self.next
        digest = hashlib.sha256(b"".join(self.record() for _ in range(count))).hexdigest()
        self.next = start
        self.describe(more=f"digest = 'sha256:{digest}'\n")
        with self.open() as file:
            self.append(file, count)

    def cutting(self):
        """Writes too much, and cuts it off."""
        self.describe()
        with self.open() as file:
            self.append(file)
            rest = self.append(file, 2)
            pause()
            for record in rest:
                self.overwrites(record)
            file.truncate(self.count * LEN)

    def allocating(self):
        """Allocates the whole file first."""
        self.describe(rows=random.choice([-1, self.count]))
        with self.open() as file:
            os.posix_fallocate(file.fileno(), 0, self.count * LEN)
            self.append(file)

    def holding(self):
        """Does nothing for longer than the quiet time, with the file open."""
        self.describe()
        with self.open() as file:
            self.append(file, between=lambda: None)
            time.sleep(1.5)
            self.append(file, 1)

    def pending(self, header_rows=None, mark=b"r"):
        """Writes a pending header, and says by it that the data are complete."""
        text = repr({"descr": "<u8", "fortran_order": False, "shape": (header_rows or self.count, 4)})
        text = text.encode().ljust(128 - 11) + b"\n"
        with self.open(self.file("npy"), "w+b") as file:
            file.write(b"\x93NPEND\x01w" + struct.pack("<H", len(text)) + text)
            self.append(file)
            file.seek(7)
            file.write(mark)

    def pending_and_abandoned(self):
        self.pending(header_rows=random.choice([-1, self.count]), mark=b"w")

    def series(self):
        """Writes several files, one of which may come late."""
        glob = random.choice([True, False])
        parts = [f"p{self.number}_{part}.raw" for part in range(1, 4)]
        data = f"'p{self.number}_*.raw'" if glob else repr(parts)
        self.describe(f"p{self.number}", more=f"data = {data}\n")
        for part in parts:
            with self.open(part) as file:
                self.append(file, 3)
            pause()

    KINDS = [
        slow, reopening, mapped, mapped_and_dying, dying, correcting_data, correcting_description,
        renaming, with_digest, cutting, allocating, holding, pending, pending_and_abandoned, series,
    ]  # fmt: skip


def write(directory, logs, count, *users):
    running = set()
    for number in range(int(count)):
        while len(running) >= AT_ONCE:
            running.discard(os.wait()[0])
        child = os.fork()
        if child == 0:
            user = int(users[number % len(users)])
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            os.umask(0)
            random.seed(number)
            producer = Producer(directory, logs, number)
            try:
                Producer.KINDS[number % len(Producer.KINDS)](producer)
            finally:
                os._exit(0)
        running.add(child)
    while running:
        running.discard(os.wait()[0])


def is_of_records(array):
    """Whether the array is as long as its header says, and has only whole records, or zeros where
    nothing was written yet."""
    (header_len,) = struct.unpack_from("<H", array, 8)
    header = ast.literal_eval(array[10 : 10 + header_len].decode())
    data = array[10 + header_len :]
    rows = [data[at : at + LEN] for at in range(0, len(data), LEN)]
    length = int(header["descr"][-1]) * math.prod(header["shape"])
    return length == len(data) and all(
        RECORD.fullmatch(row) or row == bytes(LEN) for row in rows
    )


def check(logs, *directories):
    expected, found, wrong = set(), set(), []
    for name in os.listdir(logs):
        with open(os.path.join(logs, name), "rb") as file:
            lines = file.read().splitlines()
        written = {line[1:] for line in lines if line.startswith(b"+")}
        expected |= written - {line[1:] for line in lines if line.startswith(b"-")}
    for directory in directories:
        for where, _, names in os.walk(directory):
            for name in names:
                with open(os.path.join(where, name), "rb") as file:
                    content = file.read()
                found.update(RECORD.findall(content))
                if content.startswith(b"\x93NUMPY"):
                    wrong += [name] * (not is_of_records(content))
    lost = sorted(expected - found)
    print(f"{len(expected)} records, {len(lost)} lost, {len(wrong)} wrong arrays {wrong}")
    for record in lost:
        number = int(record[4:12])
        print(record.decode(), Producer.KINDS[number % len(Producer.KINDS)].__name__)
    return bool(lost or wrong)


if __name__ == "__main__":
    sys.exit({"write": write, "check": check}[sys.argv[1]](*sys.argv[2:]))
