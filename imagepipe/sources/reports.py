"""What a run wrote down, as the source of another: only what failed, or was not tried, is taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from imagepipe.asset import Origin
from imagepipe.sources.values import absent, whole

REPORTED = ("product_id", "sku", "sort_order", "is_thumbnail", "description", "key")


def from_report(line: Mapping[str, Any]) -> tuple[dict[str, Any], Origin | None] | None:
    """Return what a line of a run's report asks for, and where it came from at first; None: nothing.

    Only pictures that failed or were left `planned` are taken up again, with the key that they
    had, so that their places are those of the first run.
    """
    if line.get("type") != "image" or line.get("status") not in ("failed", "planned"):
        return None
    named = {name: _without_guard(line.get(name)) for name in ("image", *REPORTED)}
    row, number, manifest = line.get("row"), line.get("row_number"), _without_guard(line.get("manifest"))
    if isinstance(row, str) and row.startswith("{"):
        try:
            row = json.loads(row)
        except (ValueError, RecursionError):
            row = None
    if absent(manifest):
        return named, Origin(None, None, row if isinstance(row, Mapping) else None)
    return named, Origin(str(manifest), None if absent(number) else whole(number),
                         row if isinstance(row, Mapping) else None)


def _without_guard(value: Any) -> Any:
    """Return a cell without the apostrophe that keeps spreadsheets from running it as a formula."""
    if isinstance(value, str) and value.startswith("'") and value[1:].lstrip(" \t\r\n\xa0")[:1] in ("=", "+", "-", "@"):
        return value[1:]
    return value
