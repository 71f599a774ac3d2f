"""A draft as the model would get it: filled in with trial values, includes looked up, tokens counted.

What is missing or wrong is said and shown in place, so that a half-written prompt can be looked at. It stores nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from jobs.models import LanguageModel
from workspace import fewshot, prompts
from workspace.chat_forms import Answerers
from workspace.forms.values import ValuesForm
from workspace.models import Prompt, PromptVersion
from workspace.models.includes import included
from workspace.prompts import Include, Message, PromptError
from workspace.variables import Variable, declared


@dataclass(frozen=True)
class Shown:
    """One message of the preview. A placeholder nobody has filled yet has its name as content."""

    role: str
    content: str
    example: bool = False


@dataclass
class Preview:
    values: ValuesForm | None = None
    messages: list[Shown] = field(default_factory=list)
    includes: dict[Include, PromptVersion] = field(default_factory=dict)
    included_names: list[str] = field(default_factory=list)  # variables that only an include brings
    missing: list[str] = field(default_factory=list)
    problem: str = ""
    model: LanguageModel | None = None
    tokens: int = 0
    example_tokens: int = 0
    examples: int = 0
    exact: bool = True  # counted by the model's own tokenizer

    @property
    def shape(self) -> str:
        """Changes when the form of the values must be drawn anew."""
        specs = [variable.to_dict() for variable in self.values.variables] if self.values else []
        return hashlib.sha256(json.dumps(specs).encode()).hexdigest()[:12]

    @cached_property
    def room(self) -> int:
        """As chat says it: what the model may take as it is served now."""
        return self.model.room() if self.model else 0


def preview(prompt: Prompt, content: dict[str, Any], values: Mapping[str, Any], model: LanguageModel | None) -> Preview:
    """`content` is what `save_version` takes; `values` come as ValuesForm sends them."""
    seen = Preview(model=model)
    version = PromptVersion(prompt=prompt, **content)
    try:
        version.messages = prompts.checked_messages(version.messages)
        seen.includes = included(prompt.team, version.messages, within=prompt.name)
        own = prompts.variables_in(version.messages)
        used = prompts.variables_in(version.messages, (one.text for one in seen.includes.values()))
        seen.included_names = [name for name in used if name not in own]
        variables = declared(version.variables, used)
        seen.values = ValuesForm(
            variables, {f"v-{one.name}": values.get(f"v-{one.name}", one.default) for one in variables}
        )
        given = _given(seen, seen.values)
        version.variables = [_stand_in(one, given) for one in variables]
        _fill(seen, version, given)
    except PromptError as error:
        seen.problem = str(error)
    return seen


def chosen_model(who: Answerers, key: str) -> LanguageModel | None:
    """The model that counts the tokens: by its own key or an adapter's; else the first that can count."""
    models = list(who.models.values())
    named = {model.key: model for model in models}
    named |= {adapter.key: adapter.base for adapter in who.adapters.values()}
    local = [model for model in models if model.kind == LanguageModel.Kind.LOCAL]
    return named.get(key) or next(iter([*local, *models]), None)


def _given(seen: Preview, form: ValuesForm) -> dict[str, str]:
    """The values that can be used. What is missing is named; what is wrong is said at its field."""
    form.is_valid()
    given = dict(form.parsed)
    for variable in form.variables:
        if variable.name not in given and not form[variable.name].data:
            seen.missing.append(variable.name)
            form.errors.pop(variable.name, None)  # said once, above the preview
    return given


def _stand_in(variable: Variable, given: Mapping[str, str]) -> dict[str, Any]:
    """Its value has been read already, so it is any text now; one that has none stands as its own tag."""
    default = "" if variable.name in given else f"{{{{{variable.name}}}}}"
    return Variable(variable.name, "text", required=False, default=default).to_dict()


def _fill(seen: Preview, version: PromptVersion, given: dict[str, str]) -> None:
    places = {
        name: [{"role": "placeholder", "content": name}] for name in prompts.placeholders_in(version.messages)
    }  # each as one mark, so that what stands in the template at n is at n here, until the examples
    count = partial(_count, seen)
    rendered = version.render(given, placeholders=places, count=count)
    seen.examples = len(rendered.examples)
    template = fewshot.with_examples_placeholder(version.messages) if version.examples_id else version.messages
    at = next((i for i, one in enumerate(template) if one.get("name") == prompts.EXAMPLES), len(rendered.messages))
    inside = range(at, at + 2 * seen.examples)
    seen.messages = [Shown(one["role"], one["content"], i in inside) for i, one in enumerate(rendered.messages)]
    asked = [one for one in rendered.messages if one["role"] != "placeholder"]
    without = [one for i, one in enumerate(rendered.messages) if i not in inside and one["role"] != "placeholder"]
    seen.tokens = count(asked)
    seen.example_tokens = seen.tokens - count(without) if seen.examples else 0


def _count(seen: Preview, messages: list[Message]) -> int:
    """By the chosen model; where it cannot say, four characters to a token."""
    if seen.model and messages:
        try:
            tokens = seen.model.prompt_tokens(messages)
        except (ValueError, OSError):  # its template does not take these messages, or its files are not here
            tokens = None
        if tokens is not None:
            return tokens
    seen.exact = False
    return sum(len(one["content"]) for one in messages) // 4
