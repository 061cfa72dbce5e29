"""Outcomes and summaries: what a line says, and the exit code that tells the truth."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from imagepipe.asset import Asset, Delivery, Facts, Origin, Received, Target
from imagepipe.errors import ExitCode, ImagepipeError, Retry
from imagepipe.outcome import Action, Outcome, Status, Summary

#: One outcome for each exit code that an outcome can ask for.
REFUSED = Outcome(Asset("a"), Status.PLANNED, code="stopped", exit_code=ExitCode.REFUSED)
AGAIN = Outcome(Asset("b"), Status.FAILED, retry=Retry.AGAIN)
FAILED = Outcome(Asset("c"), Status.FAILED, retry=Retry.NEW_PICTURE)
WELL = Outcome(Asset("d"), Status.UPLOADED)

FIELDS = ("schema, run_id, source, image, manifest, row_number, row, status, action, reason, code, retry, warnings, "
          "stage, product_id, sku, sort_order, is_thumbnail, description, output, format, width, height, frames, "
          "bytes_in, bytes_out, source_sha256, sha256, lossless, notes, image_id, url, duplicate_of, similar_to, "
          "attempts, seconds")


def summary_of(*outcomes: Outcome, planning: bool = False) -> Summary:
    summary = Summary()
    for outcome in outcomes:
        summary.add(outcome, planning=planning)
    return summary


# -- exit codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations([REFUSED, AGAIN, FAILED, WELL])))
def test_of_several_exit_codes_the_weightiest_counts_in_whatever_order_they_come(order: tuple[Outcome, ...]) -> None:
    summary = summary_of(*order)

    assert summary.exit_code is ExitCode.REFUSED
    summary.interrupted = True
    assert summary.exit_code is ExitCode.INTERRUPTED


@pytest.mark.parametrize(("outcomes", "code"), [
    ((), 0), ((WELL,), 0), ((WELL, Outcome(Asset("s"), Status.SKIPPED)), 0), ((Outcome(Asset("r"), Status.READY),), 0),
    ((WELL, FAILED), 1), ((FAILED, AGAIN), 4), ((AGAIN,), 4), ((FAILED, REFUSED), 3), ((AGAIN, REFUSED), 3),
    ((Outcome(Asset("p"), Status.PLANNED),), 4), ((Outcome(Asset("p"), Status.PLANNED), FAILED), 4),
    ((Outcome(Asset("f"), Status.FAILED, retry=Retry.PERSON),), 1)])
def test_each_exit_code_is_true(outcomes: tuple[Outcome, ...], code: int) -> None:
    summary = summary_of(*outcomes)

    assert summary.exit_code == code
    assert summary.to_dict()["exit_code"] == code


def test_in_a_plan_planned_is_what_all_should_be() -> None:
    planned = Outcome(Asset("p"), Status.PLANNED)

    assert summary_of(planned, planning=True).exit_code is ExitCode.OK
    assert summary_of(planned, FAILED, planning=True).exit_code is ExitCode.SOME_FAILED
    assert summary_of(planned, planning=True).retryable == 0


def test_what_ends_a_run_early_asks_for_its_code_too() -> None:
    summary = summary_of(FAILED)
    summary.require(ExitCode.TRY_AGAIN)
    assert summary.exit_code is ExitCode.TRY_AGAIN
    summary.require(ExitCode.OK)
    assert summary.exit_code is ExitCode.TRY_AGAIN


def test_exit_codes_are_never_renumbered() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "SOME_FAILED": 1, "USAGE": 2, "REFUSED": 3, "TRY_AGAIN": 4, "INTERRUPTED": 130}


# -- raise_for_failures ----------------------------------------------------------------------------


def test_where_all_went_well_nothing_is_raised() -> None:
    summary_of(WELL, Outcome(Asset("s"), Status.SKIPPED)).raise_for_failures()


@pytest.mark.parametrize("outcome", [FAILED, AGAIN, REFUSED])
def test_failures_are_raised_with_their_number(outcome: Outcome) -> None:
    with pytest.raises(ImagepipeError, match=r"of 2 pictures"):
        summary_of(WELL, outcome).raise_for_failures()


def test_why_a_run_was_stopped_is_in_what_is_raised() -> None:
    summary = summary_of(REFUSED)
    summary.stopped = "the store refuses the token"

    with pytest.raises(ImagepipeError, match="the store refuses the token"):
        summary.raise_for_failures()


def test_an_interrupted_run_is_no_success() -> None:
    with pytest.raises(ImagepipeError):
        Summary(interrupted=True, stopped="interrupted").raise_for_failures()


# -- lines -----------------------------------------------------------------------------------------


def test_a_line_has_every_field_and_null_for_what_is_absent() -> None:
    values = Outcome(Asset("a.jpg"), Status.FAILED).to_dict()

    assert set(FIELDS.split(", ")) <= set(values)
    absent = {name for name, value in values.items() if value is None}
    assert absent >= {"run_id", "manifest", "row_number", "reason", "code", "retry", "product_id", "sku", "output",
                      "format", "bytes_in", "bytes_out", "sha256", "lossless", "image_id", "url", "duplicate_of",
                      "similar_to"}
    assert (values["warnings"], values["notes"], values["attempts"]) == ([], [], 0)


def test_a_line_says_what_there_is_to_say() -> None:
    asset = Asset("a.heic", target=Target(product_id=7, sku="MUG", sort_order=2, is_thumbnail=True, description="Blue"),
                  location="/p/a.heic", origin=Origin("m.csv", 3, {"Colour": "blue"}),
                  received=Received("aa" * 32, 100), facts=Facts("jpeg", 30, 20), lossless=False,
                  notes=("HEIC to JPEG",), warnings=("too_small_for_zoom",),
                  delivery=Delivery(9, "https://s/9.jpg", "a-1.jpg", "bb" * 32, 50, attempts=1))
    values = Outcome(asset, Status.UPLOADED, action=Action.UPLOAD, seconds=1.23456).to_dict("run-1")

    assert json.loads(json.dumps(values)) == values
    assert {name: values[name] for name in (
        "type", "run_id", "image", "manifest", "row_number", "row", "status", "action", "product_id", "sku",
        "sort_order", "is_thumbnail", "description", "output", "format", "bytes_in", "bytes_out", "sha256", "lossless",
        "image_id", "seconds")} == {
        "type": "image", "run_id": "run-1", "image": "/p/a.heic", "manifest": "m.csv", "row_number": 3,
        "row": {"Colour": "blue"}, "status": "uploaded", "action": "upload", "product_id": 7, "sku": "MUG",
        "sort_order": 2, "is_thumbnail": True, "description": "Blue", "output": "a-1.jpg", "format": "jpeg",
        "bytes_in": 100, "bytes_out": 50, "sha256": "bb" * 32, "lossless": False, "image_id": 9, "seconds": 1.235}


@pytest.mark.parametrize("text", ["caf\udce9.jpg", "half \ud83d.jpg", "\x1b[2J\u202e\x00.jpg"])
def test_any_name_makes_a_line_that_every_encoder_takes(text: str) -> None:
    origin = Origin(text, 1, {text: text, "list": [text, float("nan")]})
    asset = Asset(text, location=f"/p/{text}", key=text, origin=origin, delivery=Delivery(name=text), notes=(text,),
                  similar_to=text)
    values = Outcome(asset, Status.FAILED, reason=text, duplicate_of=text).to_dict()

    told = json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert len(told.splitlines()) == 1 or "\x85" in text
    assert json.loads(told) == values


def test_a_line_has_no_query_and_no_user_of_an_address() -> None:
    address = "https://user:CANARY@cdn.example/a.jpg?X-Amz-Signature=CANARY#CANARY"
    values = Outcome(Asset(address, location=address, key=address), Status.FAILED, duplicate_of=address).to_dict()

    assert values["source"] == values["image"] == values["key"] == "https://cdn.example/a.jpg"
    assert "CANARY" not in json.dumps(values)


def test_the_sums_of_a_summary_add_up() -> None:
    lossless = Asset("a", received=Received("aa", 100), delivery=Delivery(size=90), facts=Facts("jpeg", 1, 1))
    summary = summary_of(Outcome(lossless, Status.UPLOADED), Outcome(lossless, Status.PLANNED), FAILED, AGAIN)
    values = summary.to_dict()

    assert values["total"] == 4 == sum(values[str(status)] for status in Status)
    assert (values["bytes_in"], values["bytes_out"], values["untouched"]) == (200, 90, 1)
    assert summary.planned_bytes == 90
    assert values["retryable"] == 2
