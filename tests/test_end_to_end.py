"""From a manifest to a store over a real socket, looked at with other eyes than our own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvips

from imagepipe import api
from imagepipe.ledger import Ledger
from imagepipe.outcome import Outcome, Status
from imagepipe.stores.bigcommerce import BigCommerce
from imagepipe.testing import Sandbox
from imagepipe.workers import Workers

FIXTURES = Path(__file__).parent.parent / "fixtures"
CATALOG = FIXTURES / "catalog.csv"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(create_missing=True, quota=10_000) as running:
        yield running


def client(sandbox: Sandbox, **options: Any) -> BigCommerce:
    return BigCommerce(sandbox.store_hash, sandbox.token, base_url=sandbox.base_url, leave_quota=0, **options)


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def posts(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if request.method == "POST"]


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, list[Outcome], Path, list[Outcome]]]:
    """Upload the catalogue once, then a second time; several tests look at what came of it."""
    folder = tmp_path_factory.mktemp("catalog")
    with Sandbox(create_missing=True, quota=10_000) as sandbox, client(sandbox) as store, Workers(2) as workers:
        first = list(api.upload(CATALOG, store, ledger=folder / "ledger", executor=workers))
        sent = len(posts(sandbox))
        second = list(api.upload(CATALOG, store, ledger=folder / "ledger", executor=workers))
        assert len(posts(sandbox)) == sent
        yield sandbox, first, folder, second


def test_every_row_comes_out_once_and_well(uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    _, outcomes, _, _ = uploaded
    rows = rows_of(CATALOG)

    assert not [(outcome.asset.source, outcome.reason) for outcome in outcomes if outcome.failed]
    assert sorted(outcome.asset.number for outcome in outcomes) == list(range(1, len(rows) + 1))
    assert Counter(outcome.asset.source for outcome in outcomes) == Counter(row["image"] for row in rows)
    skipped = [outcome for outcome in outcomes if outcome.status is Status.SKIPPED]
    assert {outcome.code for outcome in skipped} == {"duplicate"}
    assert all(outcome.duplicate_of for outcome in skipped)
    assert all(outcome.asset.data is None and outcome.asset.pixels is None for outcome in outcomes)


def test_the_second_run_skips_everything(uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    _, first, _, second = uploaded

    assert {outcome.status for outcome in second} == {Status.SKIPPED}
    assert len(second) == len(first)


def test_the_products_show_the_rows_in_their_order(
        uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    sandbox, outcomes, _, _ = uploaded
    ids = {outcome.asset.target.sku: outcome.asset.target.product_id for outcome in outcomes}
    sent = {outcome.asset.source: outcome.asset.delivery for outcome in outcomes}
    for sku, product_id in ids.items():
        wanted = [(int(row["sort_order"]), row["image"]) for row in rows_of(CATALOG) if row["sku"] == sku]
        expected = [sent[image].image_id for _, image in sorted(wanted)  # type: ignore[union-attr]  # tested above
                    if sent[image] and sent[image].image_id]  # type: ignore[union-attr]
        assert product_id
        images = sandbox.images(product_id)
        assert [image.id for image in images] == expected
        assert [image.is_thumbnail for image in images].count(True) == 1


def test_what_the_store_received_is_legal_by_another_decoder(
        uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    sandbox, outcomes, _, _ = uploaded
    magic = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG", "gif": b"GIF8", "webp": b"RIFF"}
    looked_at = 0
    for outcome in outcomes:
        delivery, facts = outcome.asset.delivery, outcome.asset.facts
        if outcome.status is not Status.UPLOADED:
            continue
        assert delivery and facts and delivery.image_id
        data = sandbox.received(delivery.image_id)
        assert len(data) <= 8_000_000
        assert data.startswith(magic[facts.format])
        picture = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="warning")
        assert picture.avg() >= 0  # decodes to the last pixel, without a warning
        assert (picture.width, picture.height) == (facts.width, facts.height)
        assert picture.get("orientation") == 1 if "orientation" in picture.get_fields() else True
        assert not {"exif-data", "xmp-data", "iptc-data", "icc-profile-data"} & set(picture.get_fields())
        assert picture.interpretation in ("srgb", "b-w")
        looked_at += 1
    assert looked_at >= 25


PRIVATE = (b"Exif\0\0", b"http://ns.adobe.com/xap", b"Photoshop 3.0", b"GPSLatitude", b"ftypmp42", b"c2pa", b"MPF\0",
           b"MotionPhoto", b"Copyright (c)")


def test_nothing_private_is_in_what_the_store_received(
        uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]], tmp_path: Path) -> None:
    sandbox, outcomes, _, _ = uploaded
    sources = b"".join(Path(outcome.asset.location).read_bytes() for outcome in outcomes)
    assert sum(secret in sources for secret in PRIVATE) >= 4  # or this test could not fail

    for outcome in outcomes:
        if outcome.status is Status.UPLOADED and outcome.asset.delivery and outcome.asset.delivery.image_id:
            data = sandbox.received(outcome.asset.delivery.image_id)
            assert not [secret for secret in PRIVATE if secret in data], outcome.asset.source
            (tmp_path / f"{outcome.asset.delivery.image_id}.{outcome.asset.facts.format}").write_bytes(  # type: ignore[union-attr]
                data)
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    done = subprocess.run(["exiftool", "-j", "-G1", "-r", str(tmp_path)], capture_output=True, check=False)
    for found in json.loads(done.stdout):
        private = [tag for tag in found if tag.split(":")[0] in ("IFD0", "ExifIFD", "GPS", "XMP-dc", "IPTC", "XMP-x",
                                                                 "MPF0", "Photoshop", "PNG-tEXt", "XMP-xmp")]
        assert not private, found


def test_a_compliant_picture_arrives_with_its_pixels_untouched(
        uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    sandbox, outcomes, _, _ = uploaded
    untouched = [outcome for outcome in outcomes if outcome.status is Status.UPLOADED and outcome.asset.lossless]
    assert len(untouched) >= 8
    for outcome in untouched:
        if outcome.asset.source.endswith((".wbmp", ".xbm", ".bmp")):
            continue  # the other decoder reads none of them; tested with the codecs
        assert outcome.asset.delivery and outcome.asset.delivery.image_id
        before = pyvips.Image.new_from_file(outcome.asset.location, access="sequential")
        after = pyvips.Image.new_from_buffer(sandbox.received(outcome.asset.delivery.image_id), "",
                                             access="sequential")
        assert before.colourspace("srgb").write_to_memory() == after.colourspace("srgb").write_to_memory()


def test_the_ledger_has_every_input_and_no_token(
        uploaded: tuple[Sandbox, list[Outcome], Path, list[Outcome]]) -> None:
    sandbox, first, folder, _ = uploaded
    with Ledger.open(folder / "ledger", writing=False) as book:
        runs = book.runs()
        assert [json.loads(run["summary"])["total"] for run in runs] == [len(first)] * 2
        assert len(list(book.inputs(runs[0]["id"]))) == len(first)
        assert book.open_operations(f"{sandbox.store_hash}@localhost") == []
    for file in folder.iterdir():
        assert sandbox.token.encode() not in file.read_bytes()


def test_what_cannot_work_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    with Sandbox(quota=10_000) as sandbox, client(sandbox) as store, Workers(2) as workers:
        for row in rows_of(CATALOG):
            if row["sku"] not in {product.sku for product in sandbox.products()}:
                sandbox.add_product(sku=row["sku"])
        run = api.upload(FIXTURES / "problems.csv", store, ledger=tmp_path / "ledger", executor=workers)
        outcomes = list(run)

    good = [outcome for outcome in outcomes if outcome.status is Status.UPLOADED]
    bad = [outcome for outcome in outcomes if outcome.failed]
    assert len(good) >= 2
    assert len(good) + len(bad) == len(outcomes)
    assert run.summary.exit_code == 1
    codes = {outcome.code for outcome in bad}
    assert {"corrupt", "not_an_image", "too_many_pixels", "unknown_sku", "bad_row"} <= codes
    for outcome in bad:
        assert outcome.reason
        assert "Traceback" not in outcome.reason
        assert "\n" not in outcome.reason


def test_two_stores_in_one_ledger_do_not_mix(tmp_path: Path) -> None:
    picture = FIXTURES / rows_of(CATALOG)[1]["image"]
    rows = [{"image": str(picture), "sku": "MUG-300"}]
    with Sandbox(create_missing=True) as one, Sandbox(create_missing=True) as other, \
            client(one) as first, client(other) as second:
        options: dict[str, Any] = {"ledger": tmp_path / "ledger", "jobs": 0, "roots": [FIXTURES]}
        assert [outcome.status for outcome in api.upload(rows, first, **options)] == [Status.UPLOADED]
        assert [outcome.status for outcome in api.upload(rows, second, **options)] == [Status.UPLOADED]
        assert [outcome.status for outcome in api.upload(rows, first, **options)] == [Status.SKIPPED]
        assert [outcome.status for outcome in api.upload(rows, second, **options)] == [Status.SKIPPED]
        assert len(posts(one)) == len(posts(other)) == 1


def test_the_ledger_lost_and_the_quality_changed_sends_nothing_twice(sandbox: Sandbox, tmp_path: Path) -> None:
    rows = [{"image": row["image"], "sku": row["sku"]} for row in rows_of(CATALOG)[:8]]
    with client(sandbox) as store, Workers(2) as workers:
        list(api.upload(rows, store, ledger=tmp_path / "one", executor=workers, roots=[FIXTURES]))
        sent = len(posts(sandbox))
        again = list(api.upload(rows, store, ledger=tmp_path / "two", executor=workers, roots=[FIXTURES], quality=60))

    assert len(posts(sandbox)) == sent
    assert {outcome.code for outcome in again} <= {"already_uploaded", "duplicate"}


KILLED = textwrap.dedent("""
    import os, signal, sys
    from imagepipe import api
    from imagepipe.ledger import Ledger
    from imagepipe.stores.bigcommerce import BigCommerce

    settle = Ledger.settle
    def die(self, number, state, **results):
        if results.get("image") is not None:
            os.kill(os.getpid(), signal.SIGKILL)  # the store has it, and the ledger does not know yet
        settle(self, number, state, **results)
    Ledger.settle = die

    store = BigCommerce(os.environ["HASH"], os.environ["TOKEN"], base_url=os.environ["URL"], leave_quota=0)
    for outcome in api.upload([{"image": sys.argv[1], "sku": "MUG-300"}], store, ledger=sys.argv[2], jobs=0,
                              roots=[os.path.dirname(sys.argv[1])]):
        print(outcome.status, outcome.reason)
    """)


def test_a_process_killed_between_post_and_commit_leaves_no_second_image(sandbox: Sandbox, tmp_path: Path) -> None:
    picture = FIXTURES / rows_of(CATALOG)[1]["image"]
    environment = {**os.environ, "HASH": sandbox.store_hash, "TOKEN": sandbox.token, "URL": sandbox.base_url}
    done = subprocess.run([sys.executable, "-c", KILLED, str(picture), str(tmp_path / "ledger")], env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(posts(sandbox)) == 1

    with client(sandbox) as store:
        rows = [{"image": str(picture), "sku": "MUG-300"}]
        [outcome] = api.upload(rows, store, ledger=tmp_path / "ledger", jobs=0, roots=[FIXTURES])

    assert (outcome.status, outcome.code) == (Status.SKIPPED, "already_uploaded")
    assert len(posts(sandbox)) == 1
    with Ledger.open(tmp_path / "ledger", writing=False) as book:
        assert book.open_operations(f"{sandbox.store_hash}@localhost") == []


def test_a_run_closed_early_leaves_nothing_running(sandbox: Sandbox, tmp_path: Path) -> None:
    with client(sandbox) as store:
        with api.upload(CATALOG, store, ledger=tmp_path / "ledger", jobs=1) as run:
            next(run)
        settled = len(posts(sandbox))
        time.sleep(0.3)

        assert len(posts(sandbox)) == settled
        with Ledger.open(tmp_path / "ledger") as book:
            assert book.open_operations(store.identity) == []


def test_a_stage_of_ones_own_takes_part(sandbox: Sandbox, tmp_path: Path) -> None:
    def refuse_small(asset: Any) -> Any:
        return asset.evolve(note="looked at by the shop's own rule")

    with client(sandbox) as store:
        rows = [{"image": rows_of(CATALOG)[1]["image"], "sku": "MUG-300"}]
        [outcome] = api.upload(rows, store, ledger="none", jobs=0, roots=[FIXTURES], stages=[refuse_small])

    assert outcome.status is Status.UPLOADED
    assert "looked at by the shop's own rule" in outcome.asset.notes


@pytest.mark.parametrize("format", ["auto", "keep"])
def test_an_animation_over_budget_keeps_its_frames_and_timing_through_worker_processes(
        sandbox: Sandbox, tmp_path: Path, format: str) -> None:
    import io

    from PIL import Image

    frames = [Image.effect_noise((240, 180), 60 + 9 * number).convert("RGB") for number in range(8)]
    delays = [40, 80, 120, 200, 40, 80, 120, 500]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=delays, loop=0)
    (tmp_path / "spin.gif").write_bytes(buffer.getvalue())
    budget = len(buffer.getvalue()) // 2

    with client(sandbox) as store:
        [outcome] = api.upload([{"image": "spin.gif", "sku": "SPIN"}], store, ledger="none", jobs=1, roots=[tmp_path],
                               max_bytes=budget, format=format)

    assert outcome.status is Status.UPLOADED, outcome.reason
    assert outcome.asset.delivery and outcome.asset.delivery.image_id and outcome.asset.facts
    data = sandbox.received(outcome.asset.delivery.image_id)
    assert len(data) <= budget
    sent = pyvips.Image.new_from_buffer(data, "", n=-1)
    assert sent.get("n-pages") == outcome.asset.facts.frames == 8
    assert sent.get("delay") == delays
    assert sent.get("loop") == 0
    assert data.startswith(b"GIF8" if format == "keep" else (b"RIFF", b"GIF8"))
