"""`--match`: products read from paths, and the pattern that is suggested."""

import pytest

from imagepipe.asset import Target
from imagepipe.errors import ConfigurationError
from imagepipe.sources import compile_match, suggest


@pytest.mark.parametrize(("pattern", "path", "target"), [
    ("{sku}/*", "SHIRT-1/front.jpg", Target(sku="SHIRT-1")),
    ("{sku}/*", "2026/october/SHIRT-1/front.jpg", Target(sku="SHIRT-1")),
    ("{sku}/*", "front.jpg", None),
    ("/{sku}/*", "SHIRT-1/front.jpg", Target(sku="SHIRT-1")),
    ("/{sku}/*", "october/SHIRT-1/front.jpg", None),
    ("{product_id}/{sort_order}", "77/2.jpg", Target(product_id=77, sort_order=2)),
    ("{product_id}/{sort_order}", "77/front.jpg", None),
    ("{product_id}/*", "0/1.jpg", None),
    ("{product_id}/*", "2147483647/1.jpg", Target(product_id=2**31 - 1)),
    ("{product_id}/*", "2147483648/1.jpg", None),
    ("{product_id}/*", "9" * 5000 + "/1.jpg", None),
    ("{product_id}/*", "\uff11\uff12/1.jpg", None),
    ("{sku}_{sort_order}", "SHIRT_1_02.jpg", Target(sku="SHIRT_1", sort_order=2)),
    ("{sku}_{sort_order}", "SHIRT.jpg", None),
    ("{sku}", "SHIRT-1.5.jpg", Target(sku="SHIRT-1.5")),
    ("{sku}", "SHIRT-1", Target(sku="SHIRT-1")),
    ("{sku}_front.jpg", "A-1_front.jpg", Target(sku="A-1")),
    ("{sku}/**", "A/B/C/1.jpg", Target(sku="A")),
    ("{sku}/**/web/*", "A/x/y/web/1.jpg", Target(sku="A")),
    ("{sku}/**/web/*", "A/web/1.jpg", Target(sku="A")),
    ("{sku}/{sku}_{sort_order}", "A-1/A-1_3.jpg", Target(sku="A-1", sort_order=3)),
    ("{sku}/{sku}_{sort_order}", "A-1/B-1_3.jpg", None),
    ("{sku} *", "A-1 front view.jpg", Target(sku="A-1 front")),
    ("{sku}/*", " /1.jpg", None),
    ("{sku}.(x)+/*", "A.(x)+/1.jpg", Target(sku="A")),
    ("{sku}/*", "cafe\u0301/1.jpg", Target(sku="caf\u00e9")),
    ("{sku}/*", "\udce9/1.jpg", None),
])
def test_a_pattern_reads_the_product_from_a_path(pattern, path, target):
    assert compile_match(pattern).target(path) == target


@pytest.mark.parametrize("pattern", ["", "/", "*", "*/*", "{sku", "sku}/*", "{name}/*", "{}/*", "a**b/{sku}",
                                     "{{sku}}"])
def test_a_pattern_that_says_nothing_is_refused(pattern):
    with pytest.raises(ConfigurationError, match="--match"):
        compile_match(pattern)


@pytest.mark.parametrize(("paths", "pattern"), [
    (["A-1/1.jpg", "A-1/2.jpg", "B-2/1.jpg"], "{sku}/{sort_order}"),
    (["A-1/front.jpg", "B-2/front.jpg", "B-2/back.jpg"], "{sku}/*"),
    (["A-1/web/a.jpg", "B-2/web/a.jpg"], "{sku}/*/*"),
    (["x/A-1/a.jpg", "x/B-2/b.jpg"], "{sku}/*"),
    (["A-1_1.jpg", "A-1_2.jpg", "B-2_1.jpg"], "{sku}_{sort_order}"),
    (["A1-1.jpg", "A1-2.jpg", "B2-1.jpg"], "{sku}-{sort_order}"),
    (["A-100.jpg", "A-101.jpg", "B-100.jpg"], "{sku}-{sort_order}"),
    (["SHIRT1.jpg", "MUG2.jpg"], "{sku}"),
    (["IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg"], None),
    (["DSC01234.jpg", "DSC01235.jpg"], None),
    (["1.jpg", "2.jpg"], None),
    (["front.jpg", "back.jpg"], None),
    (["77/1.jpg", "78/1.jpg"], "{sku}/{sort_order}"),
    ([], None),
])
def test_the_pattern_suggested_fits_and_never_names_a_product_id(paths, pattern):
    assert suggest(paths) == pattern
    if pattern is not None:
        assert all(compile_match(pattern).target(path) is not None for path in paths)
