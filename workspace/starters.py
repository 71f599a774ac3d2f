"""What a team can begin with: three prompts, which between them show a list of messages, typed variables, an include and an
answer as JSON; and a grid that can be run at once."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from jobs.models import LanguageModel
from workspace.models import Activity, Grid, LabelRefused, Membership, Prompt, PromptLabel, Team, User

STARTERS: list[dict[str, Any]] = [
    {
        "name": "starters/tone",
        "kind": "text",
        "description": "How we sound. Other prompts include it, so the tone is changed in one place.",
        "tags": ["starter"],
        "messages": [
            {
                "role": "user",
                "content": "Write in plain words and short sentences. Be friendly and exact. "
                "If something is not known, say so; never make it up.",
            }
        ],
    },
    {
        "name": "starters/answer-a-customer",
        "description": "A reply to a customer's message, in the house tone.",
        "tags": ["starter", "support"],
        "messages": [
            {"role": "system", "content": "You answer customers of {{company}}.\n\n{{> starters/tone@latest}}"},
            {"type": "placeholder", "name": "history"},
            {
                "role": "user",
                "content": "Write a {{length}} reply to this message. Begin with what the customer wants to know.\n\n"
                "{{message}}",
            },
        ],
        "variables": [
            {"name": "company", "default": "Lighthouse Books"},
            {"name": "length", "type": "choice", "choices": ["two-sentence", "short", "detailed"], "default": "short"},
            {"name": "message", "type": "long", "help": "What the customer wrote."},
        ],
        "config": {"temperature": 0.3},
    },
    {
        "name": "starters/extract-a-contact",
        "description": "Finds the person in a text and answers as JSON.",
        "tags": ["starter", "extraction"],
        "messages": [
            {
                "role": "system",
                "content": "Read the text and give the person it is about as JSON with name, email and phone. "
                "What the text does not say is an empty string.",
            },
            {"role": "user", "content": "{{text}}"},
        ],
        "variables": [
            {
                "name": "text",
                "type": "long",
                "default": "Please call Maria Rossi back on +39 06 1234 5678, or write to maria@example.com.",
            }
        ],
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "email": {"type": "string"}, "phone": {"type": "string"}},
            "required": ["name", "email", "phone"],
        },
        "config": {"temperature": 0},
    },
]


GRID_PROMPT = "Explain {{thing}} to a ten-year-old in two sentences."
GRID_THINGS = ("a rainbow", "why bread rises", "what a lighthouse is for")


def add(by: Membership) -> list[Prompt]:
    """Those that are not here yet, released under `production` where the person may do that."""
    made = []
    with transaction.atomic():
        there = set(
            Prompt.objects.for_team(by.team)
            .filter(name__in=[starter["name"] for starter in STARTERS])
            .values_list("name", flat=True)
        )
        for starter in STARTERS:
            if starter["name"] in there:
                continue
            prompt = Prompt.start(team=by.team, author=by.user, note="A starter prompt", **starter)
            made.append(prompt)
            try:
                PromptLabel.move(prompt.versions.get(), "production", by=by)
            except LabelRefused:
                continue  # the team protects it or asks for reviews; `latest` still finds the prompt
    return made


def grid(team: Team, author: User, model: LanguageModel) -> Grid:
    """One prompt, one model, two temperatures, three inputs: small enough to run at once."""
    with transaction.atomic():
        made = Grid.objects.create(team=team, author=author, name="Example: does temperature matter?")
        for name, temperature in (("Careful", 0.0), ("Free", 1.0)):
            made.add_column(
                label=f"{name}, temperature {temperature:g}",
                model=model,
                messages=[{"role": "user", "content": GRID_PROMPT}],
                params={"temperature": temperature, "max_tokens": 80},
            )
        made.add_inputs([{"thing": thing} for thing in GRID_THINGS])
        Activity.record(team.pk, author, "created", made)
        return made
