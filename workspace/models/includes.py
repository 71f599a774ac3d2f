"""What a prompt version may hold, and what it includes: the checks that need the team's other prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist

from jobs.structured import json_kept
from workspace import fewshot, prompts, variables
from workspace.models.people import Team
from workspace.prompts import PRODUCTION, Include, Message, PromptError

if TYPE_CHECKING:
    from workspace.models.prompt_versions import PromptVersion
    from workspace.models.prompts import Prompt

CHECKED = ("messages", "variables", "config", "schema", "shots")


def checked_content(
    prompt: Prompt,
    messages: Any,
    specs: Sequence[Mapping[str, Any]] | None,
    config: Mapping[str, Any] | None,
    schema: Mapping[str, Any] | None,
    shots: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a version stores, or PromptError: messages that make a prompt, readable variables, includes that are there."""
    checked = prompts.checked_messages(messages)
    if prompt.kind == prompt.Kind.TEXT and (len(checked) != 1 or checked[0].get("role") != "user"):
        raise PromptError("bad_message", "A text prompt is one text, without roles.")
    texts = included_texts(prompt.team, checked, within=prompt.name)
    used = prompts.variables_in(checked, texts.values())
    declared = variables.declared(specs or (), used)
    from workspace.structured import check_schema  # a library that most requests never need

    return {
        "messages": checked,
        "variables": [variable.to_dict() for variable in declared],
        "config": checked_config(config or {}),
        "schema": check_schema(schema) if schema else None,
        "shots": fewshot.Shots.from_dict(shots or {}).to_dict(),
    }


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        json_kept(config)
    except ValueError as error:
        raise PromptError("bad_value", f"The config holds {error}.", ["config"]) from None
    return dict(config)


def included_texts(team: Team, messages: Sequence[Message], *, within: str = "") -> dict[Include, str]:
    """The texts of the text prompts that `messages` include. Raises PromptError as `included` does."""
    return {include: version.text for include, version in included(team, messages, within=within).items()}


def included(team: Team, messages: Sequence[Message], *, within: str = "") -> dict[Include, PromptVersion]:
    """The versions that `messages` include, found as any other lookup: by label or version.
    Raises PromptError for one that is not there, for a cycle, and for a second level."""
    wanted = prompts.includes_in(messages)
    if not wanted:
        return {}
    named = team.prompts.for_team(team).stamped().filter(name__in=[include.name for include in wanted])
    rows = {prompt.name: prompt for prompt in named}
    versions = {}
    for include in wanted:
        if include.name == within:
            raise PromptError("cycle", f"The prompt includes itself ({include}).", [include.name])
        found = rows.get(include.name)
        if found is None:
            raise PromptError(
                "include", f"The prompt includes {include}, which does not exist (any more). Restore it, or take "
                f"{{{{> {include}}}}} out.", [include.name],
            )  # fmt: skip
        number = int(include.which) if include.which.isdigit() and len(include.which) < 10 else None
        try:
            version = found.find(version=number, label=None if number else include.which or None)
        except ObjectDoesNotExist:
            what = f"version {number}" if number else f"version labelled {include.which or PRODUCTION}"
            raise PromptError(
                "include", f"The included prompt {include.name} has no {what}. Publish it, or write "
                f"{{{{> {include.name}@latest}}}} to follow its newest version.", [include.name],
            ) from None  # fmt: skip
        if found.kind != found.Kind.TEXT:
            raise PromptError("include", f"{include.name} is a chat prompt; only text prompts can be included.",
                              [include.name])  # fmt: skip
        inner = prompts.includes_in(version.messages)
        if any(deeper.name == within for deeper in inner):
            raise PromptError("cycle", f"{include.name} includes {within} in turn: a circle.", [include.name])
        if inner:
            raise PromptError(
                "cycle", f"{include.name} includes {inner[0]} itself; an included prompt may not include others.",
                [include.name],
            )  # fmt: skip
        versions[include] = version
    return versions
