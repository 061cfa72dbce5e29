"""Everything that imagepipe raises, as one tree.

::

    ImagepipeError
    ├── ConfigurationError        wrong use: a setting, an option, a pipeline
    ├── SourceError               a row, path or address that cannot be used
    │   └── FetchFailed           an address that does not answer now; it may later
    ├── ImageError                something about one picture
    │   ├── NotAnImage            no picture at all: a page, an archive, noise
    │   ├── FormatNotAllowed      a type that is recognised and not taken
    │   ├── Corrupt               damaged, truncated, or not what it says it is
    │   ├── TooLarge              more bytes than the limit on a source
    │   ├── TooManyPixels         more pixels than the limit
    │   ├── TooManyFrames         more frames than the limit
    │   ├── CannotFit             no encoding is within the limits
    │   ├── DoesNotComply         would have to be changed, and only its address is handed over
    │   ├── TooSlow               took longer than a picture may
    │   ├── NeedsMemory           wants more memory than a picture may have
    │   └── WorkerDied            the process that worked on it died
    ├── StoreError                something about the store
    │   ├── Rejected              the store refuses this image for good
    │   ├── ProductNotFound       there is no such product
    │   ├── ProductFull           the product takes no more images
    │   ├── StoreBusy             locked or in conflict, also after waiting
    │   ├── Ambiguous             nobody can tell yet whether a request was carried out
    │   ├── Uncertain             the same, after all that can be done now was done
    │   └── StopRun               about the store and not the picture: the run ends early
    │       ├── AccessRefused     401, 403
    │       ├── StoreDown         no answer, or errors on everything
    │       └── StoreUnusable     answers that make no sense: a redirect, a web page, a name lost
    └── LedgerError               the journal cannot be used
        ├── LedgerLocked          another run is writing to it
        ├── LedgerNewer           written by a newer imagepipe
        └── LedgerDamaged         not a ledger, or a broken one

`Skip` stands outside: it is a decision, not an error.

Each error has a `code`, a short stable word for reports, and says with `retry` what would
help: the same again (`again`), another picture (`new_picture`), or a person (`person`).
"""

from enum import IntEnum, StrEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says when it ends. Never renumbered."""

    OK = 0  #: All well; skipping is well.
    SOME_FAILED = 1  #: Some images failed for good, or differences or problems were found.
    USAGE = 2  #: Wrong use or configuration.
    REFUSED = 3  #: The store refuses us (401, 403).
    TRY_AGAIN = 4  #: Running again may cure it.
    INTERRUPTED = 130  #: Stopped by the user.


class Retry(StrEnum):
    """What would help a picture that did not go through."""

    AGAIN = "again"  #: The same run once more.
    NEW_PICTURE = "new_picture"  #: Another file.
    PERSON = "person"  #: Someone has to look: the manifest, the store, the settings.


class ImagepipeError(Exception):
    """Root of the tree: catch it to catch them all."""

    code: ClassVar[str] = "failed"
    retry: ClassVar[Retry] = Retry.PERSON


class ConfigurationError(ImagepipeError):
    """A setting, an option or a pipeline that cannot work."""

    code = "configuration"


class SourceError(ImagepipeError):
    """A row, a path or an address that cannot be used.

    `word` is the code: `bad_row`, `not_found`, `unreadable`, `not_a_file`, `outside_root`,
    `changed_while_read`, `private_address`, `fetch_failed`, `unknown_sku`, `no_product`, ….
    """

    code = "bad_row"

    def __init__(self, message: str, word: str = "bad_row") -> None:
        super().__init__(message, word)  # args == parameters, so it pickles
        self.word = word

    def __str__(self) -> str:
        return str(self.args[0])


class FetchFailed(SourceError):
    """An address that does not answer now, or breaks off: the same again may cure it."""

    code = "fetch_failed"
    retry = Retry.AGAIN

    def __init__(self, message: str, word: str = "fetch_failed") -> None:
        super().__init__(message, word)


class ImageError(ImagepipeError):
    """Something about one picture that keeps it from going through."""

    code = "image"
    retry = Retry.NEW_PICTURE


class NotAnImage(ImageError):
    """The bytes are no picture: a page, an archive, a film, noise."""

    code = "not_an_image"


class FormatNotAllowed(ImageError):
    """A picture, or a document, of a type that is recognised and not taken."""

    code = "format_not_allowed"


class Corrupt(ImageError):
    """Damaged, truncated, or declares more than it holds."""

    code = "corrupt"


class TooLarge(ImageError):
    """The source has more bytes than a source may have."""

    code = "too_large"


class TooManyPixels(ImageError):
    """More pixels, over all frames, than a picture may have."""

    code = "too_many_pixels"


class TooManyFrames(ImageError):
    """More frames than an animation may have."""

    code = "too_many_frames"


class CannotFit(ImageError):
    """Even the smallest encoding that the settings allow is above the limit."""

    code = "cannot_fit"

    def __init__(self, limit: int, smallest: int, advice: str = "raise --max-bytes or lower --min-quality") -> None:
        super().__init__(limit, smallest, advice)
        self.limit = limit
        self.smallest = smallest
        self.advice = advice

    def __str__(self) -> str:
        return f"smallest encoding is {self.smallest:,} bytes, limit is {self.limit:,}; {self.advice}"


class DoesNotComply(ImageError):
    """Handed over by its address, so that it cannot be changed, and would have to be.

    `reasons` say what would have to be done to it, one sentence each.
    """

    code = "does_not_comply"

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return (f"the store would fetch this picture as it is, but it has to be changed: {'; '.join(self.reasons)}. "
                "Upload it without --by-url, or put a prepared picture (imagepipe prepare) at the address")


class TooSlow(ImageError):
    """Took longer than a picture may take."""

    code = "too_slow"


class NeedsMemory(ImageError):
    """Wants more memory than a picture may have."""

    code = "needs_memory"
    retry = Retry.PERSON


class WorkerDied(ImageError):
    """The process that worked on this picture died."""

    code = "worker_died"


class StoreError(ImagepipeError):
    """Something about the store."""

    code = "store"


class Rejected(StoreError):
    """The store refuses this image for good (400, 413, 415, 422 …)."""

    code = "rejected"


class ProductNotFound(StoreError):
    """There is no such product in the store."""

    code = "no_product"


class ProductFull(StoreError):
    """The product takes no more images (1,000, or 507)."""

    code = "product_full"


class StoreBusy(StoreError):
    """Locked or in conflict (409, 423), also after waiting."""

    code = "busy"
    retry = Retry.AGAIN
    wait: float = 0.0  #: Seconds to let pass before it is looked up.


class Ambiguous(StoreError):
    """A write whose fate is unknown: it has to be looked up before it is repeated."""

    code = "ambiguous"
    retry = Retry.AGAIN
    wait: float = 0.0  #: Seconds to let pass before it is looked up: the store may still be at work.
    accepted: bool = False  #: The store said that it worked, and not what came of it.


class Uncertain(StoreError):
    """Still unknown after looking it up; the next run looks again."""

    code = "uncertain"
    retry = Retry.AGAIN


class StopRun(StoreError):
    """About the store and not the picture: what was not sent stays planned."""

    code = "stopped"
    retry = Retry.AGAIN
    exit_code: ClassVar[ExitCode] = ExitCode.TRY_AGAIN


class AccessRefused(StopRun):
    """The store refuses the token, or what it may do (401, 403)."""

    code = "access_refused"
    retry = Retry.PERSON
    exit_code = ExitCode.REFUSED


class StoreDown(StopRun):
    """No connection, or errors whatever is asked."""

    code = "store_down"


class StoreUnusable(StopRun):
    """Answers that this API does not give: a redirect, a web page, names not kept."""

    code = "store_unusable"


class LedgerError(ImagepipeError):
    """The ledger cannot be opened, read or written."""

    code = "ledger"
    retry = Retry.AGAIN


class LedgerLocked(LedgerError):
    """Another run is writing to this ledger."""

    code = "ledger_locked"


class LedgerNewer(LedgerError):
    """Written by a newer imagepipe."""

    code = "ledger_newer"
    retry = Retry.PERSON


class LedgerDamaged(LedgerError):
    """Not a ledger, or a broken one."""

    code = "ledger_damaged"
    retry = Retry.PERSON


class Skip(Exception):
    """Raised by a stage that decides that a picture goes no further.

    `code` is a short stable word (`duplicate`, `already_uploaded`, …); `duplicate_of` names
    the source that this one repeats.
    """

    def __init__(self, reason: str, code: str = "skipped", duplicate_of: str | None = None) -> None:
        super().__init__(reason, code, duplicate_of)
        self.reason = reason
        self.code = code
        self.duplicate_of = duplicate_of

    def __str__(self) -> str:
        return self.reason
