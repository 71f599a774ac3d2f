"""A small support team's prompt workspace, made in a running studio: for the pictures in docs and for looking at pages
that need an object. It says what is there; it does not click.
"""

from __future__ import annotations

import json
from typing import cast

from tests.stack import OWNER, PASSWORD, Stack

SCRIPT = f"""
import json
from django.db import transaction
from jobs.models import LanguageModel
from workspace.examples import Texts
from workspace.anchors import find
from workspace.models import (Comment, ExampleRating, ExampleSet, Grid, Membership, Prompt, PromptLabel,
    PromptReview, Role, Team, User)

transaction.set_autocommit(False)
alice = User.objects.get(email={OWNER!r})
team = Team.objects.get(memberships__user=alice)
me = team.memberships.get(user=alice)
grace, made = User.objects.get_or_create(email="grace@example.com", defaults={{"name": "Grace Owen"}})
grace.set_password({PASSWORD!r})
grace.save()
her, made = Membership.objects.get_or_create(team=team, user=grace, defaults={{"role": Role.EDITOR}})
model = LanguageModel.objects.get(team=None)

replies = ExampleSet.start(team=team, author=alice, name="Support replies",
    description="Answers that customers thanked us for, taken from real mails.")
replies.add_many(grace, [Texts(asked, answered) for asked, answered in (
    ("Where is my parcel? It was due on Monday.",
     "I am sorry it is late. It left our warehouse this morning and should be with you tomorrow."),
    ("The mug arrived broken.", "I am sorry about that. A new mug is on its way; keep the old one or throw it away."),
    ("Can I still change the address?", "Yes, until the parcel leaves us. Send me the new address and I will change it."),
    ("Please cancel order 1182.", "It is cancelled. The money is back on your card in two to three days."),
    ("Do you ship to Norway?", "Yes. It takes four to six days, and you pay no duty on orders under 300 euros."),
)], note="From the mails of October")
for example, stars in zip(replies.newest.ordered(), (5, 4, 5, 3, 4)):
    ExampleRating.rate(example, grace, stars)
    ExampleRating.rate(example, alice, min(5, stars + 1))
for name in ("Product names", "Refund decisions"):
    ExampleSet.start(team=team, author=grace, name=name).add(grace, input="Blue mug, large", output="MUG-BL-L")

style = Prompt.start(team=team, author=grace, name="shared/house-style", kind="text", tags=["style"],
    description="How we write", messages=[{{"role": "user", "content":
    "Write plain English in short sentences. Never promise a date that is not in the order."}}])
PromptLabel.move(style.newest, "production", by=me)

variables = [
    {{"name": "letter", "type": "long", "help": "The customer's mail, as it came"}},
    {{"name": "tone", "type": "choice", "choices": ["warm", "formal", "brief"], "default": "warm"}},
    {{"name": "sentences", "type": "number", "default": "3"}},
    {{"name": "refund", "type": "boolean", "default": "no", "help": "May we offer the money back?"}},
]
said = "You answer mails for a shop that sells mugs. Be {{{{tone}}}}.\\n{{{{> shared/house-style}}}}"
prompt = Prompt.start(team=team, author=alice, name="support/reply", description="Answers a customer's mail.",
    tags=["mail", "support"], variables=variables, note="First words", examples=replies.newest,
    shots={{"how": "similar", "count": 3}}, config={{"model": model.key, "temperature": 0.2, "max_tokens": 120}},
    messages=[{{"role": "system", "content": said}}, {{"role": "user", "content": "{{{{letter}}}}"}}])
keep = dict(variables=variables, examples=replies.newest, shots={{"how": "similar", "count": 3}},
    config={{"model": model.key, "temperature": 0.2, "max_tokens": 120}})
said += "\\nAnswer in at most {{{{sentences}}}} sentences. Refund allowed: {{{{refund}}}}."
prompt.save_version(alice, based_on=1, note="Says how long, and whether a refund is possible", **keep,
    messages=[{{"role": "system", "content": said}}, {{"role": "user", "content": "{{{{letter}}}}"}}])
PromptLabel.move(prompt.find(version=2), "production", by=me)
said = said.replace("Answer in at most", "Begin with what we will do. Answer in at most")
prompt.save_version(grace, based_on=2, note="The answer first, then the reason", **keep,
    messages=[{{"role": "system", "content": said}}, {{"role": "user", "content": "{{{{letter}}}}"}}])
PromptLabel.move(prompt.find(version=3), "staging", by=me)
review = PromptReview.ask(prompt.find(version=3), by=her, question="Does it still sound like us?")
prompt.favourites.add(alice)

for name, kind, tags, words in (
    ("support/triage", "chat", ["support"], "Which team should answer this mail? {{{{letter}}}}"),
    ("support/summary", "chat", ["support", "mail"], "Sum up this thread in two lines: {{{{thread}}}}"),
    ("shop/product-text", "chat", ["shop"], "Describe {{{{product}}}} in forty words."),
    ("shop/alt-text", "text", ["shop", "style"], "Say what is in the picture: {{{{caption}}}}"),
    ("release-notes", "chat", [], "Turn these commits into release notes: {{{{commits}}}}"),
):
    other = Prompt.start(team=team, author=grace, name=name, kind=kind, tags=tags, note="First version",
        messages=[{{"role": "user", "content": words}}])
    if name != "release-notes":
        PromptLabel.move(other.newest, "production", by=me)

comment = Comment.post(find(team, "prompt_version", str(prompt.find(version=3).pk)), grace,
    f"@{{alice}} the refund sentence reads stiffly. Shall we say it as a person would?")

grid = Grid.objects.create(team=team, author=alice, name="Reply: version 2 or 3?", metric="chrf")
for label, number, temperature in (("Version 2", 2, 0.0), ("Version 3", 3, 0.0), ("Version 3, warmer", 3, 0.7)):
    grid.add_column(label=label, model=model, prompt_version=prompt.find(version=number),
        params={{"max_tokens": 60, "temperature": temperature, "seed": 1}})
grid.add_inputs([{{"letter": "My parcel was due on Monday and is not here."}},
    {{"letter": "The handle of the blue mug came off. What now?"}},
    {{"letter": "Please send order 1207 to my new address."}}],
    expected=["I am sorry it is late. It should be with you tomorrow.",
    "I am sorry about that. A new mug is on its way.", "Done: order 1207 goes to your new address."])

urls = {{
    "prompt": prompt.get_absolute_url(), "version": prompt.find(version=3).get_absolute_url(),
    "history": prompt.get_absolute_url() + "versions/", "difference": prompt.get_absolute_url() + "diff/?a=2&b=3",
    "labels": prompt.get_absolute_url() + "labels/", "details": prompt.get_absolute_url() + "details/",
    "fork": prompt.find(version=3).get_absolute_url() + "fork/", "set": replies.get_absolute_url(),
    "set history": replies.get_absolute_url() + "history/",
    "leave one out": replies.get_absolute_url() + "leave-one-out/", "grid": grid.get_absolute_url(),
}}
transaction.commit()
print(json.dumps(urls))
"""


def make_objects(studio: Stack) -> dict[str, str]:
    """What each page is -> its path."""
    return cast("dict[str, str]", json.loads(studio.manage("shell", "-c", SCRIPT).splitlines()[-1]))
