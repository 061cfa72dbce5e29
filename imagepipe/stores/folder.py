"""A folder as the place where prepared pictures go."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from imagepipe import marker
from imagepipe.asset import Asset, Delivery
from imagepipe.errors import ConfigurationError, SourceError, StopRun
from imagepipe.outcome import Outcome

#: Lies in a folder that we write to: says which file came from which input, and that it is output, not input.
INDEX = ".imagepipe-output"


class _Written:
    """What a `Save` remembers: which file of the folder belongs to which input."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.files: dict[str, str] | None = None  #: Lower-case name -> key of the input; None until it is read.
        self.full: OSError | None = None


@dataclass(frozen=True)
class Save:
    """Write prepared pictures into a folder, under the names and subfolders that they had, made plain.

    A file is there whole or not at all. Files that imagepipe did not write are never overwritten;
    its own are, when the picture or the settings have changed. Two inputs never share a file.

    Raises `SourceError` where a file cannot be written, and `StopRun` after the disk was full.
    """

    folder: Path
    _written: _Written = field(default_factory=_Written, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    def open(self) -> None:
        """Make the folder, and mark it as output. Raises `ConfigurationError` where it cannot be written to."""
        try:
            with self._written.lock:
                self._index()
        except SourceError as error:
            if not _is_full(error.__cause__):  # is said when a picture is written: space may come till then
                raise ConfigurationError(f"{error}; name another folder for the pictures") from error

    def __call__(self, asset: Asset, /) -> Asset:
        if asset.data is None or asset.facts is None:
            raise ConfigurationError("Save needs an encoded picture; put Fit before it")
        with self._written.lock:
            if self._written.full is not None:
                raise StopRun(f"{self.folder} is full ({self._written.full.strerror}); free some space, then run the "
                              "same command again")
            path = self.folder / self._name(asset)
            try:
                if not _holds(path, asset.data):
                    _write(path, asset.data)
            except OSError as error:
                if _is_full(error):
                    self._written.full = error
                raise SourceError(f"{path} cannot be written: {error.strerror}", "cannot_write") from error
        delivery = Delivery(name=str(path), sha256=hashlib.sha256(asset.data).hexdigest(), size=len(asset.data),
                            action="none")
        return asset.evolve(delivery=delivery)

    def _name(self, asset: Asset) -> str:
        """Return a file name, relative to the folder, that belongs to this input alone."""
        files = self._index()
        key = asset.place
        parts = PurePosixPath(key.replace("\\", "/")).parts if "://" not in key else ("",)
        folders = [marker.clean_stem(part + ".x") for part in parts[:-1] if part not in ("/", "..", ".")]
        assert asset.facts is not None  # the caller looked
        stem, extension = marker.clean_stem(key), marker.EXTENSIONS.get(asset.facts.format, asset.facts.format)
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        for ending in ("", f"-{digest[:8]}", f"-{digest[:16]}"):
            name = "/".join((*folders, f"{stem}{ending}.{extension}"))
            owner = files.get(name)
            if owner == key or (owner is None and self._is_free(self.folder / name, asset)):
                break
        files[name] = key
        return name

    @staticmethod
    def _is_free(path: Path, asset: Asset) -> bool:
        """Tell whether a name can be had: nothing is there, or this very picture, of a run that was cut off."""
        return not path.exists() or _holds(path, asset.data or b"")

    def _index(self) -> dict[str, str]:
        if self._written.files is None:
            self._written.files = {}
            with contextlib.suppress(OSError, ValueError, AttributeError):
                known = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
                self._written.files.update((str(name), str(key)) for name, key in known["files"].items())
            # written at once: whoever reads the folder while we write to it knows it for output
            self._save_index()
        return self._written.files

    def _save_index(self) -> None:
        text = json.dumps({"imagepipe": 1, "files": self._written.files}, indent=0)
        try:
            _write(self.folder / INDEX, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise SourceError(f"{self.folder} cannot be written to: {error.strerror}", "cannot_write") from error

    def admit(self, assets: Sequence[Asset], /) -> Iterable[Asset | Outcome]:
        """Take everything."""
        return assets

    def finish(self, product: object, /) -> None:
        """Write down which file came from which input."""
        with self._written.lock:
            if self._written.files:
                self._save_index()


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".imagepipe-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)  # `mkstemp` lets nobody else read it
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
