"""Ask a web process what is not there yet: for the supervisor, and as a container's health check.

    python -m llmstudio.probe http://127.0.0.1:8000      exit status 0 when the web process answers
    python -m llmstudio.probe http://web:8000 infer      ... and that worker has been seen lately

Standard library only.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

SECONDS = 5


def missing(address: str, public_host: str = "127.0.0.1") -> list[str]:
    """The names of what /readyz says is missing: none when all is ready. `public_host` is for Django's host check."""
    request = urllib.request.Request(f"{address}/readyz", headers={"Host": public_host})  # noqa: S310 - the caller's own
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            return []
    except urllib.error.HTTPError as error:
        with error:
            try:
                return [name for name, there in json.load(error)["checks"].items() if not there]
            except (ValueError, KeyError):
                return [f"web (it answers with status {error.code})"]
    except OSError:
        return ["web"]


def alive(address: str) -> bool:
    """Does the web process answer at all? It does when its database is away, and restarting it would not help."""
    request = urllib.request.Request(f"{address}/healthz", headers={"Host": "127.0.0.1"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            return True
    except OSError:
        return False


if __name__ == "__main__":
    address, *names = sys.argv[1:]
    fine = not {"web", *names} & set(missing(address)) if names else alive(address)
    sys.exit(0 if fine else 1)
