"""The protocol between a test and a producer.

The producer prints `ok` when it has made its file. Then it reads one command a line from standard
input, `NAME ARGUMENT...`, carries it out, and prints an answer: `ok` unless the command says
otherwise. So the test always knows how far the producer is. At the end of its input it ends.
"""

import sys


def serve(**actions):
    """Carries out commands with the functions named after them, until the input ends."""
    print("ok", flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        print(actions[name](*arguments) or "ok", flush=True)
