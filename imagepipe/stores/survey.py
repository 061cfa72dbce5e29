"""What a job's products hold before it begins: what a person is told, and what need not be asked again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from imagepipe.errors import StopRun
from imagepipe.stores import StoreImage

#: Seconds for which a run goes by what was seen before it, while a person decides: no longer than it would have looked
#: ahead by itself.
FRESH = 60.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of the products that a job has something to send to."""

    existing: Literal["add", "skip"]
    products: int  #: So many were looked at.
    with_others: int  #: So many of these hold images that are not ours.
    whole: bool = True  #: The whole job was looked at, not only its beginning.
    stopped: StopRun | None = None  #: Why the store could not be asked.
    ids: Mapping[str, int | None] = field(default_factory=dict, repr=False)  #: Product by SKU; None: there is none.
    #: By product: some of its images, as a side-load shows them; None: there is no such product.
    listings: Mapping[int, Sequence[StoreImage] | None] = field(default_factory=dict, repr=False)
    at: float = field(default_factory=time.monotonic, repr=False)

    def __str__(self) -> str:
        """Return it as a sentence; "" where nothing was looked at."""
        if not self.products:
            return ""
        first = "" if self.whole else "first "
        if self.products == 1:
            said = f"The {first}product with new pictures holds{'' if self.with_others else ' no'} other images"
        else:
            of = f"Of {'the ' if first else ''}{first}{self.products:,} products with new pictures"
            said = f"{of}, {self.with_others or 'none'} holds other images" if self.with_others < 2 else (
                f"{of}, {self.with_others:,} hold other images")
        if not self.with_others:
            return f"{said}."
        return f"{said} already: " + (
            "they stay, ours are added (--existing skip leaves such products alone)." if self.existing == "add" else
            "such products are left alone (--existing skip).")

    @property
    def is_fresh(self) -> bool:
        """Whether a run may still go by it."""
        return time.monotonic() - self.at < FRESH
