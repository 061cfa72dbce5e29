"""What a picture is to become: one record instead of a dozen loose settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from imagepipe.errors import ConfigurationError
from imagepipe.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What a picture is to become. The defaults are what BigCommerce takes.

    >>> Shaping(max_edge=2000).max_bytes
    8000000
    """

    max_bytes: int = 8_000_000
    max_edge: int | None = None  #: Pixels of the longer side; never enlarges.
    format: str = "auto"  #: `auto`, `keep`, `jpeg`, `png` or `webp`.
    quality: int | None = None  #: 1 to 100; None: that of the source, where it is known.
    min_quality: int | None = None  #: Below it the pixels shrink instead; None: the default of `Fit`.
    background: str | None = None  #: A colour to lay transparent pictures on.
    color: str = "srgb"  #: Or `keep`: pixels and profile stay as they are.
    cmyk_profile: str | None = None  #: File of a profile for CMYK pictures that carry none.
    keep: frozenset[str] = frozenset()  #: Metadata to keep: `copyright`, `icc`, `exif`, `xmp`.
    max_pixels: int = 200_000_000  #: Over all frames.
    max_source_bytes: int = 256_000_000
    accept_damaged: bool = False  #: Take what can be decoded of a damaged picture, with a warning.

    def pipeline(self) -> Pipeline:
        """Return the stages that prepare a picture so."""
        from imagepipe.stages import Convert, Decode, Fit, Read, Strip

        fit: dict[str, Any] = {} if self.min_quality is None else {"min_quality": self.min_quality}
        return Pipeline((
            Read(max_source_bytes=self.max_source_bytes),
            Decode(max_pixels=self.max_pixels, max_source_bytes=self.max_source_bytes,
                   accept_damaged=self.accept_damaged, max_edge=self.max_edge),
            Convert(format=self.format, background=self.background, color=self.color, cmyk_profile=self.cmyk_profile,
                    max_edge=self.max_edge),
            Strip(keep=self.keep | ({"icc"} if self.color == "keep" else frozenset())),
            Fit(self.max_bytes, max_edge=self.max_edge, quality=self.quality,
                may_change_type=self.format == "auto", **fit),
        ))


def shaped(values: Mapping[str, Any]) -> Shaping:
    """Return a shaping with these fields; raise `ConfigurationError` for one that it does not have."""
    known = {field.name for field in fields(Shaping)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    keep = values.get("keep")
    return Shaping(**{**values, "keep": frozenset(keep)} if keep is not None else values)


def take_shaping(shaping: Shaping | None, options: dict[str, Any]) -> tuple[Shaping, dict[str, Any]]:
    """Return the shaping that options name, and the options that are left."""
    known = {field.name for field in fields(Shaping)}
    named = {name: value for name, value in options.items() if name in known}
    rest = {name: value for name, value in options.items() if name not in known}
    if shaping is None:
        return shaped(named), rest
    return replace(shaping, **named), rest
