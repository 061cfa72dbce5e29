"""What the numbers in a picture's pixels mean, and how they become sRGB.

`profiles` judges ICC profiles, by what they do and never by their names.
"""

from imagepipe.color.profiles import is_broken_profile, is_srgb_profile

__all__ = ["is_broken_profile", "is_srgb_profile"]
