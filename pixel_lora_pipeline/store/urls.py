"""Database addresses: one place that reads what a user configured and says it again for each driver."""

from typing import Literal
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

Driver = Literal["psycopg", "psycopg2"]

DAGSTER_SCHEMA = "dagster"

# SQLAlchemy 2.1 takes a bare `postgresql://` for psycopg 3, which dagster-postgres does not use: always say
# it.
_SCHEMES: dict[Driver, str] = {"psycopg": "postgresql", "psycopg2": "postgresql+psycopg2"}

_TRANSACTION_POOLER_PORT = "6543"
_TRANSACTION_POOLER = (
    "the database address points at a transaction pooler (port 6543 or pgbouncer=true), which hands every "
    "transaction to another connection. LISTEN/NOTIFY, session advisory locks, prepared statements and "
    "SET search_path cannot work there, and migrations, live updates and Dagster's storage need them. Use "
    "the direct connection (Supabase: db.<project>.supabase.co:5432) or the session pooler (the same pooler "
    "host, port 5432)."
)
_OTHER_LIBRARIES_PARAMETERS = frozenset(
    {
        "pgbouncer",
        "supa",
        "schema",
        "connection_limit",
        "pool_timeout",
        "ssl",
        "sslaccept",
        "statement_cache_size",
    }
)


class DatabaseUrlError(ValueError):
    """The configured database address cannot be used; the message never contains any of its secrets."""


def normalize_url(url: str, driver: Driver) -> str:
    """Say a Postgres address in the dialect of a driver.

    Parameters
    ----------
    url
        `postgres://` or `postgresql://`, with or without a driver (`postgresql+asyncpg://`). Query parameters
        of libpq (`sslmode`, `sslrootcert`, `host`, `options`, …) are kept.
    driver
        "psycopg" for our own SQL (psycopg 3), "psycopg2" for SQLAlchemy in Dagster and Optuna.

    Raises
    ------
    DatabaseUrlError
        If the address is no Postgres address, cannot be read, or leads to a transaction pooler.
    """
    return _format(_parse(url), driver)


def dagster_url(url: str) -> str:
    """Say the address as Dagster's storage needs it: psycopg2, with `dagster` as the only schema searched.

    The schema has to exist (our migrations create it), else Dagster finds no place for its tables. Options
    that the address already carries stay in force; only their search_path and synchronous_commit give way.
    Dagster commits every event by itself: it does not wait until each is on the disk. What a power cut can take is
    the last half second of its log; then the run is found without an end, and evaluated again.
    """
    parameters = _parse(url)
    options = parameters.get("options", "")
    parameters["options"] = f"{options} -csearch_path={DAGSTER_SCHEMA} -csynchronous_commit=off".strip()
    return _format(parameters, "psycopg2")


def without_password(url: str) -> str:
    """Say the address for people: messages, logs and `doctor`."""
    parameters = _parse(url)
    parameters.pop("password", None)
    parameters.pop("sslpassword", None)
    return _format(parameters, "psycopg")


def _parse(url: str) -> dict[str, str]:
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise DatabaseUrlError(
            "the database address must begin with postgresql:// (or postgres://): set DATABASE_URL to "
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE, or leave it out to use the embedded server."
        )
    if "[YOUR-PASSWORD]" in rest:
        raise DatabaseUrlError(
            "the database address still contains the placeholder [YOUR-PASSWORD]: put the database password "
            "there, with special characters percent-encoded (@ is %40)."
        )
    query_names = {part.partition("=")[0] for part in rest.rpartition("?")[2].split("&")}
    if "pgbouncer" in query_names:
        raise DatabaseUrlError(_TRANSACTION_POOLER)
    if foreign := sorted(query_names & _OTHER_LIBRARIES_PARAMETERS):
        raise DatabaseUrlError(
            f"the database address has parameters that Postgres itself does not know: {', '.join(foreign)}. "
            "They belong to another library: take them out (TLS is asked for with sslmode=require)."
        )
    try:
        parsed = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        # libpq quotes what it could not read, and that may be the password: neither its text nor it is passed
        # on.
        raise DatabaseUrlError(_UNREADABLE) from None
    parameters = {name: str(value) for name, value in parsed.items() if value is not None}
    ports = parameters.get("port", "").split(",")
    misplaced = "@" in parameters.get("host", "") or "@" in parameters.get("dbname", "")
    if misplaced or any(port and not port.isdigit() for port in ports):
        raise DatabaseUrlError(_UNREADABLE)
    if _TRANSACTION_POOLER_PORT in ports:
        raise DatabaseUrlError(_TRANSACTION_POOLER)
    return parameters


_UNREADABLE = (
    "the database address cannot be read. Expected is "
    "postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require; special characters in the user name or "
    "the password must be percent-encoded (@ is %40, / is %2F, ? is %3F, % is %25), and every query parameter "
    "must be one of libpq's."
)


def _format(parameters: dict[str, str], driver: Driver) -> str:
    query = dict(parameters)
    user, password = query.pop("user", ""), query.pop("password", "")
    database = query.pop("dbname", "")
    credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    place = ""
    host = query.get("host", "")
    if host and not host.startswith("/") and "," not in host:
        del query["host"]
        port = query.pop("port", "")
        place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    address = f"{_SCHEMES[driver]}://{credentials}{'@' if credentials else ''}{place}/{quote(database, safe='')}"
    return f"{address}?{urlencode(query, quote_via=quote, safe='/')}" if query else address
