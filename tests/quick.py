"""Assets that look prepared, for tests of what comes after preparation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagepipe.asset import Asset, Facts, Received, Target


def prepared(source: str, target: Target | str | int, content: str = "", **fields: Any) -> Asset:
    """Return an asset whose picture is `content`, which no decoder looks at."""
    data = f"picture {content or source}".encode()
    return Asset(source, Target.of(target), data=data, received=Received(hashlib.sha256(data).hexdigest(), len(data)),
                 facts=Facts("jpeg", 100, 100), **fields)


@dataclass(frozen=True)
class ReadAsIs:
    """Read a file and call it a JPEG."""

    settings: str = ""

    def __call__(self, asset: Asset, /) -> Asset:
        path = Path(asset.location)
        data, status = path.read_bytes(), path.stat()
        received = Received(hashlib.sha256(data).hexdigest(), len(data), status.st_mtime_ns, status.st_ino)
        return asset.evolve(data=data + self.settings.encode(), received=received, facts=Facts("jpeg", 100, 100))
