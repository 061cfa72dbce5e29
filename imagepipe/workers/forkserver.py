"""The process that forks workers, in a few milliseconds each: it has imported what they need."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
import warnings

from imagepipe.workers.child import leave, preload, take_leave, work
from imagepipe.workers.wire import NUMBER, ORDER


def serve(control_number: int, parent: int, modules: tuple[str, ...]) -> None:
    """Fork a worker whenever the parent asks for one; end, with all of them, when it is gone."""
    take_leave()
    preload(modules)
    gc.collect()
    gc.freeze()  # so that pages stay shared: a collection in a worker does not write to them
    control = socket.socket(fileno=control_number)
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    waiting = select.poll()  # unlike select(), it takes descriptors of any size
    for end in (control, wake):
        waiting.register(end, select.POLLIN)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else the wake-up is not written
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    workers: dict[int, int] = {}  # process id -> descriptor of its status pipe
    try:
        while os.getppid() == parent:  # another process may hold the other end of `control` open
            readable = {descriptor for descriptor, _ in waiting.poll(1_000)}
            if wake.fileno() in readable:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
                _reap(workers)
            if control.fileno() in readable:
                data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 2)
                if not data:
                    break
                order, pid = ORDER.unpack(data)
                if order == b"K":
                    if pid in workers:  # not reaped, so the number is still its own
                        _kill_group(pid)
                elif len(descriptors) == 2:
                    for descriptor in descriptors:  # what a picture's decoder starts has no part in this
                        os.set_inheritable(descriptor, False)
                    _fork(descriptors[0], descriptors[1], workers, [control, wake, woken])
    finally:
        for pid in workers:
            _kill_group(pid)


def _fork(task: int, status: int, workers: dict[int, int], mine: list[socket.socket]) -> None:
    """Start a worker that is spoken to over the socket `task`; tell what becomes of it over `status`."""
    server = os.getpid()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # threads of a preloaded library: they are idle, and not needed
            pid = os.fork()
    except OSError as error:
        os.write(status, NUMBER.pack(-(error.errno or 1)))
        os.close(task)
        os.close(status)
        return
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in mine:
                end.close()
            for descriptor in (status, *workers.values()):
                os.close(descriptor)
            os.setsid()  # a group of its own, to be killed with all that it starts
            _die_with(server)
            work(socket.socket(fileno=task))
        except BaseException:  # noqa: BLE001 - nothing may get back into the loop of the forkserver
            traceback.print_exc()
        finally:
            leave()
    os.close(task)
    workers[pid] = status
    with contextlib.suppress(OSError):
        os.write(status, NUMBER.pack(pid))


def _reap(workers: dict[int, int]) -> None:
    """See to the workers that have ended."""
    for pid in list(workers):
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill_group(pid)  # what it started; before it is reaped, while the number is still its own
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        if not hasattr(os, "waitid"):
            _kill_group(pid)
        pipe = workers.pop(pid)
        with contextlib.suppress(OSError):  # the parent may have lost interest
            os.write(pipe, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os.close(pipe)


def _kill_group(pid: int) -> None:
    """Kill a worker and what it started. It may have ended, or not yet have its own group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, however it ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:
        leave()
