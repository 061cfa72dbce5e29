"""Manifests: encodings, delimiters, headers, and rows that cannot be used."""

import csv
import io
import json
import re
import tracemalloc
from pathlib import Path

import pytest

from imagepipe import sources
from imagepipe.asset import Asset, Target
from imagepipe.errors import ConfigurationError
from imagepipe.outcome import Outcome, Status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg", "caf\u00e9.jpg", "x,y.jpg"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def read(folder: Path, text: str | bytes, name: str = "catalog.csv", **options) -> list[Asset | Outcome]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(sources.from_path(path, **options))


def assets(items) -> list[Asset]:
    refused = [item.reason for item in items if isinstance(item, Outcome)]
    assert not refused, refused
    return items


def reason(items, number: int) -> str:
    (said,) = [item.reason for item in items if isinstance(item, Outcome) and item.asset.origin.row_number == number]
    return said


def test_all_columns_arrive_and_the_others_are_kept(folder):
    (asset,) = assets(read(folder, "image,sku,product_id,sort_order,is_thumbnail,description,key,Colour\n"
                                   "a.jpg,A-1,77,3,yes,\"Front, \"\"worn\"\"\",front,red\n"))

    assert asset.target == Target(77, "A-1", 3, True, 'Front, "worn"')
    assert (asset.source, asset.key, asset.location) == ("a.jpg", "front", str((folder / "a.jpg").resolve()))
    assert asset.origin.manifest == str(folder / "catalog.csv")
    assert asset.origin.row_number == 1
    assert asset.origin.row["Colour"] == "red"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encoding_delimiter_and_line_ends_are_found_out(folder, encoding, delimiter, ending):
    lines = ["image;sku;description", "caf\u00e9.jpg;A-1;Gr\u00fc\u00dfe", "b.jpg;B-2;"]
    text = ending.join(line.replace(";", delimiter) for line in lines) + ending

    first, second = assets(read(folder, text.encode(encoding)))

    assert (first.key, first.target) == ("caf\u00e9.jpg", Target(sku="A-1", description="Gr\u00fc\u00dfe"))
    assert (second.key, second.target) == ("b.jpg", Target(sku="B-2"))


def test_mixed_line_ends_blank_lines_and_no_last_line_end(folder):
    items = assets(read(folder, "\r\n\r\nimage,sku\r\na.jpg,A\n\n,\nb.jpg,B\rc.jpg,C"))

    assert [item.target.sku for item in items] == ["A", "B", "C"]
    assert [item.origin.row_number for item in items] == [1, 4, 5]


def test_a_tsv_may_hold_commas_and_excels_sep_line_is_believed(folder):
    (tabbed,) = assets(read(folder, "image\tdescription, long\nx,y.jpg\thello\n", "catalog.tsv"))
    (said,) = assets(read(folder, "sep=;\nimage;sku\na.jpg;A\n"))

    assert tabbed.key == "x,y.jpg"
    assert said.target.sku == "A"


def test_a_cell_may_have_line_breaks_and_the_next_row_is_named_by_its_line(folder):
    first, second = read(folder, 'image,description,sku\na.jpg,"two\nlines",A\nmissing.jpg,x,B\n')

    assert first.target.description == "two\nlines"
    assert "row 2 (line 4)" in second.reason


@pytest.mark.parametrize("header", [
    "image,sku", "Image,SKU", "IMAGE , Sku ", "File Name,Product Code", "image_url,Product SKU",
    "Image File,Variant SKU", "filename,Product Code/SKU", "picture,item_sku", "src,sku",
])
def test_common_headers_are_recognised(folder, header):
    (asset,) = assets(read(folder, f"{header}\na.jpg,A-1\n"))

    assert (asset.key, asset.target.sku) == ("a.jpg", "A-1")


def test_columns_can_be_named(folder):
    items = assets(read(folder, "Item No.,Pic 1,Pic 2,Pic 3,Pos,Main\nA-1,a.jpg,,c.jpg,5,1\n",
                        columns={"sku": "Item No.", "image": "Pic 1,Pic 2,Pic 3", "sort_order": "pos",
                                 "is_thumbnail": "Main"}))

    assert [item.key for item in items] == ["a.jpg", "c.jpg"]
    assert [item.target for item in items] == [Target(sku="A-1", sort_order=5, is_thumbnail=True),
                                               Target(sku="A-1", sort_order=6)]
    assert {item.origin.row_number for item in items} == {1}


def test_a_key_stays_apart_for_each_picture_of_a_row(folder):
    items = assets(read(folder, "key,1,2\nk,a.jpg,b.jpg\n", columns={"image": ["1", "2"]}))

    assert [item.key for item in items] == ["k-1", "k-2"]


def test_one_bad_picture_of_a_row_does_not_cost_the_others(folder):
    first, second = read(folder, "1,2,sku\nmissing.jpg,b.jpg,A\n", columns={"image": "1,2"})

    assert first.status is Status.FAILED and first.code == "not_found" and "column 1" in first.reason
    assert first.asset.target.sku == "A"
    assert second.key == "b.jpg"


@pytest.mark.parametrize(("text", "columns", "said"), [
    ("", {}, "empty"),
    ("\n\n", {}, "empty"),
    ("name,price\nx,1\n", {}, "no column for the picture"),
    ("Pic 1,Pic 2,sku\na.jpg,b.jpg,A\n", {}, "--column image='Pic 1,Pic 2'"),
    ("file,photo,sku\na,b,c\n", {}, "2 columns that could be the image"),
    ("image,image,sku\na,b,c\n", {}, "2 columns called 'image'"),
    ("image,sku,sku\na,b,c\n", {}, "2 columns called 'sku'"),
    ("image,Artikel\na.jpg,A\n", {"sku": "Artikl"}, "did you mean 'Artikel'"),
    ("image,a,b\na.jpg,A,B\n", {"sku": "a,b"}, "only image may have several"),
    ("image\na.jpg\n", {"skuu": "a"}, "did you mean sku"),
    (b"\xff\xd8\xff\xe0\0\0JFIF\0", {}, "cannot be read|no text"),
    (b"image\0,sku\na.jpg,A\n", {}, "NUL"),
])
def test_a_manifest_of_which_no_row_can_be_read_is_refused_at_once(folder, text, columns, said):
    with pytest.raises(ConfigurationError, match=said):
        read(folder, text, columns=columns)


def test_a_header_twice_that_is_not_ours_does_no_harm(folder):
    (asset,) = assets(read(folder, "image,note,note,,\na.jpg,1,2,3,\n"))

    assert sorted(map(str, asset.origin.row.values())) == ["1", "2", "3", "a.jpg"]


@pytest.mark.parametrize(("row", "said"), [
    ("a.jpg,A,3,x", "4 cells where the header has 3"),
    ("a.jpg", "1 cells where the header has 3"),
    (",A,3", "column image: no picture is named"),
    ("a.jpg,A,first", "column sort_order: 'first' is no position"),
    ("a.jpg,A,1.5", "column sort_order: '1.5' is no position"),
    ("missing.jpg,A,1", "column image: missing.jpg is not in"),
    ("A.JPEG,A,1", "is not in"),
    ("a.jpg,\"A,3", "a quote|cannot be read as CSV"),
    (f"a.jpg,{'x' * 200_000},1", "field larger"),
    (f"a.jpg,{'x' * 1_100_000},1", "more than 1,000,000 characters"),
    (b"caf\xe9.jpg,A,1", "not UTF-8 .byte 0xE9.; .*--encoding"),
    ("a\0.jpg,A,1", "NUL"),
    ("..,A,1", "leads out of"),
    (".,A,1", "is a folder"),
])
def test_a_bad_row_is_named_by_file_number_and_column_and_the_good_ones_go_on(folder, row, said):
    raw = row if isinstance(row, bytes) else row.encode()

    items = read(folder, b"image,sku,sort_order\nb.jpg,B,1\n" + raw + b"\nc.jpg,C,2\n")

    assert [item.target.sku for item in items if isinstance(item, Asset)] == ["B", "C"]
    (failed,) = [item for item in items if isinstance(item, Outcome)]
    assert failed.status is Status.FAILED
    assert failed.asset.origin.row_number == 2
    assert "catalog.csv, row 2" in failed.reason
    assert re.search(said, failed.reason), failed.reason


def test_a_quote_left_open_does_not_swallow_what_follows(folder):
    rows = "".join(f"b.jpg,B{number}\n" for number in range(3_000))

    items = read(folder, 'image,sku\n"a.jpg,A\n' + rows)

    assert sum(isinstance(item, Outcome) for item in items) == 1
    assert len(items) == 3_001


def test_latin_1_is_refused_by_row_and_read_when_it_is_named(folder):
    text = "image,sku,description\na.jpg,A,plain\ncaf\u00e9.jpg,B,\u00fc\n".encode("latin-1")

    plain, refused = read(folder, text)
    told = assets(read(folder, text, encoding="latin-1"))

    assert plain.target.sku == "A"
    assert isinstance(refused, Outcome) and "--encoding" in refused.reason
    assert told[1].key == "caf\u00e9.jpg"


@pytest.mark.parametrize("encoding", ["klingon", "hex"])
def test_an_encoding_that_is_none_is_said_at_once(folder, encoding):
    with pytest.raises(ConfigurationError, match="no such encoding"):
        read(folder, "image\na.jpg\n", encoding=encoding)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_manifest_that_is_not_there_or_a_folder_is_said_at_once(folder, suffix):
    reader = sources.from_csv if suffix == "csv" else sources.from_jsonl

    with pytest.raises(ConfigurationError, match="cannot be read"):
        reader(folder / f"none.{suffix}")


def test_the_product_can_come_from_the_path_where_no_column_says_it(folder):
    (folder / "S-1").mkdir()
    (folder / "S-1/1.jpg").write_bytes(b"x")

    items = read(folder, "image,sku\nS-1/1.jpg,\nS-1/1.jpg,OTHER\na.jpg,\n", match="{sku}/{sort_order}")

    assert [item.target for item in items[:2]] == [Target(sku="S-1", sort_order=1), Target(sku="OTHER")]
    assert isinstance(items[2], Outcome) and items[2].code == "no_target"


def test_a_key_that_names_two_pictures_of_one_product_is_refused_the_second_time(folder):
    items = read(folder, "image,sku,key\na.jpg,A,front\nb.jpg,A,front\na.jpg,A,front\nb.jpg,B,front\n")

    assert [isinstance(item, Asset) for item in items] == [True, False, True, True]
    assert "row 1" in reason(items, 2) and "row 2" in reason(items, 2)


# -- JSON Lines ------------------------------------------------------------------------------------


def test_json_lines_carry_the_same_columns(folder):
    one = {"image": "a.jpg", "product_id": 77, "sort_order": 0, "is_thumbnail": False, "x": [1]}
    two = {"file": "caf\u00e9.jpg", "SKU": "A", "description": None}

    first, second = assets(read(folder, f"\ufeff{json.dumps(one)}\r\n\n{json.dumps(two)}\n", "rows.jsonl"))

    assert first.target == Target(77, None, 0, False)
    assert first.origin.row["x"] == [1]
    assert (second.key, second.target, second.origin.row_number) == ("caf\u00e9.jpg", Target(sku="A"), 3)


@pytest.mark.parametrize(("line", "said"), [
    ("[" * 100_000, "nested too deeply"),
    ('{"image": "a.jpg", "product_id": ' + "9" * 5_000 + "}", "row 2"),
    ('{"image": "a.jpg", "product_id": NaN}', "NaN is not JSON"),
    ('{"image": "a.jpg", "product_id": 1e999}', "no product id"),
    ('{"image": "a.jpg", "image": "b.jpg"}', "'image' is there twice"),
    ('{"image": "a.jpg"', "column 18"),
    ('["a.jpg"]', "not an object"),
    ("null", "not an object"),
    ('{"image": ["a.jpg"]}', "named by text, not by list"),
    ('{"image": "a.jpg", "product_id": true}', "no product id"),
    ('{"image": "a.jpg", "description": {"en": "x"}}', "column description"),
    ('{"image": "a.jpg", "sku": "\\ud800"}', "half a character"),
    ('{"image": "\\ud800.jpg"}', "half a character"),
    ('{"image": "a\\u0000.jpg"}', "NUL"),
    ('{"sku": "A"}', "no picture is named"),
    (b'{"image": "caf\xe9.jpg"}', "not UTF-8"),
    ("x" * 1_100_000, "more than 1,000,000"),
])
def test_a_bad_line_of_json_is_named_and_the_good_ones_go_on(folder, line, said):
    raw = line if isinstance(line, bytes) else line.encode()

    items = read(folder, b'{"image": "a.jpg"}\n' + raw + b'\n{"image": "b.jpg"}\n', "rows.jsonl")

    assert [item.key for item in items if isinstance(item, Asset)] == ["a.jpg", "b.jpg"]
    assert "rows.jsonl, row 2" in reason(items, 2)
    assert said in reason(items, 2)


def test_a_json_file_may_hold_one_list(folder):
    rows = [{"image": "a.jpg", "sku": "A"}, {"image": "b.jpg", "sku": "B"}]

    items = assets(read(folder, json.dumps(rows, indent=2), "rows.json"))

    assert [item.target.sku for item in items] == ["A", "B"]


@pytest.mark.parametrize("text", ["[1,", "[" * 100_000, "[{\"a\":1,\"a\":2}]"])
def test_a_json_list_that_is_none_is_refused_at_once(folder, text):
    with pytest.raises(ConfigurationError, match="cannot be read as JSON"):
        read(folder, text, "rows.json")


def test_json_lines_come_from_an_open_file_too(folder, monkeypatch):
    monkeypatch.chdir(folder)

    (text,) = sources.from_jsonl(io.StringIO('{"image": "a.jpg"}\n'))
    (raw,) = sources.from_jsonl(io.BytesIO(b'{"image": "caf\xc3\xa9.jpg"}'))

    assert (text.key, raw.key) == ("a.jpg", "caf\u00e9.jpg")


# -- a run's own report ----------------------------------------------------------------------------


def lines_of_a_run(folder: Path) -> list[dict[str, object]]:
    items = read(folder, "image,sku,sort_order\na.jpg,A,1\nb.jpg,B,2\nc.jpg,C,3\nmissing.jpg,D,4\n", "old.csv")
    statuses = (Status.UPLOADED, Status.PLANNED, Status.FAILED)
    outcomes = [item if isinstance(item, Outcome) else Outcome(item, statuses[index])
                for index, item in enumerate(items)]
    return [*(outcome.to_dict("run-1") for outcome in outcomes), {"type": "summary", "schema": 1, "total": 4}]


def test_of_a_report_only_what_failed_or_was_planned_is_taken_up_at_its_old_place(folder):
    lines = lines_of_a_run(folder)
    (folder / "missing.jpg").write_bytes(b"x")

    items = assets(read(folder, "".join(json.dumps(line) + "\n" for line in lines), "run.jsonl"))

    assert [(item.key, item.target.sku, item.target.sort_order) for item in items] == [
        ("b.jpg", "B", 2), ("c.jpg", "C", 3), ("missing.jpg", "D", 4)]
    assert items[0].origin.manifest == str(folder / "old.csv")
    assert items[0].origin.row_number == 2


def test_a_report_as_csv_is_taken_up_alike(folder):
    text = io.StringIO()
    lines = lines_of_a_run(folder)
    writer = csv.DictWriter(text, list(lines[0]), quoting=csv.QUOTE_ALL, extrasaction="ignore", restval="")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: json.dumps(value) if isinstance(value, (dict, list)) else value
                         for name, value in line.items()})

    items = read(folder, text.getvalue(), "run.csv")

    taken = [item for item in items if isinstance(item, Asset)]
    assert [(item.key, item.target.sku) for item in taken] == [("b.jpg", "B"), ("c.jpg", "C")]
    assert [item.code for item in items if isinstance(item, Outcome)] == ["not_found"]


def test_a_row_that_was_wrong_is_not_taken_up_without_what_was_wrong_with_it(folder):
    (bad,) = read(folder, "image,sku,sort_order\na.jpg,A,first\n", "old.csv")

    (again,) = read(folder, json.dumps(bad.to_dict("run-1")), "run.jsonl")

    assert (again.status, again.code) == (Status.FAILED, "bad_row")
    assert bad.reason in again.reason and f"correct it in {folder / 'old.csv'}" in again.reason
    assert again.asset.source == str(folder.resolve() / "a.jpg")
    assert again.asset.origin.row_number == 1


def test_a_line_that_calls_itself_a_report_may_not_lead_out_of_its_folder(folder):
    line = {"type": "image", "schema": 1, "status": "failed", "image": "/etc/passwd", "sku": "A"}

    (refused,) = read(folder, json.dumps(line), "run.jsonl")

    assert refused.code == "outside_root"


# -- large ------------------------------------------------------------------------------------------


def test_a_large_manifest_streams(folder):
    path = folder / "large.csv"
    with path.open("w") as file:
        file.write("image,sku,description\n")
        file.writelines(f"a.jpg,S-{number},{'text ' * 600}\n" for number in range(4_000))

    tracemalloc.start()
    count = sum(1 for _ in sources.from_csv(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 4_000
    assert path.stat().st_size > 12_000_000
    assert peak < 4_000_000  # the first two million characters are looked at for the header
