"""What happened in a team, in one append-only list: the activity feed."""

from __future__ import annotations

from typing import Any, Self

from django.db import models

from workspace.models.people import Team, User

COMMENTS = ("commented on", "answered a comment on")
ICONS = {
    "adapter": "boxes",
    "chat": "message-square",
    "dataset": "database",
    "exampleset": "quote",
    "finetune": "sliders-horizontal",
    "grid": "grid-3x3",
    "prompt": "notebook-text",
    "team": "users",
}
HEARD = {"exampleset": "examples", "finetune": "run"}


def heard_as(name: str) -> str:
    """How change notices call what the activity calls `name`, such as finetune:<id>."""
    kind, _, key = name.partition(":")
    return f"{HEARD.get(kind, kind)}:{key}"


class ActivityQuerySet(models.QuerySet["Activity"]):
    def of(self, thing: Any) -> Self:
        """What was done to one object."""
        return self.filter(team=thing.team_id, kind=thing._meta.model_name, object_id=str(thing.pk))


class Activity(models.Model):
    """One thing that someone did to one object. `kind` and `object_id` find the object; `name` and `url` still say what
    it was when it is gone."""

    FEW = 20  # beside the object itself

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="activities")
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    verb = models.CharField(max_length=40)  # "saved", "labelled", "commented on"
    kind = models.CharField(max_length=20)  # the model's name: "prompt"
    object_id = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=300, blank=True)
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    objects = ActivityQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["team", "-id"]),
            models.Index(fields=["team", "actor", "-id"], name="activity_of_person"),
            models.Index(fields=["team", "kind", "-id"], name="activity_of_kind"),
            models.Index(fields=["team", "kind", "object_id", "-id"], name="activity_of_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.name}"

    @property
    def icon(self) -> str:
        return "message-circle" if self.verb in COMMENTS else ICONS.get(self.kind, "circle-dot")

    @classmethod
    def record(cls, team_id: Any, actor: Any, verb: str, thing: Any, *, note: str = "", url: str = "") -> None:
        """Record what `actor` did to `thing`, in the caller's transaction. `url` leads to the very place, if the thing's
        own page does not; `actor` is a person or their id."""
        cls.of(team_id, actor, verb, thing, note=note, url=url).save(force_insert=True)

    @classmethod
    def of(cls, team_id: Any, actor: Any, verb: str, thing: Any, *, note: str = "", url: str = "") -> Activity:
        """Not stored yet."""
        return cls(
            team_id=team_id,
            actor_id=getattr(actor, "pk", actor),
            verb=verb,
            kind=thing._meta.model_name,
            object_id=str(thing.pk),
            name=str(thing)[:200],
            url=(url or thing.get_absolute_url())[:300],
            note=note[:300],
        )
