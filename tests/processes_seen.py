"""Looking at processes from outside, for tests of those that start some."""

import os
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60  #: Seconds after which something that has to happen has not.


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it has just gone, or the system has no /proc
        return not Path("/proc/self").exists()


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until something comes true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.01)


def number_in(path: Path) -> int:
    """Return the number in a file that will be there soon."""
    until(path.exists, f"that there is {path}")
    return int(path.read_text())
