"""Find a picture that was sent before, by its hash, where the ledger knows that pictures were read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imagepipe.asset import Asset
from imagepipe.errors import ImagepipeError
from imagepipe.ledger import Ledger, Place


@dataclass
class AtHand:
    """Looks for source files by their SHA-256. Each is read once; nothing of it is kept but the hash."""

    ledger: Ledger
    store: str
    folders: Iterable[Path] = ()  #: Folders that may hold them as well, such as a copy that was kept.
    _hashes: dict[str, str | None] = field(default_factory=dict)
    _by_size: dict[int, list[str]] | None = None

    def find(self, place: Place, *, now: Place | None) -> str | None:
        """Return a path or address that holds the picture which `place` showed; None where none does.

        Looks at the place's own path first, then where else the ledger knows this picture, then
        in the folders. A file of another size, where that is known, is not read.
        """
        own = [place.path] + ([now.path] if now is not None else [])
        for path, size in [*((path, place.size) for path in own), *self._elsewhere(place)]:
            if self._holds(path, place.source_sha256, size, fetch=path in own):
                return path
        return None

    def _elsewhere(self, place: Place) -> Iterator[tuple[str, int | None]]:
        sha256 = place.source_sha256
        for other in self.ledger.places(self.store, source_sha256=sha256):
            yield other.path, other.size
        for replaced in self.ledger.replaced(self.store, source_sha256=sha256):
            yield replaced.place.path, replaced.place.size
        for size, paths in self._in_folders().items():
            if place.size in (None, size):
                yield from ((path, size) for path in paths)

    def _in_folders(self) -> dict[int, list[str]]:
        if self._by_size is None:
            self._by_size = {}
            for folder in self.folders:
                for path in sorted(folder.rglob("*")):
                    with contextlib.suppress(OSError):
                        if path.is_file():
                            self._by_size.setdefault(path.stat().st_size, []).append(str(path.absolute()))
        return self._by_size

    def _holds(self, path: str, sha256: str, size: int | None, *, fetch: bool) -> bool:
        if not path or ("://" in path and not fetch):
            return False
        if path not in self._hashes:
            if "://" not in path and size is not None:
                try:
                    if Path(path).stat().st_size != size:
                        return False
                except (OSError, ValueError):
                    return False
            self._hashes[path] = _hash(path)
        return self._hashes[path] == sha256


def _hash(path: str) -> str | None:
    """Return the SHA-256 of what is at a path or address; None where it cannot be read."""
    from imagepipe.stages import Read

    try:
        received = Read()(Asset(path, location=path)).received
    except ImagepipeError:
        return None
    return received.sha256 if received is not None else None
