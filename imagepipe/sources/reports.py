"""What a run wrote down, as the source of another: only what failed, or was not tried, is taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from imagepipe.asset import Origin
from imagepipe.plain import plain, unguarded
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


def bad_row(line: Mapping[str, Any]) -> str | None:
    """Return what was wrong with the row that a line of a report tells of; None where the row could be used.

    Of such a row a report has not all that was stated: it has to be corrected where it stands.
    """
    if line.get("code") != "bad_row":
        return None
    said = plain(str(_without_guard(line.get("reason")) or "this row could not be used"))
    manifest = _without_guard(line.get("manifest"))
    advice = f"; correct it in {plain(str(manifest))}, and give that"
    return said if absent(manifest) or said.endswith(advice) else said + advice


def _without_guard(value: Any) -> Any:
    """Return a cell without the apostrophe that keeps spreadsheets from running it as a formula."""
    return unguarded(value) if isinstance(value, str) else value
