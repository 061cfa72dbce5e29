"""The executors: `Workers`, of processes, and `Inline`, in the calling thread."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import ParamSpec, TypeVar

from imagepipe.errors import ConfigurationError
from imagepipe.workers import wire
from imagepipe.workers.crew import Crew, Task
from imagepipe.workers.memory import PICTURE, MemoryGate, default_budget, default_jobs
from imagepipe.workers.processes import Settings, starter

P = ParamSpec("P")
T = TypeVar("T")

#: Imported before there is work, so that a worker starts with them.
PRELOAD = (
    "imagepipe.runner", "imagepipe.stages.read", "imagepipe.stages.decode", "imagepipe.stages.convert",
    "imagepipe.stages.strip", "imagepipe.stages.fit", "imagepipe.stages.comply", "imagepipe.codecs.decode",
    "imagepipe.codecs.decode_heif", "imagepipe.codecs.encode", "imagepipe.color", "imagepipe.likeness", "PIL.Image",
    "PIL.ImageCms", "PIL.ImageStat", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin", "PIL.PpmImagePlugin", "PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "pillow_heif",
    "simplejpeg",
)
#: A worker is replaced after so many tasks, as decoders leak; with a forkserver that takes milliseconds.
RECYCLE_AFTER = 500


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()  #: For the end of the program.


@atexit.register
def _stop_all() -> None:
    for crew in list(_crews):
        crew.stop()


class Workers(Executor):
    """Worker processes, each of which may crash, hang or run out of memory without harm to the rest.

    `jobs` processes at the same time (None: one a core, as memory allows). A task may take
    `wall_seconds` from its begin to the arrival of its result (None: without limit; what it waits
    for memory does not count), `cpu_seconds` of processor time (None: half of `wall_seconds`), and
    `memory` bytes of address space beyond what a fresh worker has (0: without limit). Where
    `memory` is None, a task may have 2 GiB, or the whole of a `memory_budget` that is stated.
    `memory_budget` is what tasks may announce together, by `submit_sized` or
    `imagepipe.budget.reserve` (None: three quarters of what is available).

    `preload` names modules to import beforehand; `start_method` is `forkserver`, `spawn`, or None for
    what suits the system; a process is replaced after `recycle_after` tasks (None: never).

    A task that breaks a limit or kills its process ends with `TooSlow`, `NeedsMemory` or
    `WorkerDied`; what cannot be sent to a worker or back with `ConfigurationError`. `CannotStart` is
    raised by `submit` once processes cannot be started at all.

    Leaving the `with` block by an exception, Ctrl-C included, stops what is running. So does the
    end of the program; an executor that is merely forgotten finishes what it was given. On
    Windows there are no limits on memory and processor time; on macOS memory is watched instead of
    limited, four times a second.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        wall_seconds: float | None = 60.0,
        cpu_seconds: float | None = None,
        memory: int | None = None,
        memory_budget: int | None = None,
        start_method: str | None = None,
        preload: tuple[str, ...] = PRELOAD,
        recycle_after: int | None = RECYCLE_AFTER,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise ConfigurationError(f"jobs is {jobs}: at least 1 worker process is needed; to work without, use "
                                     "Inline (--jobs 0)")
        for name, value in (("wall_seconds", wall_seconds), ("cpu_seconds", cpu_seconds),
                            ("memory_budget", memory_budget)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is {value}: a limit has to be more than 0")
        if start_method not in (None, "forkserver", "spawn") or (start_method == "forkserver"
                                                                and sys.platform == "win32"):
            raise ConfigurationError(f"start_method is {start_method!r}: use 'spawn', 'forkserver' (not on Windows) or "
                                     "None")
        self.memory_budget = default_budget() if memory_budget is None else memory_budget
        if memory is None:
            memory = min(PICTURE, self.memory_budget) if memory_budget is None else memory_budget
        #: How many processes there are at most.
        self.jobs = default_jobs(self.memory_budget) if jobs is None else jobs
        if cpu_seconds is None and wall_seconds is not None:
            cpu_seconds = wall_seconds / 2
        settings = Settings(cpu_seconds, memory or None, tuple(preload))
        self._crew = Crew(self.jobs, starter(start_method, settings), MemoryGate(self.memory_budget), wall_seconds,
                           settings, recycle_after)
        _crews.add(self._crew)
        # whoever forgets the executor may still wait for what was submitted
        weakref.finalize(self, Crew.forget, self._crew).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` called in a worker."""
        return self._crew.add(Task(Future(), (fn, args, kwargs), _name(fn)))

    def submit_sized(self, size: int, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the same for a call that needs about `size` bytes: it waits until they may be used."""
        return self._crew.add(Task(Future(), (fn, args, kwargs), _name(fn), size))

    def check(self, *values: object) -> None:
        """Raise `ConfigurationError` for a value that a worker could not be sent, such as a function of a script."""
        for value in values:
            wire.pickled(value, _name(value))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; end the processes when all that was submitted is done, or begun and the rest cancelled."""
        self._crew.close(cancel_futures)
        if wait:
            self._crew.join()

    def stop(self) -> None:
        """Cancel what is queued, kill what is running, and wait until all processes are gone."""
        self._crew.stop()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.stop()


class Inline(Executor):
    """Works in the calling thread, at once. What it is given can crash or hang the program."""

    inline = True  #: For those who would otherwise send work ahead.
    jobs = 1

    def __init__(self) -> None:
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn(*args, **kwargs)` now."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            value = fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the future
            future.set_exception(error)
        else:
            future.set_result(value)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._closed = True


def _name(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)
