"""Faults on request: what a test wants to go wrong, and when."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from imagepipe.sandbox.answers import Answer, Refusal, as_text

Kind = int | Literal["cut"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with some requests."""

    kind: Kind  #: A status, or `cut`: the connection is closed without an answer.
    carried_out: bool = False  #: What is asked is done all the same, and its answer lost.
    method: str | None = None  #: Only requests of this method.
    path: str = ""  #: Only requests whose path has this in it.
    body: str | None = None  #: Sent instead of the API's error body, as HTML.
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def answer(self) -> Answer | None:
        """What is answered; None where the connection is cut."""
        if self.kind == "cut":
            return None
        if self.body is not None:
            return Answer(self.kind, self.body.encode(), "text/html; charset=utf-8", self.headers, tells_quota=False)
        if self.kind in (204, 304):
            return Answer(self.kind, headers=self.headers, tells_quota=False)
        error = Refusal(self.kind, "Asked for by a test").answer if self.kind != 401 else as_text(401, "Unauthorized\n")
        return Answer(error.status, error.body, error.content_type, self.headers, tells_quota=False)


@dataclass(slots=True)
class _Coming:
    fault: Fault
    after: int  #: Requests that it still lets pass.
    times: int | None  #: How often it still happens; None: always.


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming: list[_Coming] = []

    def add(self, fault: Fault, after: int, times: int | None) -> None:
        """Let `after` requests that it concerns pass, then let it happen `times` times; None: from then on."""
        with self._lock:
            self._coming.append(_Coming(fault, after, times))

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._coming.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """Return the fault that happens to a request, and count it."""
        with self._lock:
            for coming in self._coming:
                if coming.fault.method not in (None, method) or coming.fault.path not in path or coming.times == 0:
                    continue
                if coming.after:
                    coming.after -= 1
                    continue
                if coming.times is not None:
                    coming.times -= 1
                return coming.fault
        return None
