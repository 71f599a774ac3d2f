"""The gate: applies llmstudio/policy.py to every request before a view runs.

It finds the person (session, or API key on /v1 and /api) and their membership in the team named by the URL, and compares
the role. Somebody else's team looks exactly like a team that does not exist. Views still fetch through `request.team`,
so an id of another team is a 404 there too. It does not know any view.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseForbidden, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect

from llmstudio import openai_errors, rate
from llmstudio.asked import keep_storable
from llmstudio.openai_errors import Refused
from llmstudio.policy import ANYONE, FETCHES, KEY_NAMESPACES, ROUTES, SIGNED_IN
from llmstudio.sessions import memberships_of
from workspace.models import ApiKey, Role


class Gate:
    """The middleware. A team route's `team` argument becomes request.team and request.membership."""

    sync_capable = async_capable = True  # no thread is held while an asynchronous view waits

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: Any, view: Callable[..., HttpResponseBase], args: list[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        rules = ROUTES.get(match.view_name)
        by_key = bool(KEY_NAMESPACES & set(match.namespaces))
        if not rules:
            raise Http404
        least = rules.get("GET" if request.method == "HEAD" else request.method or "")
        if least is None:
            content = f"This address takes {' or '.join(rules)} only."
            return HttpResponseNotAllowed(list(rules), content, content_type="text/plain")
        if not by_key:
            keep_storable(request)
        if least == ANYONE:
            return None
        if by_key:
            return self._by_key(request, least, fetch=match.view_name in FETCHES and request.method in ("GET", "HEAD"))
        if not request.user.is_authenticated:
            return to_sign_in(request)
        if least == SIGNED_IN:
            return None
        # All teams of the person: this one decides, and the frame of the page offers the others.
        memberships = memberships_of(request)
        slug, request.my_teams = kwargs.pop("team", None), [membership.team for membership in memberships]
        membership = next((one for one in memberships if one.team.slug == slug), None)
        if membership is None:
            raise Http404
        request.team, request.membership = membership.team, membership
        if not membership.may(least):
            return forbidden(request, least)
        return None

    def _by_key(self, request: Any, least: int, *, fetch: bool) -> HttpResponse | None:
        key = ApiKey.objects.authenticate(secret_in(request.headers.get("Authorization", "")))
        membership = key.membership() if key else None
        if key is None or membership is None:
            return openai_errors.response(
                401, "This API key is not valid: it may be mistyped, revoked or expired.", code="invalid_api_key"
            )
        limit, counter = (
            (settings.STUDIO_PROMPT_RATE, f"{key.pk}:prompts") if fetch else (settings.STUDIO_API_RATE, str(key.pk))
        )
        if wait := rate.seconds_to_wait(counter, limit):
            what = "fetched prompts" if fetch else "made requests"
            return Refused(
                429, f"This key has {what} {limit:,} times in this minute, which is its limit.", retry_after=wait
            ).response()
        if not membership.may(least):
            needed, role = Role(least).label.lower(), Role(membership.role).label.lower()
            return openai_errors.response(403, f"This key's role, {role}, may not do this: it takes {needed}.")
        request.api_key, request.user, request.team, request.membership = key, key.user, membership.team, membership
        request._dont_enforce_csrf_checks = True  # no cookie was used to get here
        return None


def secret_in(authorization: str) -> str:
    """A key's secret: as a bearer, or as the password of Basic (Langfuse's clients send their two keys so)."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def to_sign_in(request: Any) -> HttpResponse:
    """To the sign-in page, and back to the page (never to a POST) once signed in. A fragment takes its page along."""
    if request.htmx:
        page = redirect_to_login(request.htmx.current_url_abs_path or "/")
        return HttpResponseClientRedirect(page.url)
    return redirect_to_login(request.get_full_path() if request.method in ("GET", "HEAD") else "/")


def forbidden(request: Any, least: int) -> HttpResponse:
    """A member without the role: they know the object exists, so they are told what it takes."""
    needed, role = Role(least).label.lower(), Role(request.membership.role).label.lower()
    message = f"This takes the role {needed}. Yours here is {role}; an admin of {request.team} can change it."
    if request.htmx:
        return HttpResponseForbidden(message, content_type="text/plain")
    return render(request, "403.html", {"message": message}, status=403)
