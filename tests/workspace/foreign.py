"""Prompts as other tools write them, and what a reading of them holds."""

from __future__ import annotations

from workspace.interchange.drafts import Draft, Problem, Reading


def drafts(reading: Reading) -> list[Draft]:
    problems = [item for item in reading.items if isinstance(item, Problem)]
    assert not problems, problems
    return [item for item in reading.items if isinstance(item, Draft)]


def only(reading: Reading) -> Draft:
    [draft] = drafts(reading)
    return draft


def why(reading: Reading) -> str:
    [problem] = reading.items
    assert isinstance(problem, Problem), problem
    return problem.why


LANGFUSE = {
    "id": "cm1", "projectId": "p", "createdBy": "API", "name": "support/movie-critic", "version": 3, "type": "chat",
    "prompt": [
        {"type": "chatmessage", "role": "system", "content": "@@@langfusePrompt:name=tone|label=production@@@ Be a {{level}} critic."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "Do you like {{movie}}? @@@langfusePrompt:name=rules|version=2@@@"},
    ],
    "config": {"model": "gpt-4o", "temperature": 0.5}, "labels": ["production", "latest"], "tags": ["movies"],
    "commitMessage": "Softer",
}  # fmt: skip

PROMPTFOO = """
description: Translation
prompts:
  - 'Translate to {{language}}: {{text}}'
  - label: chatty
    raw: |
      [{"role": "system", "content": "You translate."}, {"role": "user", "content": "{{text}}"}]
  - file://prompts/secret.txt
  - file://generate.py:create_prompt
  - exec:./generate.sh
  - prompt.json
  - langfuse://my-prompt@production
  - 'Upper {{ text | upper }}'
  - '{% if premium %}Hello{% endif %} {{text}}'
  - - {role: system, content: Be brief.}
    - {role: user, content: "{{text}}"}
providers:
  - id: openai:gpt-4o
    config: {temperature: 0.2, apiKey: sk-secret}
defaultTest:
  vars: {language: French}
tests:
  - vars: {text: Hello}
    assert:
      - {type: equals, value: Bonjour}
      - {type: javascript, value: 'output.length < 5'}
      - {type: not-python, value: 'len(output)'}
      - {type: llm-rubric, value: polite}
      - {type: contains, value: 'file://check.js'}
      - {type: assert-set, assert: [{type: ruby, value: x}]}
  - vars: {text: [a, b]}
  - file://more.yaml
"""

LEGACY_PROMPTY = """---
name: Answer
description: Answers a customer
authors: [testauthor]
tags: [test]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_deployment: gpt-35-turbo
    api_key: sk-secret
  parameters: {temperature: 0.7, max_tokens: 500}
inputs:
  firstName: {type: string, sample: Jane, description: The first name}
  lastName: Doe
  question: {type: string, sample: Why?}
  chat_history: []
---
system:
You help {{firstName}} {{lastName}}.

{% for item in chat_history %}
{{item.role}}:
{{item.content}}
{% endfor %}

user:
{{question}}
"""

DOTPROMPT = """---
name: greeting
variant: formal
model: googleai/gemini-1.5-flash
config:
  temperature: 0.7
input:
  default:
    name: Guest
  schema:
    name: string, who is greeted
    style?(enum, how): [warm, cool]
    tags(array): string
    age?: integer
output:
  format: json
  schema:
    greeting: string, the greeting
    level?: number
---
{{! a comment }}
{{role "system"}}
Greet in the style {{style}}.
{{history}}
{{role "user"}}
I am {{name}}, {{age}}. {{> house/rules}} {{tags}}
"""

PYTHON = """
response = client.responses.create(
  prompt={"id": "pmpt_68ab01", "version": "2", "variables": {"city": "San Francisco", "days": "3"}}
)
"""
