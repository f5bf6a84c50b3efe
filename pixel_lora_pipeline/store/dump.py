"""The database as one file, and back, by PostgreSQL's own pg_dump and pg_restore.

The programs come with the embedded server; they read servers of their own version and of all older ones.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.embedded_postgres import programs
from pixel_lora_pipeline.store.urls import DAGSTER_SCHEMA

# Beside the connection's default schema, in which the domain's tables lie.
_OWN_SCHEMAS: Final = ("pixel_lora", DAGSTER_SCHEMA, "optuna")
# News for open pages, numbered by the server's own transactions: another server counts from elsewhere.
_NEWS: Final = "pixel_lora.lab_events"
_SERVICE: Final = "pixel_lora"
# Where rows say that somebody has worked with a database.
_TELLING: Final = ("training_runs", "experiments", "captions", "campaigns", "ab_tests")


class DumpError(RuntimeError):
    """The database could not be written to a file or read from one: says why, and what to do."""


def dump_database(url: str, target: Path) -> dict[str, int]:
    """Write the domain's, Dagster's and Optuna's tables to a file, as they are at one moment; others may go on.

    Returns
    -------
    dict
        How many rows each table had at that moment, by "schema.table".

    Raises
    ------
    DumpError
        With what pg_dump said.
    """
    with Database(url).connection() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        snapshot = connection.execute("SELECT pg_export_snapshot() AS name").fetchone()
        assert snapshot is not None  # noqa: S101 - every transaction has one
        schemas = _schemas(connection)
        _run(
            "pg_dump",
            url,
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--snapshot={snapshot['name']}",
            f"--exclude-table-data={_NEWS}",
            *(f"--schema={schema}" for schema in schemas),
            f"--file={target}",
        )
        return _rows(connection, schemas)


def restore_database(url: str, dump: Path) -> dict[str, int]:
    """Fill an empty database from a file, whole or not at all, and return how many rows each table has.

    Tables that the migrations have made and in which nothing is are replaced.

    Raises
    ------
    DumpError
        If the database is not empty, or other programs use it, or with what pg_restore said; nothing was changed.
    """
    with Database(url).connection() as connection:
        _refuse_unless_free(connection)
        default = _default_schema(connection)
    with tempfile.TemporaryDirectory(prefix="pixel-lora-") as folder:
        contents = Path(folder) / "contents"
        listed = _run("pg_restore", None, "--list", str(dump)).splitlines()
        # The default schema is there in every database, and is not ours to drop.
        kept = [line for line in listed if f" SCHEMA - {default} " not in f"{line} "]
        contents.write_text("\n".join(kept), encoding="utf-8")
        _run(
            "pg_restore",
            url,
            "--clean",
            "--if-exists",
            "--no-owner",
            "--no-privileges",
            "--single-transaction",
            "--exit-on-error",
            f"--use-list={contents}",
            str(dump),
        )
    with Database(url).connection() as connection:
        connection.execute("INSERT INTO pixel_lora.lab_events (kind, subject) VALUES ('start', '')")
        return _rows(connection, _schemas(connection))


def _refuse_unless_free(connection: psycopg.Connection[DictRow]) -> None:
    telling = {f"{_default_schema(connection)}.{name}" for name in _TELLING} | {f"{DAGSTER_SCHEMA}.runs"}
    filled = {name: rows for name, rows in _rows(connection, _schemas(connection)).items() if name in telling and rows}
    if filled:
        told = ", ".join(f"{rows} rows in {name}" for name, rows in filled.items())
        raise DumpError(
            f"the database is not empty ({told}): restore into a new one. Set PIXEL_LORA_HOME to a new folder, or "
            "DATABASE_URL to an empty database. Nothing was changed."
        )
    row = connection.execute(
        "SELECT count(*) AS others FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    ).fetchone()
    if row is not None and row["others"]:
        raise DumpError(
            f"{row['others']} other connections use the database: end `pixel-lora up` and whatever else is connected, "
            "then restore again. Nothing was changed."
        )


def _default_schema(connection: psycopg.Connection[DictRow]) -> str:
    row = connection.execute("SELECT current_schema() AS schema").fetchone()
    assert row is not None  # noqa: S101 - SELECT without FROM has a row
    return str(row["schema"])


def _schemas(connection: psycopg.Connection[DictRow]) -> list[str]:
    default = _default_schema(connection)
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)", (list(_OWN_SCHEMAS),)
    ).fetchall()
    return [default, *sorted(row["nspname"] for row in rows)]


def _rows(connection: psycopg.Connection[DictRow], schemas: list[str]) -> dict[str, int]:
    tables = connection.execute(
        "SELECT schemaname AS schema, tablename AS name FROM pg_tables WHERE schemaname = ANY (%s) ORDER BY 1, 2",
        (schemas,),
    ).fetchall()
    counted = {}
    for table in tables:
        name = f"{table['schema']}.{table['name']}"
        if name == _NEWS:
            continue
        count = sql.SQL("SELECT count(*) AS rows FROM {}").format(sql.Identifier(table["schema"], table["name"]))
        row = connection.execute(count).fetchone()
        assert row is not None  # noqa: S101 - a count is a row
        counted[name] = int(row["rows"])
    return counted


def _run(program: str, url: str | None, *arguments: str) -> str:
    """What a program says; the database's address is told to it in a file, for everybody sees its arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryDirectory(prefix="pixel-lora-") as folder:
        database = []
        if url is not None:
            services = Path(folder) / "service.conf"
            services.touch(mode=0o600)
            settings = conninfo_to_dict(Database(url).url)
            services.write_text(f"[{_SERVICE}]\n" + "".join(f"{name}={value}\n" for name, value in settings.items()))
            environment["PGSERVICEFILE"] = str(services)
            database = [f"--dbname=service={_SERVICE}"]
        done = subprocess.run(
            [programs() / program, *database, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode != 0:
        raise DumpError(f"{program} has failed: {done.stderr.strip()} Nothing was changed.")
    return done.stdout
