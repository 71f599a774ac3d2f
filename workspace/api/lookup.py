"""Finding the version of a prompt that a program asks for, and answering with it so that it can be asked for again.

The rules are Langfuse's: neither version nor label is `production`, both are refused, and nothing falls back to another
version. Which words an answer uses is for langfuse.py and prompts.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse
from django.utils.cache import get_conditional_response

from llmstudio.http import StudioRequest
from llmstudio.openai_errors import Refused
from workspace import prompts
from workspace.api.door import depends
from workspace.models import Prompt, PromptVersion, Team
from workspace.models.includes import included
from workspace.prompts import LATEST, PRODUCTION, Include, Message, PromptError

BIGGEST = 2**31 - 1  # of a version's number


@dataclass(frozen=True)
class Fetched:
    """A version, its labels (`latest` among them), and what it includes."""

    version: PromptVersion
    labels: list[str]
    includes: dict[Include, PromptVersion] = field(default_factory=dict)
    asked: str = ""  # the name that it was asked for by, which may be one that it had before

    @property
    def messages(self) -> list[Message]:
        """With the included texts in place; the variables are still there."""
        texts = {include: version.text for include, version in self.includes.items()}
        return prompts.with_includes(self.version.messages, texts) if texts else self.version.messages

    @property
    def stamps(self) -> dict[str, str]:
        """The prompts that this answer was made from, as they were."""
        rows = [self.version.prompt, *(version.prompt for version in self.includes.values())]
        return {str(prompt.pk): prompt.stamp for prompt in rows}


def find_prompt(team: Team, name: str) -> Prompt | None:
    if "\x00" in name:
        return None
    prompt: Prompt | None = Prompt.objects.for_team(team).stamped().filter(name=name).first()
    if prompt is not None:
        prompt.team = team
    return prompt


def find_called(team: Team, name: str) -> Prompt | None:
    """By its name, or by one that it had and keeps for programs. A prompt that has the name now comes first."""
    prompt = find_prompt(team, name)
    if prompt is None and "\x00" not in name:
        prompt = Prompt.objects.for_team(team).stamped().filter(aliases__alias=name).first()
        if prompt is not None:
            prompt.team = team
    return prompt


def find(
    team: Team, name: str, *, version: int | None = None, label: str | None = None, resolve: bool = True
) -> Fetched:
    """Raises Refused: 400 for a version and a label, 404 for none, 409 for an include that is not there."""
    if version and label:
        raise Refused(400, "Cannot specify both version and label")
    which = f"with version {version}" if version else f"with label '{label or PRODUCTION}'"
    missing = Refused(404, f"Prompt not found: '{name[:300]}' {which}", code="not_found")
    prompt = find_called(team, name)
    if prompt is None or (version and not 0 < version <= BIGGEST) or "\x00" in (label or ""):
        raise missing
    try:
        found = prompt.find(version=version or None, label=label or None)
    except PromptVersion.DoesNotExist:
        raise missing from None
    return replace(seen(found, resolve=resolve), asked=name)


def seen(version: PromptVersion, *, resolve: bool = True) -> Fetched:
    """A version with what belongs to it."""
    prompt = version.prompt
    labels = sorted(version.labels.values_list("name", flat=True))
    if version.number == prompt.latest:
        labels.append(LATEST)
    if not resolve:
        return Fetched(version, labels)
    try:
        return Fetched(version, labels, included(prompt.team, version.messages, within=prompt.name))
    except PromptError as error:
        raise Refused(409, str(error), code=error.code) from None


def fresh(version: PromptVersion) -> Fetched:
    """After a change, from the database; includes are not looked up."""
    prompt = Prompt.objects.select_related("team").get(pk=version.prompt_id)
    return seen(prompt.find(version=version.number), resolve=False)


def answer(request: StudioRequest, found: Fetched, body: Mapping[str, Any]) -> HttpResponse:
    """The body with its ETag, or 304 to who has it already."""
    content = json.dumps(body, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if found.asked == found.version.prompt.name:  # else another prompt may take the name, which no stamp would show
        depends(request, found.stamps)
    response = HttpResponse(content, content_type="application/json", headers={"ETag": etag})
    response.headers["Cache-Control"] = "private, no-cache"  # keep it, and ask whether it still holds
    return get_conditional_response(request, etag=etag, response=response) or response
