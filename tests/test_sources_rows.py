"""Rows of callers: dicts, data frames, rows of a database, bytes, files; and the values of cells."""

import io
import os
import sqlite3
import tracemalloc
from collections import namedtuple
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipe import sources
from imagepipe.asset import Asset, Target
from imagepipe.errors import SourceError
from imagepipe.outcome import Outcome, Status
from imagepipe.sources.apart import Numbers
from imagepipe.sources.values import absent, parse

NAN = float("nan")


class NAType:
    """As pandas has it: cannot be told true from false."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


class Scalar:
    """As numpy has them: not an int, nor a float."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("value", [7, "7", 7.0, "7.0", Decimal(7), "007", Scalar(7), Scalar(7.0)])
def test_a_product_id_is_a_whole_number_however_it_is_written(value):
    (asset,) = sources.from_rows([{"image": "a.jpg", "product_id": value}])

    assert asset.target == Target(product_id=7)
    assert type(asset.target.product_id) is int


@pytest.mark.parametrize("value", [
    -1, 0, "-1", "0", 1.5, "1.5", "1e3", 2**31, str(2**31), 2**63, "9" * 5_000, "\uff11\uff12", " 7 ", "7 ", "+7",
    pytest.param(10**5_000, id="5,000 digits"),
    "0x7", "1_000", "1,000", True, False, float("inf"), Decimal("Infinity"), Decimal("1.5"), [7], b"7", "\u0667", "7\n",
])
def test_what_is_no_product_id_is_refused_with_the_row_and_the_column(value):
    first, refused = sources.from_rows([{"image": "a.jpg"}, {"image": "b.jpg", "product_id": value}])

    assert isinstance(first, Asset)
    assert (refused.status, refused.code) == (Status.FAILED, "bad_row")
    assert "row 2, column product_id" in refused.reason
    assert len(refused.reason) < 400
    assert refused.asset.source == "b.jpg"


def test_the_largest_product_id_is_that_of_the_store():
    assert parse("product_id", str(2**31 - 1), "") == 2**31 - 1


@pytest.mark.parametrize("value", [None, "", "  ", NAN, Decimal("nan"), NAType(), Scalar(NAN), Scalar(None)])
def test_what_is_empty_is_absent(value):
    row = {"image": "a.jpg", "sku": "A", "product_id": value, "sort_order": value, "is_thumbnail": value,
           "description": value, "key": value}

    (asset,) = sources.from_rows([row])

    assert asset.target == Target(sku="A")
    assert asset.key == "a.jpg"


def test_nothing_else_is_absent():
    assert not any(absent(value) for value in (0, False, "0", 0.0, "nan", b"", [], "None"))


@pytest.mark.parametrize(("value", "meant"), [
    ("yes", True), ("Yes", True), ("TRUE", True), ("t", True), ("1", True), ("x", True), ("X", True), (1, True),
    (1.0, True), (True, True), (Scalar(True), True), (" on ", True),
    ("no", False), ("FALSE", False), ("0", False), (0, False), (0.0, False), (False, False), ("n", False),
])
def test_a_thumbnail_is_said_in_many_ways(value, meant):
    assert parse("is_thumbnail", getattr(value, "value", value), "") is meant


@pytest.mark.parametrize("value", ["maybe", "2", 2, "yes please", "-", [True]])
def test_what_is_neither_yes_nor_no_is_refused(value):
    with pytest.raises(SourceError, match="neither yes nor no"):
        parse("is_thumbnail", value, "row 1")


@pytest.mark.parametrize(("value", "meant"), [("3", 3), (" 3 ", 3), (3.0, 3), ("3.0", 3), ("-2", -2), (0, 0), ("0", 0)])
def test_a_position_is_a_whole_number(value, meant):
    assert parse("sort_order", value, "") == meant


@pytest.mark.parametrize("value", ["first", "1.5", 1.5, "1e3", 2**31, "\u0663", True])
def test_what_is_no_position_is_refused(value):
    with pytest.raises(SourceError, match="no position"):
        parse("sort_order", value, "row 1")


@pytest.mark.parametrize(("value", "meant"), [
    ("00123", "00123"), (123, "123"), (123.0, "123"), (" A-1 ", "A-1"), (Decimal("12"), "12")])
def test_a_sku_keeps_its_zeros_and_a_number_is_written_plainly(value, meant):
    assert parse("sku", value, "") == meant


@pytest.mark.parametrize("value", ["a\0b", "\ud800", b"A", {"a": 1}, ["A"], True])
def test_what_is_no_text_is_no_sku(value):
    with pytest.raises(SourceError):
        parse("sku", value, "row 1")


def test_a_date_is_checked_and_kept_as_it_is_written():
    assert parse("date_modified", "2026-01-31T12:00:00Z", "") == "2026-01-31T12:00:00Z"
    assert parse("date_modified", datetime(2026, 1, 31), "") == "2026-01-31T00:00:00"
    with pytest.raises(SourceError, match="no date"):
        parse("date_modified", "31.1.2026", "row 1")


def test_rows_need_not_have_the_same_keys_and_are_read_as_they_are_wanted():
    def rows():
        yield {"image": "a.jpg", "sku": "A"}
        yield {"File": "b.jpg", "product_id": 7, "extra": 1}
        raise AssertionError("read too early")

    items = sources.from_rows(rows())

    assert next(items).target == Target(sku="A")
    second = next(items)
    assert (second.key, second.target, second.origin.row_number) == ("b.jpg", Target(product_id=7), 2)
    assert second.origin.row["extra"] == 1


def test_the_columns_of_rows_can_be_named():
    first, second = sources.from_rows([{"p": "a.jpg", "n": "A"}, {"p": "b.jpg"}], columns={"image": "p", "sku": "n"})

    assert (first.target, second.target) == (Target(sku="A"), Target())


def test_paths_of_rows_lead_anywhere_unless_a_root_is_given(pictures):
    (pictures / "sub").mkdir()

    (free,) = sources.from_rows([{"image": str(pictures / "a.jpg")}], root=None)
    (inside,) = sources.from_rows([{"image": "a.jpg"}], root=pictures)
    (refused,) = sources.from_rows([{"image": "../a.jpg"}], root=pictures / "sub")

    assert free.location == inside.location
    assert refused.code == "outside_root"


def test_bytes_and_open_files_are_pictures(pictures):
    with (pictures / "a.jpg").open("rb") as file:
        items = list(sources.from_rows([{"image": b"1", "sku": "A"}, {"image": bytearray(b"1")}, {"image": file},
                                        {"image": io.BytesIO(b"3"), "key": "three"}, b"4"]))

    assert [item.data for item in items] == [b"1", b"1", b"x", b"3", b"4"]
    assert items[0].key == items[1].key and len(items[0].key) == 32
    assert (items[2].key, items[3].key) == (str(pictures / "a.jpg").replace(os.sep, "/"), "three")
    assert items[0].origin.row == {"image": "(bytes)", "sku": "A"}


def test_a_file_opened_for_text_or_closed_is_refused(pictures):
    with (pictures / "a.jpg").open() as text:
        (as_text,) = sources.from_rows([{"image": text}])
    (closed,) = sources.from_rows([{"image": text}])

    assert "mode 'rb'" in as_text.reason
    assert closed.code == "unreadable"


def test_paths_assets_and_outcomes_may_stand_among_rows(pictures):
    asset = Asset("x", "77", data=b"x")
    outcome = Outcome(asset, Status.SKIPPED)

    items = list(sources.from_rows([pictures / "a.jpg", "b.jpg", asset, outcome, "missing.jpg", 7, {"image": 7}]))

    assert [item.key for item in items[:2]] == ["a.jpg", "b.jpg"]
    assert items[2] is asset and items[3] is outcome
    assert [item.status for item in items[4:]] == [Status.FAILED] * 3
    assert "int" in items[5].reason and "int" in items[6].reason


def test_rows_of_databases_and_named_tuples_are_rows():
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    Row = namedtuple("Row", "image sku")

    (row,) = sources.from_rows(database.execute("select 'a.jpg' as image, 77 as product_id"))
    (named,) = sources.from_rows([Row("b.jpg", "B")])
    database.close()

    assert (row.key, row.target) == ("a.jpg", Target(product_id=77))
    assert (named.key, named.target) == ("b.jpg", Target(sku="B"))


def test_data_frames_are_taken_row_by_row():
    class Pandas:
        columns = ("image", "product_id")

        def __iter__(self):
            return iter(self.columns)

        def to_dict(self, orient):
            assert orient == "records"
            return [{"image": "a.jpg", "product_id": 77.0}, {"image": "b.jpg", "product_id": NAN}]

    class Polars:
        columns = ("image",)

        def iter_rows(self, *, named):
            assert named
            return iter([{"image": "c.jpg"}])

    assert [item.target for item in sources.from_rows(Pandas())] == [Target(product_id=77), Target()]
    assert [item.key for item in sources.from_rows(Polars())] == ["c.jpg"]


def test_a_key_given_to_two_pictures_of_one_product_is_refused():
    rows = [{"image": b"1", "sku": "A"}, {"image": b"2", "sku": "A"}, {"image": b"2", "sku": "B"}]

    items = list(sources.from_rows([{**row, "key": "front"} for row in rows]))

    assert [isinstance(item, Asset) for item in items] == [True, False, True]
    assert "row 1" in items[1].reason


def test_pictures_of_several_sources_never_share_a_place():
    for name in ("a/1.jpg", "b/1.jpg"):
        Path(name).parent.mkdir()
        Path(name).write_bytes(b"x")
    apart = sources.Apart()

    items = [apart(item.evolve(target=Target(sku=sku))) for path, sku in [
        ("a/1.jpg", "A"), ("b/1.jpg", "A"), ("a/1.jpg", "A"), ("b/1.jpg", "A"), ("b/1.jpg", "B")]
        for item in sources.from_path(path)]

    keys = [item.key for item in items]
    assert keys[0] == keys[2] == keys[4] == "1.jpg"
    assert keys[1] == keys[3] != "1.jpg"
    assert "1.jpg" in items[1].notes[0]


def test_bytes_with_one_key_are_told_apart_and_addresses_are_one_place():
    apart = sources.Apart()
    refused = Outcome(Asset("x"), Status.FAILED)

    one, two, again = (apart(Asset("bytes", "77", data=data)) for data in (b"1", b"2", b"1"))
    signed = [apart(item).key for item in sources.from_urls(["https://cdn.example/a?Signature=1",
                                                             "https://cdn.example/a?Signature=2"])]

    assert one.place == again.place != two.place
    assert signed[0] == signed[1]
    assert apart(refused) is refused


@given(st.lists(st.tuples(st.integers(-40, 40) | st.integers(-1 << 63, (1 << 63) - 1), st.integers(0, 9))))
def test_numbers_do_what_a_dict_does(given_pairs):
    numbers, known = Numbers(), {}
    for key, value in given_pairs:
        assert numbers.setdefault(key, value) == known.setdefault(key or 1, value)


def test_what_is_kept_to_tell_a_million_rows_apart_is_small():
    numbers = Numbers()
    tracemalloc.start()
    for number in range(20_000):
        numbers.setdefault(hash(("SKU", number)), hash(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held <= 64 * 20_000 + 10_000


def test_a_refused_row_says_where_the_file_was_looked_for(pictures):
    (refused,) = sources.from_rows([{"image": "missing.jpg"}], root=pictures)

    assert refused.to_dict()["image"] == str(pictures.resolve() / "missing.jpg")


def test_the_picture_may_name_the_product():
    Path("S-1").mkdir()
    Path("S-1/1.jpg").write_bytes(b"x")

    (asset,) = sources.from_rows([{"image": "S-1/1.jpg"}], match="{sku}/*")

    assert asset.target == Target(sku="S-1")
