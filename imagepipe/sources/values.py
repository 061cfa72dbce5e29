"""Cells of a row, as the values of our fields."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from imagepipe.errors import SourceError
from imagepipe.plain import plain
from imagepipe.sources.matching import LARGEST

_TRUE = frozenset({"true", "yes", "y", "t", "1", "on", "x"})
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_FALSE = frozenset({"false", "no", "n", "f", "0", "off"})


def simple(value: Any) -> Any:
    """Return a scalar of numpy or its like as Python has it; everything else as it is."""
    if not isinstance(value, str) and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def absent(value: Any) -> bool:
    """Tell whether a cell is empty: None, NaN (of any library), or blank text."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Decimal) and value.is_nan())


def parse(name: str, value: Any, where: str) -> Any:
    """Return a cell as the value of our field `name`; None where it is empty. Raises `SourceError`."""
    if absent(value):
        return None
    if name == "product_id":
        number = whole(value)
        if number is None or not 1 <= number <= LARGEST:
            raise SourceError(f"{where}: {quoted(value)} is no product id; it is a whole number from 1 to "
                              f"{LARGEST:,}, in plain digits")
        return number
    if name == "sort_order":
        number = whole(value.strip() if isinstance(value, str) else value, negative=True)
        if number is None or not -LARGEST - 1 <= number <= LARGEST:
            raise SourceError(f"{where}: {quoted(value)} is no position; it is a whole number")
        return number
    if name == "is_thumbnail":
        word = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
        if word not in _TRUE | _FALSE:
            raise SourceError(f"{where}: {quoted(value)} is neither yes nor no; write true or false")
        return word in _TRUE
    text = _text(value, where)
    if name == "sku":
        return text.strip()
    if name == "date_modified":
        try:
            datetime.fromisoformat(text.strip())
        except ValueError:
            raise SourceError(f"{where}: {quoted(value)} is no date; write it as 2026-01-31T12:00:00Z") from None
        return text.strip()
    return text


def _text(value: Any, where: str) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (bool, Mapping, list, tuple, bytes)):
        raise SourceError(f"{where}: {quoted(value)} is no text")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if _NO_TEXT.search(text):
        raise SourceError(f"{where}: {quoted(text)} holds a character that is no text (NUL, or half a character)")
    return text


def whole(value: Any, *, negative: bool = False) -> int | None:
    """Return a whole number that is written in one of the ways allowed, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,19}(\.0+)?" if negative else r"[0-9]{1,19}(\.0+)?", value, re.ASCII):
            return None
        return int(value.partition(".")[0])
    if isinstance(value, (float, Decimal)):
        return int(value) if math.isfinite(value) and value == int(value) else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def quoted(value: Any) -> str:
    """Return a cell for a message: escaped, and cut where it is long."""
    try:
        text = plain(value if isinstance(value, str) else repr(value))
    except ValueError:  # a number of more digits than Python writes
        text = "a number of thousands of digits"
    return repr(text if len(text) <= 80 else f"{text[:77]}…") if isinstance(value, str) else text[:80]
