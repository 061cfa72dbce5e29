"""Comply: a picture that is handed over by its address, so that it cannot be changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagepipe import codecs
from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, DoesNotComply
from imagepipe.pipeline import Pipeline

#: What may be beside a picture that leaves as it is: it says nothing about anybody, and changes nothing.
_HARMLESS = frozenset({"the sRGB profile", "a broken colour profile", "values on colour that do not count"})


@dataclass(frozen=True)
class Comply:
    """Refuse a picture that the stages in `pipeline` would change; change nothing.

    The store fetches the file from its address itself, so what would have to be turned, converted,
    shrunk, or cut out of it (EXIF with its position, comments, …) would be shown to everyone. A
    container that would only be tidied up, or lose a profile that says nothing but sRGB, is fine.
    Raises `DoesNotComply` with the reasons, and whatever the stages raise.
    """

    pipeline: Pipeline  #: Stages that prepare: Convert, Strip, Fit.

    def __call__(self, asset: Asset) -> Asset:
        if asset.data is None and asset.pixels is None:
            raise ConfigurationError("Comply found neither data nor pixels; put Read and Decode in front of it")
        shaped = self.pipeline(asset)
        if not _is_same(asset, shaped):
            reasons = shaped.notes[len(asset.notes):] or ("its bytes would change",)
            raise DoesNotComply(reasons)
        return replace(asset, notes=(*asset.notes, "complies as it is"), warnings=shaped.warnings)


def _is_same(asset: Asset, shaped: Asset) -> bool:
    """Say whether the shaped picture is the one received, but for what does no harm in its container."""
    if asset.data is None or shaped.data is None:
        return False  # Decode keeps no bytes of a type that has to change
    if shaped.data == asset.data:
        return True
    format = asset.facts.format if asset.facts else ""
    if format not in codecs.REBUILT:
        return False
    cleaned = codecs.clean(asset.data, format)
    return cleaned.data == shaped.data and _HARMLESS.issuperset(cleaned.removed)
