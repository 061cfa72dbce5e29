"""Prepare product photographs and put them into a BigCommerce store, exactly once.

>>> import imagepipe
>>> imagepipe.prepare("IMG_0001.HEIC").facts.format  # doctest: +SKIP
'jpeg'

The public names are those in `__all__`; each is imported when it is first used, so that
`import imagepipe` and `imagepipe --help` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagepipe import sources, stages
    from imagepipe.api import Run, plan, prepare, prepare_to, upload
    from imagepipe.asset import Asset, Color, Delivery, Facts, Frame, Likeness, Origin, Pixels, Received, Target
    from imagepipe.errors import (
        AccessRefused,
        Ambiguous,
        CannotFit,
        ConfigurationError,
        Corrupt,
        DoesNotComply,
        ExitCode,
        FetchFailed,
        FormatNotAllowed,
        ImageError,
        ImagepipeError,
        LedgerDamaged,
        LedgerError,
        LedgerLocked,
        LedgerNewer,
        NeedsMemory,
        NotAnImage,
        ProductFull,
        ProductNotFound,
        Rejected,
        Retry,
        Skip,
        SourceError,
        StopRun,
        StoreBusy,
        StoreDown,
        StoreError,
        StoreUnusable,
        TooLarge,
        TooManyFrames,
        TooManyPixels,
        TooSlow,
        Uncertain,
        WorkerDied,
    )
    from imagepipe.lanes import Stop
    from imagepipe.ledger import Ledger
    from imagepipe.outcome import Action, Outcome, Status, Summary
    from imagepipe.pipeline import Pipeline, Remembering, Stage
    from imagepipe.runner import run
    from imagepipe.shaping import Shaping
    from imagepipe.stages import Comply, Convert, Decode, Dedupe, Fit, Read, Strip, Upload
    from imagepipe.stores import Store, StoreImage
    from imagepipe.stores.bigcommerce import BigCommerce
    from imagepipe.workers import Workers

__version__ = "0.1.0"

_HOMES = {
    "api": ("Run", "plan", "prepare", "prepare_to", "upload"),
    "asset": ("Asset", "Color", "Delivery", "Facts", "Frame", "Likeness", "Origin", "Pixels", "Received", "Target"),
    "errors": (
        "AccessRefused", "Ambiguous", "CannotFit", "ConfigurationError", "Corrupt", "DoesNotComply", "ExitCode",
        "FetchFailed", "FormatNotAllowed", "ImageError", "ImagepipeError", "LedgerDamaged", "LedgerError",
        "LedgerLocked", "LedgerNewer", "NeedsMemory", "NotAnImage", "ProductFull", "ProductNotFound", "Rejected",
        "Retry", "Skip", "SourceError", "StopRun", "StoreBusy", "StoreDown", "StoreError", "StoreUnusable",
        "TooLarge", "TooManyFrames", "TooManyPixels", "TooSlow", "Uncertain", "WorkerDied"),
    "ledger": ("Ledger",),
    "outcome": ("Action", "Outcome", "Status", "Summary"),
    "pipeline": ("Pipeline", "Remembering", "Stage"),
    "runner": ("Stop", "run"),
    "shaping": ("Shaping",),
    "stages": ("Comply", "Convert", "Decode", "Dedupe", "Fit", "Read", "Strip", "Upload"),
    "stores": ("Store", "StoreImage"),
    "stores.bigcommerce": ("BigCommerce",),
    "workers": ("Workers",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessRefused", "Action", "Ambiguous", "Asset", "BigCommerce", "CannotFit", "Color", "Comply",
    "ConfigurationError", "Convert", "Corrupt", "Decode", "Dedupe", "Delivery", "DoesNotComply", "ExitCode",
    "Facts", "FetchFailed", "Fit", "FormatNotAllowed", "Frame", "ImageError", "ImagepipeError", "Ledger",
    "LedgerDamaged", "LedgerError", "LedgerLocked", "LedgerNewer", "Likeness", "NeedsMemory", "NotAnImage",
    "Origin", "Outcome", "Pipeline", "Pixels", "ProductFull", "ProductNotFound", "Read", "Received", "Rejected",
    "Remembering", "Retry", "Run", "Shaping", "Skip", "SourceError", "Stage", "Status", "Stop", "StopRun", "Store",
    "StoreBusy", "StoreDown", "StoreError", "StoreImage", "StoreUnusable", "Strip", "Summary", "Target", "TooLarge",
    "TooManyFrames", "TooManyPixels", "TooSlow", "Uncertain", "Upload", "WorkerDied", "Workers", "plan", "prepare",
    "prepare_to", "run", "sources", "stages", "upload",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name in ("sources", "stages"):
        return import_module(f"imagepipe.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'imagepipe' has no attribute {name!r}")
    value: object = getattr(import_module(f"imagepipe.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
