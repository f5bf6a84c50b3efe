"""`pixel-lora costs` shows what was spent and what is not known, takes budgets, and asks the provider for prices."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.command_line import pixel_lora
from pixel_lora_pipeline_tests.test_costs import trained
from pixel_lora_pipeline_tests.train.runpod_server import KEY, RunPodServer

TRAINED_ON_A40 = json.dumps({"training": {"provider": "runpod", "gpu": "A40", "cloud": "secure"}})


def costs(store: Store, *arguments: str, **variables: str) -> Any:
    return pixel_lora("costs", *arguments, DATABASE_URL=store.database.url, **variables)


def test_a_month_and_a_run_are_shown_with_budget_and_how_each_is_known(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path, 30, 50, 70)
    said = costs(store, "budget", "0.60", "--month", "2026-11")
    assert (said.returncode, said.stdout.strip()) == (0, "Budget of November 2026: $0.60"), said.stderr
    shown = costs(store, "--month", "2026-11", PIXEL_LORA_COSTS=TRAINED_ON_A40)
    assert shown.returncode == 0, shown.stderr
    assert "November 2026: $0.51 (estimate)" in shown.stdout
    assert "Budget: 86 % of $0.60 spent" in shown.stdout
    report = json.loads(costs(store, "--month", "2026-11", "--json", PIXEL_LORA_COSTS=TRAINED_ON_A40).stdout)
    assert report["total"] == {"usd": "0.51", "is_complete": True, "kind": "estimate", "text": "$0.51"}
    assert [(line["run"], line["epochs"]["2"]["usd"]) for line in report["runs"]] == [("portrait", "0.15")]
    run = costs(store, "--run", "portrait", PIXEL_LORA_COSTS=TRAINED_ON_A40).stdout
    assert "list price of 2026-08-19: runpod secure A40 $0.44 an hour" in run


def test_without_a_price_nothing_is_made_up(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path, 30)
    shown = costs(store, "--month", "2026-11").stdout
    assert "November 2026: unknown" in shown and "0.50 h without a price" in shown


def test_a_price_table_that_cannot_be_read_is_named_with_what_is_wrong_in_it(store: Store, tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.write_text('[[gpu]]\nprovider = "runpod"\ngpu = "A40"\nusd_per_hour = "0.4"\n', encoding="utf-8")
    settings = {"PIXEL_LORA_COSTS": json.dumps({"prices": str(table)}), "PIXEL_LORA_HOME": str(tmp_path)}
    refused = costs(store, **settings)
    assert refused.returncode == 1
    for said in (refused.stderr, pixel_lora("doctor", **settings).stdout):
        assert f"{table}, gpu.0.source: Field required" in " ".join(said.split())


def test_what_is_no_month_and_no_sum_of_money_is_refused(store: Store) -> None:
    for arguments in (("--month", "11/2026"), ("budget", "lots"), ("budget", "-5"), ("budget", "1.005")):
        assert costs(store, *arguments).returncode == 2, arguments
    assert costs(store, "budget", "5", "--campaign", "4711").returncode == 2
    assert costs(store, "refresh").returncode == 2, "there is no key"
    assert store.budgets.of_month(datetime.now(UTC).date()) is None


def test_list_prices_are_taken_from_the_providers_catalogue(store: Store, runpod_server: RunPodServer) -> None:
    where = {"PIXEL_LORA_RUNPOD_URL": runpod_server.url}
    refused = costs(store, "refresh", RUNPOD_API_KEY="rpa_wrong", **where)
    assert (refused.returncode, store.gpu_prices.all()) == (1, [])
    asked = costs(store, "refresh", RUNPOD_API_KEY=KEY, **where)
    assert asked.returncode == 0, asked.stderr
    assert "4 prices and 0 bills are new" in asked.stdout and KEY not in asked.stdout + asked.stderr
    assert {(price.gpu, price.cloud) for price in store.gpu_prices.all()} == {
        (gpu, cloud) for gpu in ("RTX 4090", "RTX A5000") for cloud in ("secure", "community")
    }
