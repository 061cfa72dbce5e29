"""Prepare product photographs and put them into a BigCommerce store, exactly once."""

__version__ = "0.1.0"
