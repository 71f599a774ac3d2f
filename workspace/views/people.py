"""Pages of a person: the way in by invitation, the profile, the first door after signing in."""

from __future__ import annotations

from allauth.account.utils import complete_signup
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from llmstudio.http import StudioRequest
from workspace.accounts import accept, found_team
from workspace.forms.people import ProfileForm, SignUpForm, TeamForm
from workspace.models import Invitation, NotPossible, Team, User


def current_team(request: StudioRequest) -> Team | None:
    """The team this browser was in last, if the person still belongs to it; else their first."""
    teams = Team.objects.for_user(request.user)
    return teams.filter(slug=request.session.get("team")).first() or teams.order_by("created_at").first()


def home(request: StudioRequest) -> HttpResponse:
    team = current_team(request)
    return redirect(team) if team else render(request, "workspace/no_team.html", {"form": TeamForm()})


def team_new(request: StudioRequest) -> HttpResponse:
    form = TeamForm(request.POST)
    if not form.is_valid():
        return render(request, "workspace/no_team.html", {"form": form}, status=422)
    return redirect(found_team(form.cleaned_data["name"], request.user))


def profile(request: StudioRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("profile")
    context = {"form": form, "team": current_team(request), "two_factor": is_mfa_enabled(request.user)}
    return render(request, "workspace/profile.html", context, status=422 if form.errors else 200)


def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """One page for everyone who opens an invitation link. Opening it changes nothing; the button does."""
    found = Invitation.objects.by_token(token)
    if found is None:
        return render(request, "workspace/invitation_closed.html", status=404)
    if isinstance(request.user, User):
        return join(request, found, request.user)
    form = SignUpForm(request.POST or None, invitation=found)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                user = form.save()
                team = accept(found, user, form.cleaned_data.get("team", ""))
        except NotPossible:
            return render(request, "workspace/invitation_closed.html", status=404)
        answer: HttpResponse = complete_signup(request, user, "none", team.get_absolute_url())
        return answer
    return render(
        request, "workspace/invitation.html", {"invitation": found, "form": form}, status=422 if form.errors else 200
    )


def join(request: HttpRequest, found: Invitation, user: User) -> HttpResponse:
    """The same page for someone who is signed in: one button, if the invitation is theirs."""
    if found.email != user.email.lower():
        return render(request, "workspace/invitation_closed.html", {"invitation": found}, status=403)
    if request.method != "POST":
        return render(request, "workspace/invitation.html", {"invitation": found})
    try:
        return redirect(accept(found, user))
    except NotPossible:
        return render(request, "workspace/invitation_closed.html", status=404)
