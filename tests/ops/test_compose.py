"""docker-compose.yml without Docker: it says what it should, and every command of ours starts outside a container."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmstudio import probe
from llmstudio.embedded import Postgres, Valkey, database_url, redis_url
from llmstudio.supervisor import WORKERS, web_command, worker_command
from llmstudio.supervisor_child import ROOT
from tests.processes import data_folder, eventually
from tests.stack import free_port, prepared_models

OURS = {"model", "migrate", "web", *WORKERS}
SECRETS = {"POSTGRES_PASSWORD": "secret", "SECRET_KEY": "also secret"}


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def filled(text: str, environment: dict[str, str]) -> str:
    """Compose's ${NAME:-default} and ${NAME:?message}."""

    def value(found: re.Match[str]) -> str:
        name, kind, word = found.groups()
        if not environment.get(name) and kind == "?":
            raise KeyError(name)
        return environment.get(name) or word

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


SERVICES = compose()["services"]


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="there is no docker compose here",
)
@pytest.mark.parametrize("files", [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.gpu.yml"]])
def test_docker_accepts_the_files(files: list[str]) -> None:
    command = ["docker", "compose", *(part for file in files for part in ("-f", file)), "config", "--quiet"]
    subprocess.run(command, cwd=ROOT, env=os.environ | SECRETS, check=True)


def test_every_process_of_the_design_has_a_service() -> None:
    assert set(SERVICES) == OURS | {"postgres", "redis"}
    assert int(filled(SERVICES["web"]["command"][9], {})) > 1, "web runs several processes"


def test_the_commands_are_those_of_make_run() -> None:
    def normal(command: list[str]) -> list[str]:
        """From the module on; several processes and the address inside a container are compose's own."""
        found = command[command.index("-m") + 1 :]
        if "--workers" in found:
            at = found.index("--workers")
            del found[at : at + 2]
        return found

    assert normal(SERVICES["web"]["command"]) == normal(web_command("0.0.0.0", 8000))
    for kind in WORKERS:
        assert normal(SERVICES[kind]["command"]) == normal(worker_command(kind))
        assert SERVICES[kind]["environment"]["STUDIO_WORKER"] == kind


def test_everything_is_watched_and_kept() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name, service in SERVICES.items():
        once = name in ("model", "migrate")
        in_image = service.get("build", {}).get("target") == "web" and "HEALTHCHECK" in dockerfile
        assert once or "healthcheck" in service or in_image, f"{name} has a health check"
        assert service["volumes"], f"{name} keeps its data in a volume"
        assert once or service["restart"] == "unless-stopped"


def test_nothing_of_ours_runs_as_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", dockerfile, flags=re.M)[2:]
    assert len(stages) == 2 and all(re.search(r"^USER studio$", stage, re.M) for stage in stages)
    assert not any("user" in service or service.get("privileged") for service in SERVICES.values())


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in SECRETS:
        with pytest.raises(KeyError, match=name):
            filled(text, {other: "x" for other in SECRETS if other != name})
        assert re.search(rf"^{name}=$", (ROOT / ".env.example").read_text(), re.M)


def test_the_gpu_is_reserved_in_the_override_only() -> None:
    override = compose("docker-compose.gpu.yml")["services"]
    assert set(override) == {"infer", "train"}
    for service in override.values():
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert "nvidia" not in (ROOT / "docker-compose.yml").read_text()


# --- the commands, started -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[Path, dict[str, str], int]]:
    """PostgreSQL and Valkey in the place of the containers, the base model in its volume, and compose's variables."""
    with data_folder() as home:
        (home / "models").symlink_to(prepared_models())
        stores = Postgres(home, options=("fsync=off",)), Valkey(home)
        for store in stores:
            store.start()
        port = free_port()
        settings = SECRETS | {"STUDIO_URL": f"http://127.0.0.1:{port}"}
        variables = {name: filled(str(value), settings) for name, value in compose()["x-environment"].items()}
        variables |= {"STUDIO_HOME": str(home), "DATABASE_URL": database_url(home), "REDIS_URL": redis_url(home)}
        yield home, variables, port
        for store in stores:
            store.stop()


def command_of(name: str, home: Path, port: int) -> list[str]:
    """As in the file, but with this Python, the data folder in the place of /data, and a free port."""
    words = [filled(word, {"WEB_PROCESSES": "2"}) for word in SERVICES[name]["command"]]
    assert words[0] == "python"
    return [sys.executable, *(word.replace("/data/", f"{home}/").replace("8000", str(port)) for word in words[1:])]


def test_every_service_starts_outside_a_container(stores: tuple[Path, dict[str, str], int]) -> None:
    home, variables, port = stores
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")} | variables
    for name in ("model", "migrate"):
        done = subprocess.run(
            command_of(name, home, port), cwd=ROOT, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]

    running = {}
    with (home / "containers.log").open("w") as log:
        for name in ("web", *WORKERS):
            own = environment | ({"STUDIO_WORKER": name} if name in WORKERS else {})
            running[name] = subprocess.Popen(
                command_of(name, home, port), cwd=ROOT, env=own, stdout=log, stderr=log, start_new_session=True
            )
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: not probe.missing(address), "the studio is ready", seconds=90)
        assert urllib.request.urlopen(f"{address}/healthz").read() == b"ok\n"
        for name in WORKERS:
            check = [sys.executable, *SERVICES[name]["healthcheck"]["test"][2:]]
            check = [word.replace("http://web:8000", address) for word in check]
            assert subprocess.run(check, cwd=ROOT, check=False).returncode == 0, f"{name} is healthy"
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        statuses = {name: process.wait(60) for name, process in running.items()}
    assert set(statuses.values()) <= {0, -signal.SIGTERM}, (statuses, (home / "containers.log").read_text()[-2000:])
