"""How much memory and how many processors there are, and who may use them."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from imagepipe.errors import NeedsMemory

#: What a worker needs for an everyday picture: 24 million pixels, decoded, and a second copy while
#: it is converted or encoded, beside the interpreter. Larger ones are announced by their stage.
EVERYDAY = 256 << 20
#: What a picture may have at most, unless it is said otherwise (HOSTILE.md).
PICTURE = 2 << 30
#: Taken for granted where a system tells nothing.
_UNKNOWN = 2 << 30


def memory_available(root: Path = Path("/")) -> int:
    """Return how many bytes this process and its children can still take.

    The least of: what the machine has to spare; what the control groups of the process, up to the
    outermost, allow beyond what they use (their file cache is given back under pressure, so it counts as
    free); and the limit on address space, where one is set. `root` is the top of the file system.
    """
    return max(0, min([*_of_machine(root), *_of_groups(root), *_of_limits()], default=_UNKNOWN))


def default_jobs(memory: int | None = None) -> int:
    """Return how many workers to start: one a core, as far as everyday pictures fit into `memory` bytes."""
    budget = default_budget() if memory is None else memory
    return max(1, min(cores(), budget // EVERYDAY))


def default_budget() -> int:
    """Return what pictures in workers may use together: three quarters of what is available.

    One everyday picture may be tried in any case.

    The rest is for the parent, which holds prepared pictures until they are sent, and for the
    interpreters of the workers. In a container with 1 GB that leaves about 700 MB: two workers for
    everyday pictures, while one of 100 million pixels runs alone.
    """
    return max(EVERYDAY, memory_available() * 3 // 4)


def cores(root: Path = Path("/")) -> int:
    """Return how many processors this process may use: its affinity, and the quota of its control groups."""
    with_affinity = getattr(os, "sched_getaffinity", None)  # Linux
    count = len(with_affinity(0)) if with_affinity is not None else os.cpu_count() or 1
    for folder in _groups(root, "cpu"):
        quota = _words(folder / "cpu.max") or _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        # else `max` or -1: no quota
        if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):
            count = min(count, -(-int(quota[0]) // int(quota[1])))  # of half a core, all
    return max(1, count)


def _of_machine(root: Path) -> Iterator[int]:
    available = _fields(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        yield available << 10  # in KiB
    elif sys.platform == "win32":
        yield _of_windows()
    else:
        with suppress(AttributeError, OSError, ValueError):  # macOS tells only what there is; half of it may be free
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _of_groups(root: Path) -> Iterator[int]:
    """Yield what each control group allows: version 2 and version 1 of the kernel's interface.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
    """
    for folder in _groups(root, "memory"):
        for limit, usage, cache in (("memory.max", "memory.current", "inactive_file"),
                                    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")):
            most, used = _words(folder / limit), _words(folder / usage)
            if most and used and most[0].isdigit():  # else `max`: no limit
                yield int(most[0]) - int(used[0]) + _fields(folder / "memory.stat").get(cache, 0)


def _of_limits() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft - address_space()


def _of_windows() -> int:
    """Return `ullAvailPhys` of `GlobalMemoryStatusEx`."""

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "available", "page", "page_available", "virtual",
                                                    "virtual_available", "extended")]

    status = Status(ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]  # Windows only
    return int(status.available)


def address_space() -> int:
    """Return how many bytes of addresses this process has mapped; 0 where that is not told."""
    pages = _words(Path("/proc/self/statm"))
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, innermost first.

    In a container the path that /proc names may not be there, as the container's own group is
    what is mounted: so every folder up to the mount is looked at, and most do not exist.
    """
    top = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):  # `4:memory:/path`; version 2: `0::/path`
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names and controller not in names.split(","):
            continue
        for mount in (top / names, top / controller) if names else (top, top / "unified"):
            if not mount.is_dir():
                continue
            inside = PurePosixPath(path.lstrip("/"))
            if ".." not in inside.parts:
                for part in (inside, *inside.parents):
                    yield mount / part
            else:
                yield mount
            break


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _fields(path: Path) -> dict[str, int]:
    """Return the first two words of each line of a file as names and numbers."""
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def shown(size: int) -> str:
    """Return a number of bytes as people say it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class MemoryGate:
    """Lets pictures through as memory allows: in turn, a large one alone.

    Whoever wants memory states the total that it needs. It goes through when the sum of all stays
    within the budget; until then those that came later wait behind it, so that small ones cannot
    keep a large one waiting for ever.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: dict[object, int] = {}
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def take(self, holder: object, size: int, *, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until `holder` may use `size` bytes in all; return False if `give_up()` came true.

        Raises `NeedsMemory` if that is more than the budget.
        """
        if size > self.budget:
            raise NeedsMemory(f"this picture needs about {shown(size)} of memory, and {shown(self.budget)} may be "
                              "used; raise --memory, or make the picture smaller")
        with self._changed:
            if size <= self._held.get(holder, 0):
                return True
            self._waiting.append(holder)
            self._changed.notify_all()  # if all wait now, the first may go on
            try:
                while not self._may_pass(holder, size):
                    if give_up():
                        return False
                    self._changed.wait(1.0)  # `give_up` is told by nobody
                self._held[holder] = size
            finally:
                self._waiting.remove(holder)
                self._changed.notify_all()
        return True

    def give_back(self, holder: object) -> None:
        """Let go of all that `holder` has."""
        with self._changed:
            if self._held.pop(holder, None) is not None:
                self._changed.notify_all()

    def _may_pass(self, holder: object, size: int) -> bool:
        others = sum(held for other, held in self._held.items() if other is not holder)
        if self._waiting[0] is holder:
            # all that hold something wait for more: none would ever give back, so the first goes on
            return others + size <= self.budget or all(other in self._waiting for other in self._held)
        # one that holds something already goes first where it fits: it is nearer to giving back
        return holder in self._held and others + size <= self.budget
