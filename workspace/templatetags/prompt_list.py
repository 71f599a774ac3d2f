"""Template tags of the prompt library: addresses with changed filters, and a folder as seen from another."""

from __future__ import annotations

from typing import Any

from django import template

from workspace.models import Prompt
from workspace.prompt_list import Filters, Row
from workspace.templatetags.studio import since

register = template.Library()


@register.simple_tag
def query(filters: Filters, **changes: Any) -> str:
    """The filters with these changed, as the query of a link. An empty `tags` takes all off."""
    if "tags" in changes:
        changes["tags"] = tuple(changes["tags"])
    return filters.query(**changes)


@register.filter
def drawn_as(row: Row, filters: Filters) -> tuple[Any, ...]:
    """Names the drawing of a line of the list, for `kept`."""
    return ("prompt", *row.shown, filters.folder, row.version and since(row.version.created_at))


@register.filter
def below(prompt: Prompt, folder: str) -> str:
    """The rest of a prompt's folder below the one that is looked at."""
    return str(prompt.folder).removeprefix(f"{folder}/") if folder else str(prompt.folder)
