"""Fixtures for anyone's tests: the sandbox store and pictures.

Loaded by pytest wherever imagepipe is installed, so nothing is imported here before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from imagepipe.sandbox import Sandbox


@pytest.fixture
def imagepipe_sandbox() -> Iterator[Sandbox]:
    """Return a running store of its own for each test, empty; any product that is asked for is made."""
    from imagepipe.sandbox import Sandbox

    with Sandbox(create_missing=True, quota=None) as sandbox:
        yield sandbox


@pytest.fixture
def imagepipe_picture(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a picture below the test's folder, by its name: `imagepipe_picture("a/1.jpg")`.

    Further arguments are those of the function for that type in `imagepipe.testing`.
    """
    from imagepipe.testing import picture

    def write(name: str, **options: Any) -> Path:
        return picture(tmp_path / name, **options)

    return write
