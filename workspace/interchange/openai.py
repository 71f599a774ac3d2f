"""What people can copy of a prompt kept at OpenAI: its id in a piece of code, or the prompt as JSON.

No call of OpenAI's gives the text of a stored prompt. Where only the id is pasted, it becomes another name of a prompt that
is already here, so that `prompt={"id": "pmpt_..."}` goes on working.
"""

from __future__ import annotations

import re
from typing import Any

from workspace.interchange.bounded import load_json
from workspace.interchange.drafts import MOST, Draft, Reading, Refused, each, mapping, messages_of
from workspace.variables import Variable

ID = re.compile(r"\bpmpt_[A-Za-z0-9_-]{1,90}")
VERSION = re.compile(r"""["']?version["']?\s*[:=]\s*["']?(\d{1,6})""")
VARIABLES = re.compile(r"""["']?variables["']?\s*[:=]\s*\{(.{0,4000}?)\}""", re.S)
KEYS = re.compile(r"""["']?([A-Za-z_][\w.-]*)["']?\s*:\s*["'\w{\[]""")
CALL = 20_000  # characters behind an id that may belong to its call
PARAMETERS = ("model", "temperature", "top_p", "max_output_tokens", "seed", "stop")


def read(text: str) -> Reading:
    """Raises Refused where no id is found."""
    try:
        whole = load_json(text)
    except Refused:
        return _code(text)
    listed = (
        whole
        if isinstance(whole, list)
        else whole.get("data")
        if isinstance(whole, dict) and "data" in whole
        else [whole]
    )
    if not isinstance(listed, list):
        raise Refused("It is no prompt of OpenAI's.")
    return Reading(each(((f"prompt {n}", _name(one), one) for n, one in enumerate(listed, 1)), draft))


def _name(one: Any) -> str:
    return str(one.get("name") or one.get("id") or "")[:200] if isinstance(one, dict) else ""


def _code(text: str) -> Reading:
    """Each id in a piece of code, with the version and the variables that are named behind it."""
    found = list(ID.finditer(text))
    if not found:
        raise Refused("No id of the form pmpt_… is in it.")
    if len(found) > MOST:
        raise Refused(f"It names ids of the form pmpt_… {len(found):,} times; at most {MOST:,} are taken in at once.")
    entries = []
    for at, one in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(text)
        around = text[one.start() : min(end, one.start() + CALL)]
        version, variables = VERSION.search(around), VARIABLES.search(around)
        names = KEYS.findall(variables[1]) if variables else []
        raw = {"id": one[0], "version": version[1] if version else "", "variables": dict.fromkeys(names, "")}
        entries.append((f"line {text.count(chr(10), 0, one.start()) + 1}", one[0], raw))
    once = {raw["id"]: (where, name, raw) for where, name, raw in reversed(entries)}
    return Reading(each(reversed(once.values()), draft))


def draft(where: str, raw: Any) -> Draft:
    if isinstance(raw, dict) and isinstance(raw.get("prompt"), dict):
        raw = {**raw, **raw["prompt"]}
    if not isinstance(raw, dict) or not ID.fullmatch(str(raw.get("id", raw.get("prompt_id", "")))):
        raise Refused("It has no id of the form pmpt_….")
    alias = str(raw.get("id", raw.get("prompt_id")))
    made = Draft(where, str(raw.get("name") or ""), alias=alias)
    said = raw.get("messages", raw.get("input"))
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    said = [
        {"role": one.get("role"), "content": one.get("content")}
        for one in (said if isinstance(said, list) else ())
        if isinstance(one, dict)
    ]
    if isinstance(raw.get("instructions"), str) and raw["instructions"].strip():
        said.insert(0, {"role": "system", "content": raw["instructions"]})
    made.messages = messages_of(said)
    made.config = {key: raw[key] for key in PARAMETERS if raw.get(key) is not None}
    if "max_output_tokens" in made.config:
        made.config["max_tokens"] = made.config.pop("max_output_tokens")
    given = raw.get("variables")
    names = list(given) if isinstance(given, dict) else [str(one) for one in given] if isinstance(given, list) else []
    made.variables = [Variable(name).to_dict() for name in names]
    _take_schema(made, raw)
    version = str(raw.get("version") or "")
    if version.isdecimal() and len(version) < 10:
        made.number = int(version)
        made.notes.append(
            f"Calls that ask for version {version} by its number mean OpenAI's; here numbers begin at 1. Leave the version "
            "out of the call, or use a label."
        )
    if not made.messages:
        made.notes.append("OpenAI hands out no text with an id: name the prompt here that shall answer to it.")
    return made


def _take_schema(made: Draft, raw: dict[str, Any]) -> None:
    text = raw.get("text")
    answer = text.get("format") if isinstance(text, dict) else raw.get("response_format")
    if isinstance(answer, dict):
        schema = answer.get("schema") or mapping(answer.get("json_schema")).get("schema")
        made.schema = schema if isinstance(schema, dict) else None
