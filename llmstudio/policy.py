"""Who may do what: one table for every route, method and socket action; what is not in it is denied.

The middleware settles it before a view runs: it finds the person (session, or API key on /v1 and /api), their membership in the
team named by the URL, and compares the role. Somebody else's team looks exactly like a team that does not exist.
Views and consumers still fetch through `request.team`, so an id of another team is a 404 there too.
Text from addresses and forms comes to views without U+0000.
tests/security walks the URL resolver and the socket's actions and fails on any door without a row here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseForbidden,
    HttpResponseNotAllowed,
    QueryDict,
)
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect

from llmstudio import openai_errors, rate
from llmstudio.openai_errors import Refused
from workspace.models import ApiKey, Membership, Role

ANYONE = 0
SIGNED_IN = 1
VIEWER, ANNOTATOR, EDITOR, ADMIN, OWNER = (int(role) for role in Role)

# view name -> method -> least role. HEAD follows GET. An empty row is a door that is there and stays shut.
ROUTES: dict[str, dict[str, int]] = {
    # the way in
    "home": {"GET": SIGNED_IN},
    "healthz": {"GET": ANYONE},
    "readyz": {"GET": ANYONE},
    "metrics": {"GET": ANYONE},  # refuses by itself what does not come from this machine or carry the metrics token
    "invitation": {"GET": ANYONE, "POST": ANYONE},
    "profile": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "team_new": {"POST": SIGNED_IN},
    # accounts (django-allauth); each of these asks for a session itself where one is needed
    "account_login": {"GET": ANYONE, "POST": ANYONE},
    "account_logout": {"GET": ANYONE, "POST": ANYONE},
    "account_inactive": {"GET": ANYONE},
    "account_signup": {},  # people come by an invitation
    "account_email": {},
    "account_email_verification_sent": {},
    "account_confirm_email": {},
    "account_confirm_login_code": {},
    "account_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_change_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_set_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_reset_password": {"GET": ANYONE, "POST": ANYONE},
    "account_reset_password_done": {"GET": ANYONE},
    "account_reset_password_from_key": {"GET": ANYONE, "POST": ANYONE},
    "account_reset_password_from_key_done": {"GET": ANYONE},
    "mfa_index": {"GET": SIGNED_IN},
    "mfa_authenticate": {"GET": ANYONE, "POST": ANYONE},
    "mfa_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_activate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_deactivate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_view_recovery_codes": {"GET": SIGNED_IN},
    "mfa_generate_recovery_codes": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_download_recovery_codes": {"GET": SIGNED_IN},
    "usersessions_list": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    # team
    "team_home": {"GET": VIEWER},
    "team_settings": {"GET": VIEWER, "POST": ADMIN},
    "invitation_new": {"POST": ADMIN},
    "invitation_revoke": {"POST": ADMIN},
    "member": {"POST": ADMIN},
    "team_leave": {"POST": VIEWER},
    "key_new": {"POST": EDITOR},
    "key_revoke": {"POST": VIEWER},  # one's own; an admin everyone's
    # chat
    "chats": {"GET": VIEWER},
    "chat_new": {"POST": EDITOR},
    "chat_with_adapter": {"POST": EDITOR},
    "chat": {"GET": VIEWER},
    "chat_thread": {"GET": VIEWER},
    "chat_settings": {"GET": VIEWER, "POST": EDITOR},
    "chat_archive": {"POST": EDITOR},
    "chat_export": {"GET": VIEWER},
    "chat_prompts": {"GET": EDITOR},
    "chat_insert": {"POST": EDITOR},
    "chat_files": {"GET": EDITOR, "POST": EDITOR},
    "chat_from_prompt": {"POST": EDITOR},
    "chat_from_examples": {"POST": EDITOR},
    "chat_to_prompt": {"GET": EDITOR, "POST": EDITOR},
    "chat_to_examples": {"GET": EDITOR, "POST": EDITOR},
    "attachment": {"GET": VIEWER, "POST": EDITOR},
    # what people think of an answer, wherever it is shown
    "feedback": {"GET": VIEWER, "POST": ANNOTATOR},
    "feedback_use": {"POST": EDITOR},
    # prompts
    "prompts": {"GET": VIEWER},
    "prompt_new": {"GET": EDITOR, "POST": EDITOR},
    "prompt_preview": {"POST": VIEWER},
    "prompt_settings": {"GET": VIEWER, "POST": ADMIN},
    "prompt_protect": {"POST": ADMIN},
    "prompt": {"GET": VIEWER, "POST": EDITOR},
    "prompt_news": {"GET": VIEWER},
    "prompt_versions": {"GET": VIEWER},
    "prompt_diff": {"GET": VIEWER},
    "prompt_restore": {"POST": EDITOR},
    "prompt_fork": {"GET": EDITOR, "POST": EDITOR},
    "prompt_review": {"POST": EDITOR},
    "prompt_verdict": {"POST": EDITOR},
    "prompt_labels": {"GET": VIEWER, "POST": EDITOR},
    "prompt_details": {"GET": EDITOR, "POST": EDITOR},
    "prompt_archive": {"POST": EDITOR},
    "prompt_version": {"GET": VIEWER},
    # few-shot examples
    "example_sets": {"GET": VIEWER},
    "example_set": {"GET": VIEWER},
    "example_set_new": {"POST": EDITOR},
    "example_set_save": {"POST": EDITOR},
    "example_set_change": {"POST": EDITOR},
    "example_set_archive": {"POST": EDITOR},
    "example_set_history": {"GET": VIEWER},
    "example_set_restore": {"POST": EDITOR},
    "example_fields": {"GET": EDITOR},
    "example_paste": {"POST": EDITOR},
    "example_preview": {"GET": VIEWER},
    "example_use": {"POST": EDITOR},
    "example_rate": {"POST": ANNOTATOR},
    "example_source": {"GET": VIEWER},
    "example_keep": {"GET": EDITOR, "POST": EDITOR},
    "leave_one_out_new": {"GET": EDITOR, "POST": EDITOR},
    "leave_one_out": {"GET": VIEWER},
    # playground
    "grids": {"GET": VIEWER},
    "grid": {"GET": VIEWER},
    "grid_new": {"POST": EDITOR},
    "grid_prompts": {"GET": VIEWER},
    "cell": {"GET": VIEWER},
    "grid_progress": {"GET": VIEWER},
    "grid_change": {"POST": EDITOR},
    "grid_archive": {"POST": EDITOR},
    "grid_copy": {"POST": EDITOR},
    "grid_run": {"POST": EDITOR},
    "grid_stop": {"POST": EDITOR},
    "grid_column_new": {"GET": EDITOR, "POST": EDITOR},
    "grid_column": {"GET": EDITOR, "POST": EDITOR},
    "grid_inputs": {"GET": EDITOR, "POST": EDITOR},
    "grid_table": {"POST": EDITOR},
    "grid_rows_of_dataset": {"POST": EDITOR},
    "grid_input": {"GET": EDITOR, "POST": EDITOR},
    "grid_rows": {"GET": VIEWER},
    "grid_vote": {"POST": ANNOTATOR},
    "grid_collect": {"GET": EDITOR, "POST": EDITOR},
    "grid_cell": {"GET": VIEWER},
    # together: comments, notifications, activity
    "people": {"GET": VIEWER},
    "comments": {"GET": VIEWER, "POST": ANNOTATOR},
    "comment_counts": {"GET": VIEWER},
    "comment": {"GET": VIEWER},
    "comment_edit": {"POST": ANNOTATOR},  # one's own
    "comment_delete": {"POST": ANNOTATOR},  # one's own; an admin everyone's
    "comment_resolve": {"POST": ANNOTATOR},
    "notices": {"GET": VIEWER},
    "notices_count": {"GET": VIEWER},
    "notices_read": {"POST": VIEWER},
    "notice": {"GET": VIEWER},
    "activity": {"GET": VIEWER},
    # in and out: the library's acts, import and export of prompts
    "prompt_import": {"GET": EDITOR, "POST": EDITOR},
    "prompt_export": {"GET": VIEWER, "POST": VIEWER},
    "prompts_act": {"POST": EDITOR},
    "prompt_starters": {"POST": EDITOR},
    "prompt_favourite": {"POST": VIEWER},  # one's own star
    # data
    "datasets": {"GET": VIEWER},
    "upload": {"POST": EDITOR},
    "import_new": {"GET": EDITOR},
    "import_start": {"POST": EDITOR},
    "import": {"GET": VIEWER},
    "import_cancel": {"POST": EDITOR},
    "import_again": {"POST": EDITOR},
    "dataset": {"GET": VIEWER},
    "dataset_rows": {"GET": VIEWER},
    "dataset_row": {"GET": VIEWER},
    "dataset_archive": {"POST": EDITOR},
    "dataset_download": {"GET": VIEWER},
    # fine-tunes and models
    "finetunes": {"GET": VIEWER},
    "finetune_new": {"GET": EDITOR, "POST": EDITOR},
    "finetune_check": {"POST": EDITOR},
    "finetune_tokens": {"POST": EDITOR},
    "finetune": {"GET": VIEWER},
    "finetune_progress": {"GET": VIEWER},
    "finetune_points": {"GET": VIEWER},
    "finetune_samples": {"GET": VIEWER},
    "finetune_log": {"GET": VIEWER},
    "finetune_cancel": {"POST": EDITOR},
    "finetune_stop": {"POST": EDITOR},
    "models": {"GET": VIEWER},
    "model_new": {"POST": ADMIN},
    "model_change": {"POST": ADMIN},
    "model_remove": {"POST": ADMIN},
    "adapter_archive": {"POST": EDITOR},
    "adapter_download": {"GET": VIEWER},
    # /api, by API key: prompts in our words
    "openapi": {"GET": ANYONE},
    "api:api-root": {"GET": VIEWER},  # ninja's own; answers 404
    "api:prompts": {"GET": VIEWER, "POST": EDITOR},
    "api:prompt": {"GET": VIEWER},
    "api:versions": {"GET": VIEWER, "POST": EDITOR},
    "api:label": {"GET": VIEWER, "PUT": EDITOR, "DELETE": EDITOR},
    "api:run": {"GET": VIEWER, "POST": EDITOR},
    "api:example_sets": {"GET": VIEWER},
    "api:example_set": {"GET": VIEWER},
    # /api/public, by API key: prompts in Langfuse's words
    "langfuse:api-root": {"GET": VIEWER},
    "langfuse:prompts": {"GET": VIEWER, "POST": EDITOR},
    "langfuse:prompt": {"GET": VIEWER, "DELETE": EDITOR},
    "langfuse:version": {"GET": VIEWER, "PATCH": EDITOR},
    "langfuse:projects": {"GET": VIEWER},
    # /v1, by API key
    "v1:api-root": {"GET": VIEWER},  # ninja's own; answers 404
    "v1:models": {"GET": VIEWER},
    "v1:model": {"GET": VIEWER, "DELETE": EDITOR},
    "v1:chat_completions": {"POST": EDITOR},
    "v1:responses": {"POST": EDITOR},
    "v1:files": {"GET": VIEWER, "POST": EDITOR},
    "v1:file": {"GET": VIEWER, "DELETE": EDITOR},
    "v1:file_content": {"GET": VIEWER},
    "v1:finetuning_jobs": {"GET": VIEWER, "POST": EDITOR},
    "v1:finetuning_job": {"GET": VIEWER},
    "v1:finetuning_cancel": {"POST": EDITOR},
    "v1:finetuning_pause": {"POST": EDITOR},
    "v1:finetuning_resume": {"POST": EDITOR},
    "v1:finetuning_events": {"GET": VIEWER},
    "v1:finetuning_checkpoints": {"GET": VIEWER},
}

SOCKET: dict[str, int] = {
    "subscribe": VIEWER,
    "unsubscribe": VIEWER,
    "send": EDITOR,
    "stop": EDITOR,
    "typing": EDITOR,
}

KEY_NAMESPACES = {"v1", "api", "langfuse"}

# What programs do before each of their own requests: it has a number of its own, so that it takes nothing from the rest.
FETCHES = {"langfuse:prompt", "api:prompt"}


class PolicyMiddleware:
    """Applies ROUTES to every request. A team route's `team` argument becomes request.team and request.membership."""

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
        membership = (
            Membership.objects.filter(user=request.user, team__slug=kwargs.pop("team", None))
            .select_related("team")
            .first()
        )
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


def keep_storable(request: Any) -> None:
    """What came in an address or a form, without U+0000: PostgreSQL keeps it nowhere, and nobody has typed it."""
    for name in ("GET", "POST"):
        sent = getattr(request, name)
        if any("\x00" in text for key, values in sent.lists() for text in (key, *values)):
            kept = QueryDict(mutable=True, encoding=sent.encoding)
            for key, values in sent.lists():
                kept.setlist(key.replace("\x00", ""), [text.replace("\x00", "") for text in values])
            kept._mutable = False
            setattr(request, name, kept)


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
