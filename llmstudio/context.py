"""What the frame of every page shows: the team, the other teams, and who can answer."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from workspace.models import Role, Team


def frame(request: HttpRequest) -> dict[str, Any]:
    """Lazy, so that pages without the rail pay nothing."""
    user = getattr(request, "user", None)
    membership = getattr(request, "membership", None)
    if user is None or not user.is_authenticated:
        return {}
    return {
        "team": getattr(request, "team", None),
        "membership": membership,
        "may_annotate": bool(membership and membership.may(Role.ANNOTATOR)),
        "may_edit": bool(membership and membership.may(Role.EDITOR)),
        "may_admin": bool(membership and membership.may(Role.ADMIN)),
        "my_teams": getattr(request, "my_teams", None) or (lambda: Team.objects.for_user(user).order_by("name")),
    }
