"""Worker processes that can crash, hang or run out of memory without harm to the rest.

`Workers` is a `concurrent.futures.Executor`. Whatever a picture does to the process that works
on it costs that one picture: its future raises `WorkerDied`, `TooSlow` or `NeedsMemory`, the
process is killed with everything that it started, and a fresh one takes its place.

It starts processes of its own accord instead of through `multiprocessing`, which imports the
caller's main module again (scripts without a main guard, notebooks) and forbids daemonic
processes to have children (task queues, Dask).

This protects against accidents and exhaustion, not against a picture that takes over a decoder:
a worker has the rights of its parent, and its answers are pickles.
"""

from imagepipe.workers.crew import CannotStart
from imagepipe.workers.executor import Inline, Workers
from imagepipe.workers.memory import MemoryGate, cores, default_jobs, memory_available

__all__ = ["CannotStart", "Inline", "MemoryGate", "Workers", "cores", "default_jobs", "memory_available"]
