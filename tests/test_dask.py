"""Preparation on a Dask cluster: the executor that it gives is one like any other."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagepipe import api
from imagepipe.asset import Asset
from imagepipe.cli import main
from imagepipe.outcome import Status
from imagepipe.runner import run
from imagepipe.testing import jpeg

pytest.importorskip("distributed", reason="needs the extra [dask]; .ci/run installs it")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own, which are many


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as here, \
                Client(here) as client:
            yield client


def test_pictures_are_prepared_on_the_cluster(cluster: Any, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(seed=number, orientation=6))
    (tmp_path / "broken.jpg").write_bytes(jpeg()[:300])

    done = api.prepare_to(tmp_path / "out", tmp_path, executor=cluster.get_executor(pure=False))
    outcomes = list(done)

    assert [outcome.status for outcome in outcomes].count(Status.READY) == 6
    assert [outcome.code for outcome in outcomes if outcome.failed] == ["corrupt"]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 6


def test_a_pipeline_runs_elsewhere_and_keeps_everyone_apart(cluster: Any) -> None:
    assets = [Asset(str(number), str(number + 1), data=jpeg(seed=number)) for number in range(8)]

    outcomes = list(run(assets, api.Shaping(max_edge=200).pipeline(), executor=cluster.get_executor(pure=False)))

    assert sorted(outcome.asset.source for outcome in outcomes) == sorted(asset.source for asset in assets)
    assert all(outcome.asset.facts and outcome.asset.facts.width == 200 for outcome in outcomes)


def test_a_scheduler_that_is_not_there_is_said_soon(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as nobody, pytest.raises(SystemExit) as left:
        nobody.bind(("127.0.0.1", 0))  # bound, but nobody listens
        main(["prepare", str(tmp_path), "--out", str(tmp_path / "out"),
              "--dask", f"tcp://127.0.0.1:{nobody.getsockname()[1]}"])
    assert left.value.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:" in capsys.readouterr().err
