"""Prompt versions as files: what goes into a draft from the rows, and one file or a zip of them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F

from workspace import prompts
from workspace.interchange import dotprompt, langfuse, markdown, promptfoo, prompty
from workspace.interchange.drafts import Draft
from workspace.models import Prompt, PromptVersion
from workspace.models.includes import included_texts
from workspace.prompts import PromptError

MOST = 2000  # prompts in one export
EACH = {"prompty": prompty.write, "dotprompt": dotprompt.write, "markdown": markdown.write}
TOGETHER = {"langfuse": langfuse.write, "promptfoo": promptfoo.write}
ENDINGS = {"prompty": ".prompty", "dotprompt": ".prompt", "markdown": ".md", "langfuse": ".json", "promptfoo": ".yaml"}
TYPES = {".json": "application/json", ".yaml": "application/yaml", ".md": "text/markdown", ".zip": "application/zip"}


@dataclass(frozen=True)
class File:
    name: str
    type: str
    content: bytes


def latest(found: Sequence[Prompt]) -> list[PromptVersion]:
    """The newest version of each."""
    rows = PromptVersion.objects.filter(prompt__in=found, number=F("prompt__latest"))
    return list(
        rows.select_related("prompt__team", "examples__set").prefetch_related("labels").order_by("prompt__name")
    )


def drafts(versions: Sequence[PromptVersion]) -> list[Draft]:
    texts: dict[str, str | None] = {}
    return [_draft(version, texts) for version in versions]


def _draft(version: PromptVersion, texts: dict[str, str | None]) -> Draft:
    prompt = version.prompt
    included = {}
    for include in prompts.includes_in(version.messages):
        key = str(include)
        if key not in texts:
            try:
                texts[key] = included_texts(prompt.team, [{"role": "user", "content": f"{{{{> {key}}}}}"}])[include]
            except PromptError:
                texts[key] = None
        if (text := texts[key]) is not None:
            included[key] = text
    return Draft(
        name=prompt.name,
        kind=prompt.kind,
        messages=version.messages,
        description=prompt.description,
        tags=prompt.tags,
        labels=[label.name for label in version.labels.all()],
        variables=version.variables,
        config=version.config,
        schema=version.schema,
        note=version.note,
        number=version.number,
        examples=version.examples.set.name if version.examples else "",
        included=included,
    )


def file(found: Sequence[Draft], format_: str) -> File:
    """All of them in one file where the format can hold several, else one file each, in a zip by folder."""
    ending = ENDINGS[format_]
    base = _safe(found[0].name.rpartition("/")[2]) if len(found) == 1 else "prompts"
    if format_ in TOGETHER:
        return File(base + ending, TYPES[ending], TOGETHER[format_](found).encode())
    write = EACH[format_]
    if len(found) == 1:
        return File(base + ending, TYPES.get(ending, "text/plain"), write(found[0]).encode())
    held, taken = io.BytesIO(), set()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for draft in found:
            path, again = "/".join(_safe(part) for part in draft.name.split("/")), 2
            while (name := path if again == 2 else f"{path}-{again - 1}").lower() in taken:
                again += 1
            taken.add(name.lower())
            archive.writestr(name + ending, write(draft))
    return File(base + ".zip", TYPES[".zip"], held.getvalue())


def _safe(part: str) -> str:
    """A part of a path that is a plain name on every system, and never leads out of its folder."""
    return re.sub(r"[^\w ().-]+", "_", part).strip(" .")[:100] or "_"
