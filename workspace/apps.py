from typing import Any

from django.apps import AppConfig

from jobs.happenings import happened


class WorkspaceConfig(AppConfig):
    name = "workspace"
    verbose_name = "Workspace"

    def ready(self) -> None:
        happened.connect(record, dispatch_uid="activity")


def record(thing: Any, verb: str, by: Any, note: str, **_: Any) -> None:
    """What happened in jobs goes into the team's activity, from the web process and from workers alike."""
    from workspace.models import Activity

    Activity.record(thing.team_id, by, verb, thing, note=note)
