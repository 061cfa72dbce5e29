"""Tasks for worker processes, well-behaved and not: a worker imports them from here."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from imagepipe import budget
from imagepipe.errors import CannotFit


def same(value):
    return value


def pid(*_) -> int:
    return os.getpid()


def length(data: bytes) -> int:
    return len(data)


def zeros(size: int) -> bytes:
    return bytes(size)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave(status: int) -> None:
    os._exit(status)


def sys_exit() -> None:
    sys.exit(3)


def kill_yourself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def sleep_said(path: str, seconds: float) -> None:
    """Sleep, and say in a file that it has begun, and in which process."""
    _say(path, os.getpid())
    time.sleep(seconds)


def _say(path: str, number: int) -> None:
    new = Path(f"{path}.{os.getpid()}")
    new.write_text(str(number))
    new.replace(path)  # whoever waits for it finds it whole


def hold_the_gil(seconds: int) -> None:
    """Sleep in C without letting another thread of Python run."""
    ctypes.PyDLL(None).sleep(seconds)


def count_for_ever() -> None:
    while True:
        pass


def take(size: int) -> int:
    data = bytearray(size)
    return len(data)


def announce(size: int, result: object = None):
    budget.reserve(size)
    return result


def announce_said(size: int, folder: str, name: str, seconds: float = 0.0) -> None:
    """Announce memory; note when it was granted, and when it is given back."""
    budget.reserve(size)
    with (Path(folder) / "log").open("a") as file:
        file.write(f"+{name}\n")
    time.sleep(seconds)
    with (Path(folder) / "log").open("a") as file:
        file.write(f"-{name}\n")


class Unpicklable(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class NotLoadable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def raise_unpicklable() -> None:
    raise Unpicklable("seven")


def raise_not_loadable() -> None:
    raise NotLoadable("one", "two")


def raise_value_error() -> None:
    raise ValueError("seven")


def raise_cannot_fit() -> None:
    raise CannotFit(8, 9)


def return_lock() -> object:
    return threading.Lock()


def start_a_child(path: str) -> None:
    """Start a process that outlives its parent if nobody sees to it, then hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _say(path, child.pid)
    time.sleep(600)


def start_a_child_and_return() -> int:
    """Start a process that inherits everything, and leave it behind."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    return child


def log_and_crash(message: str) -> None:
    logging.getLogger("imagepipe.codecs").warning("%s", message)
    os.abort()


def log(level: int, message: str) -> None:
    logging.getLogger("imagepipe.codecs").log(level, message, extra={"lock": threading.Lock()})


def print_and_warn() -> None:
    import warnings

    sys.stdout.write("printed by a decoder\n")
    warnings.warn("odd picture", stacklevel=1)


def search_path() -> list[str]:
    return list(sys.path)


def environment_of_limits() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_AS)[0]


def speak_as_a_c_library() -> None:
    """Write to standard error below Python, as libtiff does."""
    os.write(2, b"TIFFReadDirectory: Warning, odd\n")
