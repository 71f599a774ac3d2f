"""The request as views see it once the gate has let it through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

if TYPE_CHECKING:
    from workspace.models import ApiKey, Membership, Team, User


class StudioRequest(HttpRequest):
    """A signed-in person's request, or an API key's. Team routes carry the team and the person's membership in it."""

    user: User
    team: Team
    membership: Membership
    api_key: ApiKey | None
    htmx: HtmxDetails
