"""Three prompts to begin with. Between them they show a list of messages, typed variables, an include and an answer as JSON."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from workspace.models import LabelRefused, Membership, Prompt, PromptLabel

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
