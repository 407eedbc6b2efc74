"""The entry of the program: `kilo-review`, and `python -m kilo_review`.

Start-up is most of what a user waits for when there is nothing to review, so the collector rests while the
modules are loaded (they make no garbage), and the process ends without taking itself apart.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

# `python -m` puts the working directory first: the repository under review, from which nothing may be imported.
try:
    if sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109  pathlib costs 3 ms here
        del sys.path[0]
except FileNotFoundError:  # the working directory is gone, and so is what it held
    pass
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before `main` is there to tell
gc.disable()

from kilo_review.cli import main  # noqa: E402  after the collector has been switched off

gc.freeze()
gc.enable()


def run() -> None:
    """Run the command line and leave at once with its exit code; 14 ms sooner than the interpreter would."""
    _open_standard_streams()
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more; `main` has told what there was to tell
            continue
    os._exit(code)


def _open_standard_streams() -> None:
    """A stream that the caller closed becomes /dev/null, before a socket or a file takes its number."""
    names = ("stdin", "stdout", "stderr")
    for number, name in enumerate(names):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number:
            os.dup2(descriptor, number)
            os.close(descriptor)
        setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


if __name__ == "__main__":
    run()
