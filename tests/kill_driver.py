"""Runs an upload in a process of its own that kills itself, with SIGKILL, at a given step.

`python kill_driver.py` reads one job a line (JSON), forks a child for it, and writes one result a
line. Everything is imported before the first fork, and no thread of the driver is alive then, so
that a child costs milliseconds. A step is what can be told apart in a ledger or a store: each BEGIN and
COMMIT, before and after; each request before it is sent, in the middle of its body, carried out by
the store and not answered (there the store is asked to do the killing), and answered; each write
of the report. With `kill_at` 0 nobody is killed, and the steps are counted.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from faulty_store import TOKEN
from memory_store import MemoryStore

from imagepipe import api, report
from imagepipe.deadlines import Pace
from imagepipe.http import BaseTransport, Request, Response, Transport
from imagepipe.ledger import Ledger
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.stores.connection import Patience
from imagepipe.testing import jpeg
from imagepipe.undo import undo, undoable


class Steps:
    """Counts the steps of this process, and ends it at one of them."""

    def __init__(self) -> None:
        self.kill_at, self.pipe = 0, -1
        self.names: list[str] = []
        self._lock = threading.Lock()

    def due(self, name: str) -> bool:
        """Count a step; tell whether it is the last."""
        with self._lock:
            self.names.append(name)
            return len(self.names) == self.kill_at

    def step(self, name: str) -> None:
        if self.due(name):
            self.die(name)

    def die(self, name: str) -> None:
        self.last_words(name)
        os.kill(os.getpid(), signal.SIGKILL)

    def last_words(self, name: str) -> None:
        os.write(self.pipe, json.dumps({"killed": name}).encode())


STEPS = Steps()


class MortalConnection(sqlite3.Connection):
    """A connection to the ledger that can die at each end of a transaction."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        word = sql.split(None, 1)[0]
        if word not in ("BEGIN", "COMMIT") and not sql.startswith("PRAGMA journal_mode"):
            return super().execute(sql, *values)
        return self._between(word, partial(super().execute, sql, *values))

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        return self._between("schema", partial(super().executescript, script))

    def _between(self, word: str, work: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        STEPS.step(f"before {word}")
        cursor = work()
        STEPS.step(f"after {word}")
        return cursor


class MortalTransport(BaseTransport):
    """Sends requests, and can die at each moment of one."""

    def __init__(self, transport: BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: Request) -> Response:
        kind = request.method
        STEPS.step(f"before {kind}")
        body = b"".join(request.stream)  # type: ignore[arg-type]  # of a synchronous client
        if body and STEPS.due(f"in the body of {kind}"):
            request.stream = _Half(body, f"in the body of {kind}")
        elif STEPS.due(f"{kind} carried out"):
            STEPS.last_words(f"{kind} carried out")
            request.headers["X-Kill"] = str(os.getpid())
        response = self._transport.handle_request(request)
        STEPS.step(f"{kind} answered")
        return response


class _Half:
    """Half of a body, and then the end."""

    def __init__(self, body: bytes, name: str) -> None:
        self._body, self._name = body, name

    def __iter__(self) -> Iterator[bytes]:
        yield self._body[:len(self._body) // 2]
        STEPS.die(self._name)

    def close(self) -> None:
        pass


def _around(module: Any, name: str, step: str) -> None:
    inner = getattr(module, name)

    def mortal(*arguments: Any, **options: Any) -> Any:
        STEPS.step(f"before {step}")
        result = inner(*arguments, **options)
        STEPS.step(f"after {step}")
        return result

    setattr(module, name, mortal)


def _upload(job: dict[str, Any], store: BigCommerce, sleep: Callable[[float], object]) -> dict[str, Any]:
    written = report.writer_for(job["report"])
    run = api.upload(job["rows"], store, ledger=job["ledger"], jobs=0, roots=[Path(job["folder"])],
                     connections=job["connections"], prune=job["prune"],
                     upload_options={"sleep": sleep, "waits": (0.5, 1.0, 2.0)})
    lines = []
    for outcome in run:
        lines.append(outcome.to_dict(run.run_id))
        STEPS.step("row of the report")
        written.add(lines[-1], outcome.asset.preview)
    written.close(run.summary.to_dict())
    return {"exit_code": int(run.summary.exit_code), "lines": lines, "run": run.run_id,
            "summary": run.summary.to_dict()}


def _undo(job: dict[str, Any], store: BigCommerce, sleep: Callable[[float], object]) -> dict[str, Any]:
    with Ledger.open(job["ledger"]) as ledger:
        what = undoable(store, ledger, job["run"], sleep=sleep)
        done = list(undo(store, ledger, what, sleep=sleep))
        return {**{action: [one.image_id for one in done if one.action == action]
                   for action in ("delete", "restore", "keep", "left")},
                "changed": [image.image_id for image in what.changed], "lost": [lost.key for lost in what.lost]}


def child(job: dict[str, Any], transport: Transport, pipe: int) -> None:
    """Do one job, tell what came of it, and end."""
    ahead = [0.0]

    def sleep(seconds: float) -> None:
        ahead[0] += max(0.0, seconds)

    STEPS.kill_at, STEPS.pipe = job["kill_at"], pipe
    STEPS.names.clear()
    try:
        store = BigCommerce("faulty", TOKEN, base_url=job["base_url"], leave_quota=0, sleep=sleep,
                            transport=MortalTransport(transport), patience=Patience(attempts=4),
                            clock=lambda: time.monotonic() + ahead[0])
        result = _undo(job, store, sleep) if job["command"] == "undo" else _upload(job, store, sleep)
        result["steps"] = STEPS.names
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to hear of it
        import traceback

        result = {"error": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
    with os.fdopen(pipe, "w") as file:
        json.dump(result, file)
    os._exit(0)


def _warm_up() -> None:
    """Import all that an upload needs, and fill its caches."""
    store = MemoryStore()
    store.add_product(1)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.jpg").write_bytes(jpeg(48, 36))
        written = report.writer_for(Path(folder, "report.jsonl"))
        run = api.upload([{"image": "a.jpg", "product_id": 1}], store, ledger=Path(folder, "ledger"), jobs=0,
                         roots=[Path(folder)], upload_options={"sleep": lambda seconds: None})
        for outcome in run:
            written.add(outcome.to_dict(run.run_id), outcome.asset.preview)
        written.close(run.summary.to_dict())
    assert threading.active_count() == 1, "a fork would copy a lock that a thread holds"


def main() -> None:
    """Fork a child for each job that comes in."""
    inner = sqlite3.connect
    sqlite3.connect = partial(inner, factory=MortalConnection)  # type: ignore[assignment]  # for the ledger alone
    _around(os, "fsync", "fsync of the report")
    _around(os, "replace", "renaming the report")
    transport = Transport(pace=Pace(progress=20, total=60), connections=4)  # connects later; loads certificates now
    _warm_up()
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(job, transport, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            if job.get("kill_after") is not None:  # at a moment, whatever goes on then
                time.sleep(job["kill_after"])
                os.kill(pid, signal.SIGKILL)
            said = file.read()
        _, status = os.waitpid(pid, 0)
        result = json.loads(said) if said.endswith(b"}") else {}
        if os.WIFSIGNALED(status):
            result = {"signal": os.WTERMSIG(status), "killed": result.get("killed", "at a moment")}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
