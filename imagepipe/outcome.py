"""What became of each picture, and of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from imagepipe.asset import Asset
from imagepipe.errors import ExitCode, ImagepipeError, Retry
from imagepipe.plain import public_url

SCHEMA = 1  #: Of the JSON lines; raised when a field changes its meaning.


class Status(StrEnum):
    """Where a picture's journey ended."""

    PLANNED = "planned"  #: Nothing was sent; it still could be.
    READY = "ready"  #: Prepared, and delivered to nobody.
    UPLOADED = "uploaded"  #: The store has it, and gave it a number.
    UPDATED = "updated"  #: The store had it; its order, text or thumbnail were changed.
    SKIPPED = "skipped"  #: Decided against; nothing is wrong.
    FAILED = "failed"


class Action(StrEnum):
    """What was, or would be, done in the store."""

    UPLOAD = "upload"
    REPLACE = "replace"
    UPDATE = "update"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input. Carries no picture bytes once they are delivered."""

    asset: Asset
    status: Status
    stage: str = ""  #: Name of the stage that ended the journey early.
    reason: str = ""  #: One sentence: what, why, what to do.
    code: str | None = None  #: A short stable word.
    retry: Retry | None = None
    duplicate_of: str | None = None  #: Source of the picture that this one repeats.
    action: Action = Action.NONE
    seconds: float = 0.0  #: Spent on this picture, waiting in queues left out.
    exit_code: ExitCode = ExitCode.OK  #: What this outcome asks of the process.

    @property
    def failed(self) -> bool:
        return self.status is Status.FAILED

    def to_dict(self, run_id: str | None = None) -> dict[str, Any]:
        """Return the JSON line of this outcome: type `image`; absent values are None."""
        asset, target = self.asset, self.asset.target
        delivery, facts, received = asset.delivery, asset.facts, asset.received
        return {
            "type": "image",
            "schema": SCHEMA,
            "run_id": run_id,
            "source": printable(public_url(asset.source)),
            "image": printable(public_url(asset.location or asset.source)),
            "key": printable(public_url(asset.place)),
            "manifest": printable(asset.origin.manifest),
            "row_number": asset.origin.row_number,
            "row": jsonable(asset.origin.row),
            "status": str(self.status),
            "action": str(self.action),
            "reason": printable(self.reason) or None,
            "code": self.code,
            "retry": self.retry and str(self.retry),
            "warnings": list(asset.warnings),
            "stage": self.stage or None,
            "product_id": target.product_id,
            "sku": target.sku,
            "sort_order": target.sort_order,
            "is_thumbnail": target.is_thumbnail,
            "description": target.description,
            "output": printable(delivery.name) if delivery else None,
            "format": facts.format if facts else None,
            "width": facts.width if facts else None,
            "height": facts.height if facts else None,
            "frames": facts.frames if facts else None,
            "bytes_in": received.size if received else None,
            "bytes_out": delivery.size if delivery else (len(asset.data) if asset.data is not None else None),
            "source_sha256": received.sha256 if received else None,
            "sha256": delivery.sha256 if delivery else None,
            "lossless": asset.lossless if facts else None,
            "notes": [printable(note) for note in asset.notes],
            "image_id": delivery.image_id if delivery else None,
            "url": delivery.url if delivery else None,
            "duplicate_of": self.duplicate_of and printable(public_url(self.duplicate_of)),
            "similar_to": asset.similar_to and printable(public_url(asset.similar_to)),
            "attempts": delivery.attempts if delivery else 0,
            "seconds": round(self.seconds, 3),
        }


@dataclass(slots=True)
class Summary:
    """The totals of a run, kept up to date as outcomes pass by."""

    run_id: str | None = None
    counts: Counter[Status] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    planned_bytes: int = 0  #: Of what a plan would send.
    untouched: int = 0  #: Delivered, or ready, with the pixels that were received.
    retryable: int = 0  #: Failed or planned, and running again may cure it.
    seconds: float = 0.0
    interrupted: bool = False
    stopped: str = ""  #: Why the run ended early; "" when it did not.
    extra: dict[str, Any] = field(default_factory=dict)  #: Requests, deletions, hints; set by the stages that remember.
    _exit_codes: set[ExitCode] = field(default_factory=set)

    def add(self, outcome: Outcome, *, planning: bool = False) -> None:
        """Count `outcome`. While `planning`, `planned` is what all should be."""
        self.counts[outcome.status] += 1
        self.warnings.update(outcome.asset.warnings)
        if outcome.code:
            self.codes[outcome.code] += 1
        if outcome.asset.received:
            self.bytes_in += outcome.asset.received.size
        delivery = outcome.asset.delivery
        if delivery and delivery.size and outcome.status in (Status.UPLOADED, Status.READY):
            self.bytes_out += delivery.size
        if delivery and delivery.size and outcome.status is Status.PLANNED:
            self.planned_bytes += delivery.size
        if outcome.status in (Status.UPLOADED, Status.READY) and outcome.asset.lossless:
            self.untouched += 1
        if outcome.retry is Retry.AGAIN or (outcome.status is Status.PLANNED and not planning):
            self.retryable += 1
        if outcome.status is Status.PLANNED and not planning:
            self._exit_codes.add(outcome.exit_code or ExitCode.TRY_AGAIN)
        elif outcome.status is Status.FAILED:
            self._exit_codes.add(ExitCode.TRY_AGAIN if outcome.retry is Retry.AGAIN else ExitCode.SOME_FAILED)

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that tells the truth: of several, 130, 3, 4, 1 in this order."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        for code in (ExitCode.REFUSED, ExitCode.TRY_AGAIN, ExitCode.SOME_FAILED):
            if code in self._exit_codes:
                return code
        return ExitCode.OK

    def require(self, code: ExitCode) -> None:
        """Let the run end with `code`, unless something weightier happens."""
        self._exit_codes.add(code)

    def raise_for_failures(self) -> None:
        """Raise `ImagepipeError` unless everything went well."""
        if self.exit_code is not ExitCode.OK:
            raise ImagepipeError(f"{self.counts[Status.FAILED]} of {self.total} pictures failed, "
                                 f"{self.counts[Status.PLANNED]} were not tried; "
                                 + (self.stopped or "iterate the run to see each one's reason"))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON line of the summary: type `summary`."""
        return {
            "type": "summary",
            "schema": SCHEMA,
            "run_id": self.run_id,
            "total": self.total,
            **{str(status): self.counts[status] for status in Status},
            "untouched": self.untouched,
            "retryable": self.retryable,
            "codes": dict(self.codes),
            "warnings": dict(self.warnings),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "stopped": printable(self.stopped) or None,
            "exit_code": int(self.exit_code),
            **self.extra,
        }


def printable(text: Any) -> Any:
    """Return `text` as text that every encoder takes: bytes that are not UTF-8 become backslash escapes.

    Control characters stay: JSON escapes them. What goes to a terminal is escaped where it is
    printed.
    """
    if isinstance(text, PurePath):
        text = str(text)
    if not isinstance(text, str):
        return text
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON can spell it
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def jsonable(value: Any) -> Any:
    """Return `value` as JSON can carry it: what it cannot becomes its text."""
    if isinstance(value, Mapping):
        return {str(printable(str(key))): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and value not in (float("inf"), float("-inf")) else None
    return printable(str(value))
