"""What the numbers in a picture's pixels mean, and how they become sRGB.

`profiles` judges ICC profiles by what they do, `space` reads what containers say in numbers, `convert`
brings pictures to sRGB: through littleCMS, or, where that has too few bits, through `shaper`, which reads
curves and matrices, and `planes`, which computes; `inks` stands in where a CMYK picture has no profile,
`hdr` tones down PQ and HLG, and `build` writes profiles.
"""

from imagepipe.color.convert import to_srgb
from imagepipe.color.profiles import is_broken_profile, is_srgb_profile
from imagepipe.color.space import color_for, is_srgb, profile_of

__all__ = ["color_for", "is_broken_profile", "is_srgb", "is_srgb_profile", "profile_of", "to_srgb"]
