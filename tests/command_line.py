"""The command line run in this process, in an empty folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagepipe.cli import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def said(self) -> str:
        """All that was printed, with its line ends made spaces."""
        return " ".join((self.out + self.err).split())


class CommandLine:
    """Types commands in `folder`, with nothing of this machine's settings in the environment."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        monkeypatch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("IMAGEPIPE_", "BIGCOMMERCE_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))

    def __call__(self, *arguments: str | Path) -> Result:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        return Result(int(left.value.code or 0), printed.out, printed.err)
