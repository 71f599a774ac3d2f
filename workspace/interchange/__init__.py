"""Prompts in and out: one module per format, pure functions between text and drafts. None of them knows rows."""

FORMATS: dict[str, str] = {
    "langfuse": "Langfuse JSON",
    "promptfoo": "promptfoo YAML",
    "prompty": ".prompty",
    "dotprompt": "Dotprompt",
    "markdown": "Markdown",
}
IMPORTS = {**FORMATS, "openai": "OpenAI prompt (pmpt_…)"}
