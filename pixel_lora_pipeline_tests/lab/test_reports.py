"""Reports by id: from their folder and from nowhere else."""

from pathlib import Path

import httpx
import pytest

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.lab.example_run import add_epoch, add_run
from pixel_lora_pipeline_tests.lab.server import served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "reports" / "shown"
    own.mkdir(parents=True)
    (own / "run_report.html").write_text("<h1>The run</h1><a href='epoch_1_report.html'>epoch 1</a>")
    (own / "epoch_1_report.html").write_text("<h1>Epoch 1</h1><script>alert(1)</script>")
    (own / "epoch_1_report.json").write_text("{}")
    (tmp_path / "secret.html").write_text("secret")
    return own


def test_reports_and_the_files_beside_them_are_found_by_id(store: Store, tmp_path: Path, folder: Path) -> None:
    run_id = add_run(store, "shown")
    epoch_id = add_epoch(store, run_id, 1, 60.0)
    store.conclusions.record_run_report(run_id, folder / "run_report.html")
    store.conclusions.record_epoch_report(epoch_id, folder / "epoch_1_report.html")
    with served(store, tmp_path) as address, httpx.Client(follow_redirects=True) as client:
        run = client.get(f"{address}/lab/reports/run/{run_id}")
        assert "The run" in run.text
        beside = client.get(run.url.join("epoch_1_report.html"))
        assert "Epoch 1" in beside.text
        assert "default-src 'none'" in beside.headers["content-security-policy"]
        assert "Epoch 1" in client.get(f"{address}/lab/reports/epoch/{epoch_id}").text
        assert client.get(run.url.join("epoch_1_report.json")).headers["content-type"] == "application/json"


OTHER_FILES = (
    "../../secret.html",
    "..%2f..%2fsecret.html",
    "%2e%2e/%2e%2e/secret.html",
    "..%252f..%252fsecret.html",
    "..%5c..%5csecret.html",
    "%2fetc%2fpasswd",
    "run_report.html%00.png",
    ".hidden.html",
    "link.html",
    "folder.html",
    "x" * 5000 + ".html",
    "run_report",
)


def test_no_other_file_is_served(store: Store, tmp_path: Path, folder: Path) -> None:
    run_id = add_run(store, "shown")
    store.conclusions.record_run_report(run_id, folder / "run_report.html")
    (folder / "link.html").symlink_to(tmp_path / "secret.html")
    (folder / ".hidden.html").write_text("secret")
    (folder / "folder.html").mkdir()
    with served(store, tmp_path) as address:
        for name in OTHER_FILES:
            answer = httpx.get(f"{address}/lab/reports/run/{run_id}/{name}")
            assert answer.status_code == 404, name
            assert "secret" not in answer.text, name


def test_a_path_in_the_database_that_leads_elsewhere_is_not_followed(store: Store, tmp_path: Path) -> None:
    run_id = add_run(store, "shown")
    (tmp_path / "secret.html").write_text("secret")
    store.conclusions.record_run_report(run_id, tmp_path / "secret.html")
    with served(store, tmp_path) as address:
        assert httpx.get(f"{address}/lab/reports/run/{run_id}", follow_redirects=True).status_code == 404
        assert httpx.get(f"{address}/lab/reports/run/{run_id}/secret.html").status_code == 404
