"""How a picture gets within a number of bytes: what Fit tries, and how it knows what a try will take.

`ways` decides what is tried with which type, and in which order; `within` encodes at the best quality that fits;
`shrink` takes pixels away where no quality does; `curve` predicts sizes and searches with few encodes; `notes` says
what was done.
"""
