"""Does a running fine-tune starve chat? Decode speed through /v1 with the machine idle, then with a trainer running.

    python -m bench.chat_while_training [--seconds 20]

The whole stack runs as `make run` runs it, on a data folder of its own. Peer: the same stack, idle, in the same run.
The promise is a ratio of at least 0.5.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import openai

from bench import Claim, options, report
from tests.stack import running

PROMPT = "Write a long story about a lighthouse keeper and the sea."


def rates(client: openai.OpenAI, seconds: float) -> list[float]:
    """Decode speed of one stream after another, tokens per second after the first token, for about `seconds`."""
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        first = last = None
        count = 0
        stream = client.chat.completions.create(
            model="smollm2-135m-instruct",
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=160,
            seed=len(found),
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            if chunk.usage:
                count = chunk.usage.completion_tokens
            elif chunk.choices and chunk.choices[0].delta.content:
                last = time.monotonic()
                first = first or last
        if first and last and count > 8:
            found.append((count - 1) / (last - first))
    return found


def start_training(client: openai.OpenAI) -> str:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Count from {i} to {i + 12}."},
                {"role": "assistant", "content": ", ".join(str(n) for n in range(i, i + 13))},
            ]
        }
        for i in range(200)
    ]
    path = Path(tempfile.mkstemp(suffix=".jsonl")[1])
    path.write_text("\n".join(json.dumps(row) for row in rows))
    uploaded = client.files.create(file=path.open("rb"), purpose="fine-tune")
    path.unlink()
    job = client.fine_tuning.jobs.create(
        model="smollm2-135m-instruct", training_file=uploaded.id, hyperparameters={"n_epochs": 20}
    )
    while not any(event.type == "metrics" for event in client.fine_tuning.jobs.list_events(job.id, limit=20)):
        time.sleep(0.5)
    return job.id


def main() -> None:
    given = options(__doc__, seconds=20.0)
    with running() as stack:
        client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key())
        rates(client, 5)  # warm-up
        idle = rates(client, given.seconds)
        job = start_training(client)
        busy = rates(client, given.seconds)
        client.fine_tuning.jobs.cancel(job)
    turns = min(len(idle), len(busy))
    claim = Claim(
        "one stream beside a fine-tune", "tokens/s", busy[:turns], "the same, idle", idle[:turns], at_least=0.5
    )
    report([claim], {}, given.out)


if __name__ == "__main__":
    main()
