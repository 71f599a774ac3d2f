"""promptfoo's configuration file: its prompts, and its tests as inputs to try them on. Nothing in it is ever run:
functions, scripts, files and assertions that are code are refused, each by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from workspace.interchange.bounded import comment, dump_yaml, load_json, load_yaml
from workspace.interchange.drafts import (
    CHAT,
    TEXT,
    Draft,
    Reading,
    Refused,
    each,
    inlined,
    leaf,
    mapping,
    messages_of,
    missing,
    specs,
    strings,
    whole,
)
from workspace.interchange.properties import default, typed_in
from workspace.variables import Variable

CODE = ("javascript", "python", "ruby", "webhook")  # assertions, also as not-javascript
ELSEWHERE = re.compile(r"^(file|exec|langfuse|portkey|helicone|https?|huggingface|python|javascript|ruby):", re.I)
SCRIPT = re.compile(r"^\S+\.(js|cjs|mjs|ts|py|sh|bash|rb|pl|txt|md|json|ya?ml|csv|j2|jsonl)(:\w+)?$", re.I)
NUNJUCKS = re.compile(r"\{%.{0,60}?%\}|\{#.{0,60}?#\}|\{\{[^{}|(\[]*[|(\[][^{}]*\}\}", re.S)
UNUSED = ("scenarios", "extensions", "derivedMetrics", "redteam", "evaluateOptions", "nunjucksFilters", "env")
PARAMETERS = ("temperature", "top_p", "max_tokens", "stop", "seed", "frequency_penalty", "presence_penalty")


def read(text: str) -> Reading:
    """Raises Refused."""
    file = load_yaml(text)
    if not isinstance(file, dict) or "prompts" not in file:
        raise Refused("A promptfoo file has a list called prompts.")
    raw = file["prompts"]
    if isinstance(raw, dict):  # the old way: file or text -> label
        raw = [{"raw": key, "label": label} for key, label in raw.items()]
    entries = raw if isinstance(raw, list) else [raw]
    reading = Reading(each(((f"prompts[{n}]", _label(one), one) for n, one in enumerate(entries)), draft))
    _name(reading, str(file.get("description") or ""))
    _take_providers(reading, file.get("providers"))
    _take_tests(reading, file)
    for key in UNUSED:
        if file.get(key):
            reading.remarks.append(f"{key}: not taken in.")
    return reading


def _label(one: Any) -> str:
    return str(one.get("label") or one.get("id") or "")[:200] if isinstance(one, dict) else ""


def draft(where: str, one: Any) -> Draft:
    config: Any = None
    if isinstance(one, dict) and "role" not in one:
        if one.get("function"):
            raise Refused("It is a function. Code is not run here; write its text out.")
        said, config = one.get("raw", one.get("id")), one.get("config")
    else:
        said = one
    if isinstance(said, str):
        _refuse_elsewhere(said)
    made = Draft(where, _label(one))
    messages = _chat(said)
    if messages is not None:
        made.messages = messages_of(messages)
    elif isinstance(said, str):
        made.kind, made.messages = TEXT, [{"role": "user", "content": said}]
    else:
        raise Refused("It has no text.")
    for message in made.messages:
        if code := NUNJUCKS.search(message.get("content", "")):
            raise Refused(f"It uses the template code {code[0][:60]}. Only {{{{variables}}}} are filled in here.")
    if isinstance(config, dict):
        studio = config.pop("studio", None)
        made.config = config
        if isinstance(studio, dict):
            made.variables = specs(studio.get("variables"))
            made.schema = studio["schema"] if isinstance(studio.get("schema"), dict) else None
            made.description, made.note = str(studio.get("description") or ""), str(studio.get("note") or "")
            made.number = whole(studio.get("version"))
            made.tags = strings(studio.get("tags"))
            made.labels = strings(studio.get("labels"))
            _put_placeholders(made, studio.get("placeholders"))
    return made


def _put_placeholders(made: Draft, places: Any) -> None:
    """promptfoo knows none, so an export leaves them out and says where they were."""
    for at, name in places.items() if isinstance(places, dict) else ():
        if str(at).isdecimal() and len(str(at)) < 4:
            made.messages.insert(int(at), {"type": "placeholder", "name": str(name)})


def _refuse_elsewhere(said: str) -> None:
    first = said.strip()
    if ELSEWHERE.match(first) or ("\n" not in first and SCRIPT.match(first)):
        raise Refused(
            f"It refers to {first[:120]}, which is not in this file and is not fetched. Put its text in its place."
        )


def _chat(said: Any) -> Any:
    """A list of messages, written as YAML or as JSON in a text; None where it is a text."""
    if isinstance(said, list):
        return said
    if isinstance(said, str) and said.lstrip().startswith("["):
        try:
            found = load_json(said)
        except Refused:
            return None
        if isinstance(found, list) and found and all(isinstance(one, dict) and "role" in one for one in found):
            return found
    return None


def _name(reading: Reading, description: str) -> None:
    """promptfoo's prompts often have no label; two may share one."""
    taken: set[str] = set()
    for number, item in enumerate(reading.items, 1):
        if isinstance(item, Draft):
            base = re.sub(r"[{}@|\x00-\x1f]", "", item.name).removeprefix("file://").strip() or (
                f"{description[:80] or 'promptfoo'} {number}"
            )
            name, again = base, 2
            while name in taken:
                name, again = f"{base} {again}", again + 1
            if not item.name:
                item.notes.append("It had no label; the name is made up.")
            item.name = re.sub(r"[{}@|]", "", name)
            taken.add(name)


def _take_providers(reading: Reading, providers: Any) -> None:
    if not providers:
        return
    listed = providers if isinstance(providers, list) else [providers]
    config = listed[0].get("config") if len(listed) == 1 and isinstance(listed[0], dict) else None
    kept = {key: value for key, value in config.items() if key in PARAMETERS} if isinstance(config, dict) else {}
    for item in reading.items:
        if isinstance(item, Draft):
            item.config = {**kept, **item.config}
    took = f" Their {', '.join(kept)} went to the prompts." if kept else ""
    reading.remarks.append(f"providers: models are chosen here, so these were not taken in.{took}")


def _take_tests(reading: Reading, file: dict[str, Any]) -> None:
    defaults = file.get("defaultTest")
    shared = _vars(defaults.get("vars")) if isinstance(defaults, dict) else {}
    if isinstance(defaults, dict):
        reading.remarks += list(_assertions("defaultTest", defaults))
    if shared is None:
        reading.remarks.append("defaultTest: its variables are lists, files or code; they were not taken in.")
        shared = {}
    for item in reading.items:
        if isinstance(item, Draft):
            told = {spec["name"] for spec in item.variables if "name" in spec}
            item.variables += [
                Variable(name, default=value).to_dict() for name, value in shared.items() if name not in told
            ]
    tests = file.get("tests")
    if isinstance(tests, str) or (isinstance(tests, dict) and "path" in tests):
        at = tests if isinstance(tests, str) else tests["path"]
        reading.remarks.append(f"tests: {at} is not in this file and was not read.")
        return
    for number, test in enumerate(tests if isinstance(tests, list) else ()):
        where = f"tests[{number}]"
        if not isinstance(test, dict):
            reading.remarks.append(f"{where}: {str(test)[:80]} is not in this file and was not read.")
            continue
        reading.remarks += list(_assertions(where, test))
        values = _vars(test.get("vars"))
        if values is None:
            reading.remarks.append(f"{where}: its variables are lists, files or code; the test was not taken in.")
        elif values:
            reading.cases.append({**shared, **values, **_expected(test)})


def _vars(raw: Any) -> dict[str, str] | None:
    """The values of a test where each is one plain value."""
    if not isinstance(raw, dict):
        return {} if raw is None else None
    if any(isinstance(value, list | dict) or ELSEWHERE.match(str(value)) for value in raw.values()):
        return None
    return {name: typed_in(value, "text") for name, value in raw.items()}


def _expected(test: dict[str, Any]) -> dict[str, str]:
    asserts = test.get("assert")
    for one in asserts if isinstance(asserts, list) else ():
        if isinstance(one, dict) and one.get("type") == "equals" and isinstance(one.get("value"), str):
            return {"expected": one["value"]}
    return {}


def _assertions(where: str, test: dict[str, Any]) -> Iterator[str]:
    """One line for each assertion that is not kept: those that are code are refused by their name."""
    asserts = test.get("assert")
    for number, one in enumerate(asserts if isinstance(asserts, list) else ()):
        at = f"{where}.assert[{number}]"
        if not isinstance(one, dict):
            yield f"{at}: {str(one)[:80]} is not in this file and was not read."
            continue
        kind = str(one.get("type", ""))
        if kind == "assert-set":
            yield from _assertions(at, one)
        elif kind.removeprefix("not-") in CODE:
            yield f"{at}: {kind} is code and was refused."
        elif isinstance(one.get("value"), str) and ELSEWHERE.match(one["value"]):
            yield f"{at}: {kind} with {one['value'][:80]} is code or a file elsewhere and was refused."
        elif any(key in one for key in ("transform", "contextTransform")):
            yield f"{at}: {kind} with a transform is code and was refused."
        elif kind != "equals":
            yield f"{at}: {kind} was not taken in; only equals is kept, as the expected answer."
    if "transform" in mapping(test.get("options")):
        yield f"{where}.options.transform is code and was refused."


def write(drafts: Sequence[Draft]) -> str:
    notes: list[str] = []
    entries: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    for draft in drafts:
        messages, said = inlined(draft)
        notes += [f"{draft.name}: {one}" for one in [*said, *missing(draft)]]
        notes += [
            f"{draft.name}: promptfoo has no place for the placeholder {message['name']}; it is left out of the messages."
            for message in messages
            if "content" not in message
        ]
        for message in messages:
            if code := NUNJUCKS.search(message.get("content", "")):
                notes.append(f"{draft.name}: promptfoo reads {code[0][:40]} as template code.")
        entries.append(_entry(draft, messages))
        shared |= {spec["name"]: default(spec) for spec in draft.variables if spec["default"]}
    file: dict[str, Any] = {
        "description": f"Exported from LLM Studio: {leaf(drafts[0].name)}"
        if len(drafts) == 1
        else "Exported from LLM Studio",
        "prompts": entries,
        "providers": [],
    }
    if shared and len(drafts) == 1:
        file["defaultTest"] = {"vars": shared}
    file["tests"] = []
    head = [
        "yaml-language-server: $schema=https://promptfoo.dev/config-schema.json",
        "Add providers and tests, then: promptfoo eval",
    ]
    return comment([*head, *notes]) + dump_yaml(file)


def _entry(draft: Draft, messages: Sequence[Any]) -> dict[str, Any]:
    if draft.kind == CHAT:
        raw = json.dumps([message for message in messages if "content" in message], ensure_ascii=False, indent=2)
    else:
        raw = messages[0]["content"]
    studio = {
        "version": draft.number,
        "description": draft.description,
        "tags": draft.tags,
        "labels": draft.labels,
        "note": draft.note,
        "variables": draft.typed,
        "schema": draft.schema,
        "placeholders": {str(at): message["name"] for at, message in enumerate(messages) if "content" not in message},
    }
    studio = {key: value for key, value in studio.items() if value}
    config = {**draft.config, **({"studio": studio} if studio else {})}
    return {"label": draft.name, "raw": raw, **({"config": config} if config else {})}
