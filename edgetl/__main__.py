"""The process `edgetl`, which is `python -m edgetl` too, also under torchrun: one command, then its end."""

import atexit
import os
import sys
from typing import NoReturn

from edgetl.cli import main
from edgetl.collecting import collect_less


def run() -> NoReturn:
    """Do the command of this process and leave with its exit code.

    Python would then free every object that torch has made, one by one, which takes longer than solving a
    head. The process ends without that; what others registered for its end is done before.
    """
    collect_less()
    codes = list[int]()
    atexit.register(_leave, codes)  # The first to be registered is the last to be called.
    codes.append(main())
    sys.exit(codes[0])


def _leave(codes: list[int]) -> None:
    """Leave at once, unless an error is on its way out."""
    if codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


if __name__ == "__main__":
    run()
