"""A team's own pages: its start, its members, invitations and API keys."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from jobs.models import Dataset, FineTune, LanguageModel
from llmstudio.http import StudioRequest
from workspace.accounts import mail_works, send_invitation
from workspace.forms.people import InviteForm, KeyForm, RoleForm, TeamForm
from workspace.models import ApiKey, Chat, Invitation, NotPossible, Role


def team_home(request: StudioRequest) -> HttpResponse:
    """Where the team switcher leads: the chats, or the first steps while there is nothing yet."""
    request.session["team"] = request.team.slug
    if Chat.objects.filter(team=request.team).exists() or FineTune.objects.filter(team=request.team).exists():
        return redirect("chats", team=request.team.slug)
    demo = Dataset.objects.for_team(request.team).order_by("created_at").first()
    return render(request, "workspace/welcome.html", {"demo": demo})


def settings_page(request: StudioRequest, *, status: int = 200, **extra: Any) -> HttpResponse:
    """The one page of all the forms below; `extra` carries the form that was refused, or a secret to show once."""
    team, me = request.team, request.membership
    keys = team.api_keys.live().select_related("user")
    context = {
        "members": team.memberships.select_related("user"),
        "roles": Role,
        "invitations": team.invitations.open(),
        "keys": keys if me.may(Role.ADMIN) else keys.filter(user=request.user),
        "team_form": TeamForm(instance=team, auto_id="team_%s"),
        "invite_form": InviteForm(by=me, auto_id="invite_%s") if me.grants else None,
        "key_form": KeyForm(auto_id="key_%s"),
        "studio_url": settings.STUDIO_URL,
        "example_model": LanguageModel.objects.for_team(team).values_list("key", flat=True).first(),
        **extra,
    }
    return render(request, "workspace/team_settings.html", context, status=status)


def team_settings(request: StudioRequest) -> HttpResponse:
    if request.method == "GET":
        return settings_page(request)
    form = TeamForm(request.POST, instance=request.team, auto_id="team_%s")
    if not form.is_valid():
        request.team.refresh_from_db()
        return settings_page(request, status=422, team_form=form)
    form.save()
    messages.success(request, "Renamed.")
    return redirect("team_settings", team=request.team.slug)


def member(request: StudioRequest, member_id: int) -> HttpResponse:
    """Give a member another role, or remove them."""
    other = get_object_or_404(request.team.memberships.select_related("user", "team"), pk=member_id)
    try:
        if "remove" in request.POST:
            other.end(by=request.membership)
            messages.success(request, f"{other.user} is no longer in the team.")
        else:
            form = RoleForm(request.POST, by=request.membership)
            if not form.is_valid():
                raise NotPossible("Choose a role that you may give.")
            other.appoint(form.cleaned_data["role"], by=request.membership)
            messages.success(request, f"{other.user} is now {Role(other.role).label.lower()}.")
    except NotPossible as refusal:
        return settings_page(request, status=409, problem=str(refusal))
    gone = other.user == request.user and "remove" in request.POST
    return redirect("home") if gone else redirect("team_settings", team=request.team.slug)


def team_leave(request: StudioRequest) -> HttpResponse:
    try:
        request.membership.end(by=request.membership)
    except NotPossible as refusal:
        return settings_page(request, status=409, problem=str(refusal))
    messages.success(request, f"You have left {request.team}.")
    return redirect("home")


def invitation_new(request: StudioRequest) -> HttpResponse:
    form = InviteForm(request.POST, by=request.membership, auto_id="invite_%s")
    if not form.is_valid():
        return settings_page(request, status=422, invite_form=form)
    email, role = form.cleaned_data["email"], form.cleaned_data["role"]
    invitation, link = Invitation.issue(team=request.team, email=email, role=role, invited_by=request.user)
    sent = send_invitation(invitation, link)
    return settings_page(request, new_invitation=invitation, link=link, sent=sent, mail_works=mail_works())


def invitation_revoke(request: StudioRequest, invitation_id: UUID) -> HttpResponse:
    get_object_or_404(request.team.invitations.open(), pk=invitation_id).delete()
    messages.success(request, "The invitation is withdrawn: its link no longer works.")
    return redirect("team_settings", team=request.team.slug)


def key_new(request: StudioRequest) -> HttpResponse:
    form = KeyForm(request.POST, auto_id="key_%s")
    if not form.is_valid():
        return settings_page(request, status=422, key_form=form)
    name, lifetime = form.cleaned_data["name"], form.lifetime
    key, secret = ApiKey.issue(team=request.team, user=request.user, name=name, lifetime=lifetime)
    return settings_page(request, new_key=key, secret=secret)


def key_revoke(request: StudioRequest, key_id: UUID) -> HttpResponse:
    """Anyone may revoke their own keys, an admin everyone's."""
    keys = request.team.api_keys.live()
    if not request.membership.may(Role.ADMIN):
        keys = keys.filter(user=request.user)
    key = get_object_or_404(keys, pk=key_id)
    keys.filter(pk=key.pk).revoke()
    messages.success(request, f"The key {key} no longer works.")
    return redirect("team_settings", team=request.team.slug)
