"""Prompts and their versions: saved once and for all, found by label, restored, forked, never overwritten."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from workspace.models import (
    ExampleSet,
    LabelRefused,
    Membership,
    Prompt,
    PromptLabel,
    PromptVersion,
    ProtectedLabel,
    Role,
    Stale,
    Team,
    User,
)
from workspace.prompts import PromptError


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def make(
    team: Team, author: User, name: str = "support/greet", text: str = "Greet {{name}}.", **more: object
) -> Prompt:
    return Prompt.start(team=team, author=author, name=name, messages=[user(text)], **more)


@pytest.fixture
def prompt(team: Team, alice: User) -> Prompt:
    return make(team, alice)


def test_a_save_is_a_new_version_and_the_old_one_never_changes(prompt: Prompt, bob: User) -> None:
    second = prompt.save_version(bob, based_on=1, messages=[user("Hello {{name}}!")], note="Shorter")
    assert (prompt.latest, second.number, second.author, second.note) == (2, 2, bob, "Shorter")
    old = prompt.versions.get(number=1)
    assert old.messages == [user("Greet {{name}}.")]
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        PromptVersion.objects.filter(pk=old.pk).update(messages=[user("Rewritten")])
    PromptVersion.objects.filter(pk=old.pk).update(status="review")


def test_a_second_save_of_the_same_version_is_stale_and_stores_nothing(prompt: Prompt, alice: User, bob: User) -> None:
    prompt.save_version(alice, based_on=1, messages=[user("Alice")])
    with pytest.raises(Stale) as stale:
        prompt.save_version(bob, based_on=1, messages=[user("Bob")])
    assert stale.value.latest.messages == [user("Alice")]
    assert prompt.versions.count() == 2


def test_restore_makes_a_new_version_and_fork_keeps_its_parent(prompt: Prompt, bob: User) -> None:
    prompt.save_version(bob, based_on=1, messages=[user("Hello!")])
    restored = prompt.restore(bob, 1)
    assert (restored.number, restored.messages, restored.origin.number) == (3, [user("Greet {{name}}.")], 1)
    fork = prompt.fork(bob, "support/greet-2", restored)
    assert (fork.parent, fork.versions.get().messages) == (restored, restored.messages)


def test_lookup_follows_langfuse(prompt: Prompt, alice: User, team: Team) -> None:
    owner = Membership.objects.get(team=team, user=alice)
    with pytest.raises(PromptVersion.DoesNotExist):
        prompt.find()
    prompt.save_version(alice, based_on=1, messages=[user("Two")])
    PromptLabel.move(prompt.versions.get(number=1), "production", by=owner)
    assert prompt.find().number == 1
    assert prompt.find(label="latest").number == 2
    assert prompt.find(version=2).number == 2
    with pytest.raises(PromptVersion.DoesNotExist):
        prompt.find(label="staging")


def test_a_label_moves_with_a_history(prompt: Prompt, alice: User, team: Team) -> None:
    owner = Membership.objects.get(team=team, user=alice)
    two = prompt.save_version(alice, based_on=1, messages=[user("Two")])
    PromptLabel.move(prompt.versions.get(number=1), "staging", by=owner)
    PromptLabel.move(two, "staging", by=owner)
    PromptLabel.drop(prompt, "staging", by=owner)
    steps = [
        (move.before and move.before.number, move.after and move.after.number) for move in prompt.label_moves.all()
    ]
    assert steps == [(2, None), (1, 2), (None, 1)]
    for name in ("latest", "Production", "with space", "x" * 37, ""):
        with pytest.raises(LabelRefused):
            PromptLabel.move(two, name, by=owner)


def test_a_protected_label_takes_the_role(prompt: Prompt, alice: User, bob: User, team: Team) -> None:
    editor, version = Membership.objects.get(team=team, user=bob), prompt.versions.get()
    PromptLabel.move(version, "production", by=editor)
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    with pytest.raises(LabelRefused, match="admin"):
        PromptLabel.drop(prompt, "production", by=editor)
    PromptLabel.drop(prompt, "production", by=Membership.objects.get(team=team, user=alice))


def test_includes_are_looked_up_and_their_variables_asked_for(team: Team, alice: User) -> None:
    owner = Membership.objects.get(team=team, user=alice)
    tone = Prompt.start(team=team, author=alice, name="tone", kind="text", messages=[user("Be {{mood}}.")])
    PromptLabel.move(tone.versions.get(), "production", by=owner)
    prompt = make(team, alice, "ask", "{{> tone}} {{question}}")
    version = prompt.versions.get()
    assert [spec["name"] for spec in version.variables] == ["question", "mood"]
    assert version.render({"mood": "kind", "question": "Why?"}).messages == [user("Be kind. Why?")]
    tone.archive(alice)
    with pytest.raises(PromptError, match="tone, which does not exist") as refused:
        version.render({"mood": "kind", "question": "Why?"})
    assert refused.value.code == "include"


def test_includes_go_one_level_and_never_in_a_circle(team: Team, alice: User) -> None:
    owner = Membership.objects.get(team=team, user=alice)
    a = Prompt.start(team=team, author=alice, name="a", kind="text", messages=[user("A")])
    PromptLabel.move(a.versions.get(), "production", by=owner)
    b = Prompt.start(team=team, author=alice, name="b", kind="text", messages=[user("{{> a}} B")])
    PromptLabel.move(b.versions.get(), "production", by=owner)
    for text in ("{{> a}}", "{{> b}}"):
        with pytest.raises(PromptError) as refused:
            a.save_version(alice, based_on=1, messages=[user(text)])
        assert refused.value.code == "cycle"
    with pytest.raises(PromptError, match="may not include others"):
        make(team, alice, "c", "{{> b}}")


def test_the_most_similar_examples_stand_before_the_question(team: Team, alice: User) -> None:
    found = ExampleSet.start(team=team, author=alice, name="Words")
    for word, answer in (("house", "maison"), ("horse", "cheval"), ("tree", "arbre")):
        found.add(alice, input=word, output=answer)
    prompt = make(
        team, alice, "translate", "Translate {{word}}.", examples=found.newest, shots={"how": "similar", "count": 2}
    )
    rendered = prompt.versions.get().render({"word": "horses"})
    assert [message["content"] for message in rendered.messages] == [
        "Translate house.", "maison", "Translate horse.", "cheval", "Translate horses.",
    ]  # fmt: skip
    left = prompt.versions.get().render({"word": "horses"}, omit=rendered.examples[-1].pk)
    assert [example.input for example in left.examples] != [example.input for example in rendered.examples]


def test_search_finds_words_by_their_beginning_wherever_they_stand(team: Team, alice: User, other_team: Team) -> None:
    make(team, alice, "mail/complaint", "Answer an unhappy customer.", tags=["support"])
    make(team, alice, "mail/offer", "Write an offer.")
    found = lambda words: [prompt.name for prompt in Prompt.objects.for_team(team).search(words)]  # noqa: E731
    assert found("unhap cust") == ["mail/complaint"]
    assert found("supp") == ["mail/complaint"]
    assert sorted(found("mail")) == ["mail/complaint", "mail/offer"]
    assert found("nothing") == []
    assert [prompt.name for prompt in Prompt.objects.for_team(team).in_folder("mail").tagged("support")] == [
        "mail/complaint"
    ]
    assert not Prompt.objects.for_team(other_team).search("mail")


def test_a_name_is_taken_once_until_it_is_archived(prompt: Prompt, team: Team, alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make(team, alice)
    prompt.archive(alice)
    make(team, alice)
    with pytest.raises(IntegrityError), transaction.atomic():
        prompt.archive(alice, undo=True)
