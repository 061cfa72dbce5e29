"""The stages, in the order in which a picture meets them."""
