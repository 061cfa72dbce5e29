"""The folder that a sandbox keeps its store in: its lock, its access, its marker."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import IO

from imagepipe.errors import ConfigurationError
from imagepipe.sources.folders import MARKER

_LOCKED_BYTE = 1 << 30  # far behind the text, which others may read while it is locked (Windows locks bytes)


class StoreFolder:
    """`<folder>/store/` of a sandbox, held by this process alone until `close`.

    Without a folder it is a temporary one, removed by `close`. Raises `ConfigurationError` where
    the folder cannot be used or another process holds it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="imagepipe-sandbox-", ignore_cleanup_errors=True)
            folder = Path(self._temporary.name)
        self.is_kept = self._temporary is None
        self.path = folder / "store"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._hold()
            for name, text in ((MARKER, ""), (".gitignore", "*\n")):  # never read as a source, never committed
                if not (folder / name).exists():
                    (folder / name).write_text(text)
        except OSError as error:
            raise ConfigurationError(f"the sandbox cannot use the folder {folder}: "
                                     f"{error.strerror or error}") from error

    def access(self, store_hash: str | None, token: str | None) -> tuple[str, str]:
        """Return the store's hash and token: those that are passed, else those kept here, made up once."""
        file = self.path / "access.json"
        kept: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError):
            try:
                kept = {name: str(value) for name, value in json.loads(file.read_text("utf-8")).items()}
            except (ValueError, AttributeError) as error:
                raise ConfigurationError(f"{file} is damaged; delete it for a new token") from error
        known = {"store_hash": store_hash or kept.get("store_hash") or _hash(),
                 "token": token or kept.get("token") or secrets.token_hex(16)}
        if known != kept:
            beside = file.with_suffix(".new")
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
                json.dump(known, new)
            beside.replace(file)
        return known["store_hash"], known["token"]

    def tell(self, url: str) -> None:
        """Write down for others who holds the folder, and where it answers."""
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(json.dumps({"pid": os.getpid(), "url": url}))
        self._lock.flush()

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()  # unlocks, as the end of the process does
        if self._temporary is not None:
            self._temporary.cleanup()

    def _hold(self) -> IO[str]:
        path = self.path / "lock"
        file = path.open("a+", encoding="utf-8")
        try:
            _lock(file)
        except OSError as error:
            file.close()
            if isinstance(error, (BlockingIOError, PermissionError)):  # what POSIX and Windows say of a held lock
                raise ConfigurationError(_holder(path)) from None
            raise
        return file


def _lock(file: IO[str]) -> None:
    """Lock an open file, or raise OSError; the system unlocks it when the process dies."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(lock: Path) -> str:
    told = {"pid": "unknown", "url": ""}
    with contextlib.suppress(OSError, ValueError):
        told |= json.loads(lock.read_text("utf-8"))
    where = f" and answers at {told['url']}" if told["url"] else ""
    return (f"the sandbox in {lock.parent.parent} is in use: process {told['pid']} holds it{where}. "
            "Wait for its end or stop it; or upload to it, with --base-url")


def _hash() -> str:
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(10))
