"""The stages: Read, Decode, Convert, Strip, Fit, Dedupe, Upload, in the order in which a picture meets them.

`Comply` stands in for the middle ones where a picture is handed over by its address. Each is
imported when it is first used: those that only talk to the store need no codecs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagepipe.stages.comply import Comply
    from imagepipe.stages.convert import Convert
    from imagepipe.stages.decode import Decode
    from imagepipe.stages.dedupe import Dedupe
    from imagepipe.stages.fit import Fit
    from imagepipe.stages.read import Read
    from imagepipe.stages.strip import Strip
    from imagepipe.stages.upload import Upload

__all__ = ["Comply", "Convert", "Decode", "Dedupe", "Fit", "Read", "Strip", "Upload"]


def __getattr__(name: str) -> object:
    """Import a stage when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'imagepipe.stages' has no attribute {name!r}")
    stage: object = getattr(import_module(f"imagepipe.stages.{name.lower()}"), name)
    globals()[name] = stage
    return stage
