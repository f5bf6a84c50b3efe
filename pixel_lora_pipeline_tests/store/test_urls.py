import traceback

import psycopg
import pytest
from sqlalchemy import make_url

from pixel_lora_pipeline.store import Database, DatabaseUrlError, dagster_url, normalize_url, without_password

SUPABASE = "postgresql://postgres.abcdef:s3cr%40t%2F%23@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_way_to_write_the_scheme_reaches_both_drivers(scheme: str) -> None:
    written = f"{scheme}://user:word@db.example.org:5433/runs"
    assert normalize_url(written, "psycopg") == "postgresql://user:word@db.example.org:5433/runs"
    assert normalize_url(written, "psycopg2") == "postgresql+psycopg2://user:word@db.example.org:5433/runs"


@pytest.mark.parametrize(
    "url",
    [
        SUPABASE,
        f"{SUPABASE}?sslmode=verify-full&sslrootcert=/etc/ssl/supabase%20ca.crt",
        "postgresql://postgres@/pixel_lora?host=/tmp/my%20home/p%C3%BC",
        "postgresql://u:p@[::1]:5433/db",
        "postgresql://user:what?ever@db.example.org/runs?sslmode=require",
        "postgresql://localhost/db",
        "postgresql:///db",
    ],
)
def test_nothing_of_an_address_is_lost(url: str) -> None:
    expected = psycopg.conninfo.conninfo_to_dict(url)
    assert psycopg.conninfo.conninfo_to_dict(normalize_url(url, "psycopg")) == expected

    understood = make_url(normalize_url(url, "psycopg2"))
    seen = {
        "user": understood.username,
        "password": understood.password,
        "host": understood.host,
        "port": understood.port,
        "dbname": understood.database,
        **understood.query,
    }
    assert {key: str(value) for key, value in seen.items() if value is not None} == {
        key: str(value) for key, value in expected.items()
    }
    assert understood.get_driver_name() == "psycopg2"


def test_a_normalised_address_stays_as_it_is() -> None:
    once = normalize_url(f"{SUPABASE}?sslmode=require", "psycopg2")
    assert normalize_url(once, "psycopg2") == once
    assert dagster_url(once) == dagster_url(normalize_url(once, "psycopg"))


def test_dagster_searches_its_own_schema_and_other_options_stay() -> None:
    url = make_url(dagster_url(f"{SUPABASE}?sslmode=require&options=-cstatement_timeout%3D5000"))
    assert url.query == {
        "sslmode": "require",
        "options": "-cstatement_timeout=5000 -csearch_path=dagster -csynchronous_commit=off",
    }
    assert str(url.password) == "s3cr@t/#"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres.abc:word@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
        "postgresql://u:word@host/db?port=6543",
        "postgresql://u:word@host:5432/db?sslmode=require&pgbouncer=true",
    ],
)
def test_a_transaction_pooler_is_refused_with_what_cannot_work_and_what_to_use(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        normalize_url(url, "psycopg")
    said = str(refusal.value)
    for expected in ["LISTEN", "advisory locks", "prepared statements", "search_path", "direct", "5432"]:
        assert expected in said, said
    assert "word" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:Geh@eim@db.example.org/runs",
        "postgresql://user:Geh/eim@db.example.org/runs",
        "postgresql://user:Geheim%zz@db.example.org/runs",
        "postgresql://user:Geheim@db.example.org/runs?Geheim=Geheim",
        "postgresql://user:[YOUR-PASSWORD]@db.example.org/Geheim",
        "mysql://user:Geheim@db.example.org/runs",
        "user:Geheim@db.example.org/runs",
        "postgresql://user:Geheim@db.example.org/runs?schema=public&connection_limit=1",
        "",
    ],
)
def test_an_unreadable_address_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        normalize_url(url, "psycopg")
    shown = "".join(traceback.format_exception_only(refusal.value)) + repr(refusal.value.__cause__)
    assert "Geh" not in shown and "eim" not in shown, shown
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


def test_the_password_is_in_no_text_made_for_people() -> None:
    url = f"{SUPABASE}?sslmode=require&sslpassword=hush"
    for text in (without_password(url), repr(Database(url)), str(Database(url))):
        assert "s3cr" not in text and "hush" not in text, text
        assert "pooler.supabase.com" in text
