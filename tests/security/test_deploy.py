"""What the browser is told, and what a deployment behind https adds to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.test import Client

from tests.conftest import PASSWORD
from workspace.models import User

ROOT = Path(__file__).resolve().parents[2]
HTTPS = os.environ | {
    "STUDIO_URL": "https://studio.example.org",
    "SECRET_KEY": "k" * 30 + "abcdefghijklmnopqrstuvwxyz0123456789",
}

ASK = """
from django.conf import settings
import django; django.setup()
from django.test import Client
web = Client()
assert web.get("/accounts/login/", headers={"host": "studio.example.org"}).status_code == 301
page = web.get("/accounts/login/", headers={"host": "studio.example.org", "x-forwarded-proto": "https"})
cookie = page.cookies["csrftoken"]
print(page.status_code, bool(cookie["secure"]), bool(cookie["httponly"]), cookie["samesite"])
print(settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY, settings.SESSION_COOKIE_SAMESITE)
print(page["Strict-Transport-Security"])
print(page["Content-Security-Policy"])
print(web.get("/healthz", headers={"host": "studio.example.org"}).status_code)
print(web.get("/accounts/login/", headers={"host": "evil.example", "x-forwarded-proto": "https"}).status_code)
"""


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=ROOT, env=HTTPS, capture_output=True, text=True, check=False)


def test_djangos_deployment_check_finds_nothing() -> None:
    done = python("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_behind_https_cookies_are_secure_and_plain_http_is_turned_away() -> None:
    code = ASK.replace(
        "web = Client()",
        "settings.STORAGES['staticfiles'] = {'BACKEND': "
        "'django.contrib.staticfiles.storage.StaticFilesStorage'}; web = Client()",
    )
    done = python("-c", "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'llmstudio.settings'\n" + code)
    assert done.returncode == 0, done.stderr
    page, session, hsts, csp, health, stranger = done.stdout.splitlines()
    assert page == "200 True True Lax"
    assert session == "True True Lax"
    assert hsts == "max-age=31536000; includeSubDomains; preload"
    assert "wss://studio.example.org" in csp
    assert health == "200"  # health checks come from inside, without https
    assert stranger == "400"


def test_every_page_carries_the_headers(as_nobody: Client) -> None:
    for path in ("/accounts/login/", "/nothing/here/", "/v1/models", "/healthz"):
        headers = as_nobody.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path


def test_the_content_policy_lets_nothing_in_from_outside(as_nobody: Client) -> None:
    policy = as_nobody.get("/accounts/login/").headers["Content-Security-Policy"]
    rules = {name: set(values) for name, *values in (rule.split() for rule in policy.split("; "))}
    nonces = {value for value in rules["script-src"] if value.startswith("'nonce-")}
    assert rules["script-src"] - nonces == {"'self'"}
    assert rules["style-src"] - nonces == {"'self'"}
    assert rules["img-src"] == {"'self'", "data:"}
    assert rules["frame-ancestors"] == rules["base-uri"] == {"'none'"}
    assert rules["form-action"] == {"'self'"}
    assert "unsafe" not in policy
    assert "*" not in policy


def test_signing_in_changes_the_session_and_its_cookie_is_out_of_scripts_reach(alice: User) -> None:
    client = Client()
    client.session.save()
    before = client.session.session_key
    client.cookies["sessionid"] = before
    client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD})
    assert client.cookies["sessionid"].value != before
    assert client.cookies["sessionid"]["httponly"]


def test_our_pages_need_no_inline_script_or_style() -> None:
    """What the content policy would block in a browser is not there to begin with."""
    for template in (ROOT / "templates").rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert " style=" not in text, template
        assert " onclick=" not in text, template
        assert "<script>" not in text, template
        assert "javascript:" not in text, template
        assert "|safe }}" not in text.replace("{{ field.help_text|safe }}", ""), template
