"""How a picture gets within a number of bytes: what Fit tries, and how it knows what a try will take.

`ways` decides what is tried with which type, and in which order; `within` encodes at the best quality that fits;
`colors` takes colours away where nobody sees it, or a GIF is too large; `shrink` takes pixels away where nothing
else helps; `curve` predicts sizes and searches with few encodes; `sample` is what they predict from; `frames`
concerns animations; `meaning` has colours said as a type can say them; `notes` says what was done.
"""
