"""Which product a picture belongs to, said by its path: `{sku}/*`, `{sku}_{sort_order}`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from imagepipe.asset import Target
from imagepipe.errors import ConfigurationError, SourceError
from imagepipe.plain import plain

FIELDS = ("product_id", "sku", "sort_order")
LARGEST = 2**31 - 1  #: Of the store's numbers, which are int32.

_TOKEN = re.compile(r"\{([^{}]*)\}|(\*+)|([^{}*]+)")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}\Z")
#: Names that cameras, phones and chat programs give: what stands before the number is no SKU.
_CAMERA = re.compile(r"(IMG|DSC|DSCN|DSCF|DCIM|_DSC|_MG|PXL|MVIMG|VID|GOPR|P|SAM|HPIM|KIMG|WA|image|photo|picture|"
                     r"scan|screenshot|WhatsApp Image)[-_ ]?[E]?", re.IGNORECASE)
_NUMBERED = re.compile(_CAMERA.pattern + r"[-_ ]?[0-9]{3,}", re.IGNORECASE)


@dataclass(frozen=True)
class Matcher:
    """A pattern that reads product, SKU and order from paths.

    It is anchored at the right: `{sku}/*` looks at the last two parts of a path, however many
    stand before them; a pattern that begins with `/` has to fit the whole path. The extension of
    the file is left out of account. `*` is any text within a part, `**` any number of parts,
    `{name}` at least one character within a part, digits only for `{product_id}` and
    `{sort_order}`. What stands further left takes as much as it can, so `{sku}_{sort_order}`
    splits at the last underscore.

    >>> compile_match("{sku}/*").target("october/SHIRT-1/front.jpg")
    Target(sku='SHIRT-1')
    >>> compile_match("{sku}_{sort_order}").target("SHIRT_1_02.jpg")
    Target(sku='SHIRT_1', sort_order=2)
    """

    pattern: str
    fields: frozenset[str]
    _regex: re.Pattern[str]

    def target(self, relative_path: str) -> Target | None:
        """Return the target that a path names; None where the path does not fit.

        Parts are separated by `/`. A path whose number is no number of the store (0, or above
        2,147,483,647) does not fit.
        """
        path = relative_path.strip("/")
        found = self._regex.fullmatch(_EXTENSION.sub("", path)) or self._regex.fullmatch(path)
        if found is None:
            return None
        values: dict[str, Any] = {}
        for name, text in found.groupdict().items():
            if name == "sku":
                values["sku"] = unicodedata.normalize("NFC", text)  # some file systems take letters apart
                if not values["sku"].strip() or any("\ud800" <= letter <= "\udfff" for letter in text):
                    return None
                continue
            # told by length first: Python refuses to read numbers of thousands of digits
            number = int(text) if len(text.lstrip("0")) <= 10 else LARGEST + 1
            if number > LARGEST or (name == "product_id" and number < 1):
                return None
            values[name] = number
        return Target(**values)


@lru_cache(maxsize=64)
def compile_match(pattern: str) -> Matcher:
    """Return the matcher of a pattern.

    Raises `ConfigurationError` where the pattern cannot be understood, or names nothing that is known.
    """
    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(f"--match {pattern!r}: {why}; patterns look like '{{sku}}/*' or "
                                  "'{sku}_{sort_order}'")

    whole = pattern.startswith("/")
    parts = [part for part in pattern.strip("/").split("/") if part not in ("", ".")]
    if not parts:
        raise wrong("it is empty")
    seen: set[str] = set()
    regexes: list[str] = []
    for part in parts:
        if part == "**":
            regexes.append("(?:[^/]+/)*")
            continue
        pieces: list[str] = []
        position = 0
        for token in _TOKEN.finditer(part):
            if token.start() != position:
                break
            position = token.end()
            name, stars, literal = token.groups()
            if literal is not None:
                pieces.append(re.escape(literal))
            elif stars is not None:
                if len(stars) > 1:
                    raise wrong("** stands for whole folders, with / on both sides")
                pieces.append("[^/]*")
            elif name not in FIELDS:
                raise wrong(f"{{{name}}} is not known; there are {', '.join(f'{{{field}}}' for field in FIELDS)}")
            elif name in seen:
                pieces.append(f"(?P={name})")
            else:
                seen.add(name)
                pieces.append(f"(?P<{name}>{'[^/]+' if name == 'sku' else '[0-9]+'})")
        if position != len(part):
            raise wrong("a brace has no partner")
        regexes.append("".join(pieces) + "/")
    if not seen:
        raise wrong(f"it names none of {', '.join(f'{{{field}}}' for field in FIELDS)}")
    last = regexes.pop()
    # `**` at the end stands for a file somewhere below
    regexes.append(last.removesuffix("/") if parts[-1] != "**" else "(?:[^/]+/)*[^/]+")
    # as little as can be is left over on the left, so that `{sku}/**` takes the topmost folder
    regex = ("" if whole else "(?:[^/]+/)*?") + "".join(regexes)
    return Matcher(pattern, frozenset(seen), re.compile(regex, re.DOTALL))


def matched(matcher: Matcher, path: str, target: Target) -> Target:
    """Return `target` with what its path says of product and order; raise where the path does not fit."""
    found = matcher.target(path)
    if found is None:
        raise SourceError(f"{plain(path)} does not fit the pattern {matcher.pattern}, so its product is not known; "
                          "rename it, or give another --match", "no_target")
    return replace(target, product_id=found.product_id, sku=found.sku,
                   sort_order=target.sort_order if target.sort_order is not None else found.sort_order)


def suggest(paths: Iterable[str]) -> str | None:
    """Return the pattern that fits most of the paths given, or None where none is likely.

    A name made of digits is never taken for a product id: nobody said that it is one.

    >>> suggest(["SHIRT-1/front.jpg", "SHIRT-1/back.jpg", "MUG/1.jpg"])
    '{sku}/*'
    >>> suggest(["SHIRT-1_1.jpg", "SHIRT-1_2.jpg", "MUG_1.jpg"])
    '{sku}_{sort_order}'
    """
    split = [path.strip("/").split("/") for path in paths]
    if not split:
        return None
    deep = [parts for parts in split if len(parts) > 1]
    if len(deep) >= 0.8 * len(split):
        return _suggest_folders(deep)
    flat = [_EXTENSION.sub("", parts[0]) for parts in split if len(parts) == 1]
    if len(flat) < 0.8 * len(split):
        return None
    for separator in ("_", "-"):
        pairs = [re.fullmatch(rf"(.+){separator}([0-9]{{1,4}})", stem) for stem in flat]
        fitting = [pair for pair in pairs if pair and not _CAMERA.fullmatch(pair[1])]
        names = Counter(pair[1] for pair in fitting)
        # a number that follows the same name several times is an order; after `-` it may be a part of the SKU
        if len(fitting) >= 0.8 * len(flat) and (separator == "_" or len(names) < len(fitting)):
            return f"{{sku}}{separator}{{sort_order}}"
    likely = [stem for stem in flat if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", stem) and re.search(r"[0-9]", stem)
              and not stem.isdigit() and not _NUMBERED.match(stem) and not re.search(r"_[0-9]{1,2}$", stem)]
    return "{sku}" if len(likely) >= 0.8 * len(flat) else None


def _suggest_folders(deep: list[list[str]]) -> str:
    """Return the pattern for pictures in folders: the folder just above them, unless those repeat."""
    above: dict[str, set[str]] = defaultdict(set)
    for parts in deep:
        if len(parts) > 2:
            above[parts[-2]].add(parts[-3])
    levels = 1
    if above and all(len(folders) > 1 for folders in above.values()) and all(len(parts) > 2 for parts in deep):
        levels = 2  # SHIRT-1/web/…, MUG/web/…: `web` is no product
    stems = [_EXTENSION.sub("", parts[-1]) for parts in deep]
    ordered = all(re.fullmatch(r"[0-9]{1,4}", stem) for stem in stems)
    return "{sku}/" + "*/" * (levels - 1) + ("{sort_order}" if ordered else "*")
