"""Prompts and few-shot sets in chat: what `/` offers, filling one in, and starting a chat from one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.workspace.conftest import answer, team_url
from workspace.models import Attachment, Chat, Membership, Prompt, PromptLabel
from workspace.models.labels import LabelMove

pytestmark = pytest.mark.django_db


@pytest.fixture
def tutor(team, alice, example_set):
    """A chat prompt with everything: system, two examples, a variable in the question."""
    return Prompt.start(
        team=team,
        author=alice,
        name="school/french",
        messages=[
            {"role": "system", "content": "You teach French to {{who}}."},
            {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "Translate {{word}}."},
        ],
        examples=example_set.newest,
        shots={"count": 2},
    )


def newest(prompt):
    return prompt.versions.get(number=prompt.latest)


def insert(client, team, chat, prompt, **values):
    data = {"prompt_version": newest(prompt).pk} | {f"v-{name}": value for name, value in values.items()}
    return client.post(team_url("chat_insert", team, chat_id=chat.pk), data)


# --- what `/` offers


def offered(client, team, q=""):
    return [row.name for row in client.get(team_url("chat_prompts", team), {"q": q}).context["offered"]]


def test_favourites_come_first_then_the_latest_and_archived_ones_never(as_bob, bob, alice, team, prompt):
    start = {"team": team, "author": alice, "messages": [{"role": "user", "content": "x"}]}
    Prompt.start(name="newer", **start)
    Prompt.start(name="gone", **start).archive(alice)
    assert offered(as_bob, team) == ["newer", "words/translate"]
    prompt.favourites.add(bob)
    assert offered(as_bob, team) == ["words/translate", "newer"]


def test_it_is_searched_as_one_types_and_folders_are_walked_into(as_bob, team, prompt, tutor):
    assert offered(as_bob, team, "transl") == ["words/translate", "school/french"], "by name before by content"
    assert offered(as_bob, team, "words/") == ["words/translate"]
    assert offered(as_bob, team, "nothing") == []
    page = as_bob.get(team_url("chat_prompts", team), {"q": "nothing"}).text
    assert "No prompt matches “nothing”" in page
    page = as_bob.get(team_url("chat_prompts", team))
    assert page.context["folders"] == ["school", "words"]


def test_the_production_version_is_offered_else_the_latest(as_bob, alice, team, prompt):
    first = newest(prompt)
    prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Now {{word}}"}])
    [row] = as_bob.get(team_url("chat_prompts", team)).context["offered"]
    assert (row.number, row.released) == (2, False)
    PromptLabel.move(first, "production", by=Membership.objects.get(user=alice))
    [row] = as_bob.get(team_url("chat_prompts", team)).context["offered"]
    assert (row.pick, row.number, row.released) == (first.pk, 1, True)
    assert LabelMove.objects.count() == 1


def test_an_empty_team_is_told_where_prompts_come_from(as_bob, team):
    assert "no prompts yet" in as_bob.get(team_url("chat_prompts", team)).text


def test_offering_costs_the_same_for_three_prompts_and_for_thirty(as_bob, alice, team):
    counts = []
    for most in (3, 30):
        for number in range(len(counts) * 3, most):
            messages = [{"role": "user", "content": "x"}]
            Prompt.start(team=team, author=alice, name=f"f{number}/p{number}", messages=messages)
        with CaptureQueriesContext(connection) as queries:
            as_bob.get(team_url("chat_prompts", team))
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- filling it in


def test_the_form_asks_for_each_variable_by_its_type(as_bob, alice, team):
    prompt = Prompt.start(
        team=team,
        author=alice,
        name="typed",
        messages=[{"role": "user", "content": "{{tone}} {{many}} {{about}}"}],
        variables=[
            {"name": "tone", "type": "choice", "choices": ["warm", "dry"]},
            {"name": "many", "type": "number", "default": "3"},
            {"name": "about", "type": "long", "help": "A paragraph."},
        ],
    )
    page = as_bob.get(team_url("chat_prompts", team), {"version": newest(prompt).pk}).text
    assert '<option value="warm">' in page and 'value="3"' in page and "<textarea" in page and "A paragraph." in page
    assert "data-nothing-to-ask" not in page


def test_what_is_missing_or_wrong_is_said_at_the_field_and_what_was_typed_is_kept(as_bob, alice, team, chat):
    prompt = Prompt.start(
        team=team,
        author=alice,
        name="typed",
        messages=[{"role": "user", "content": "{{many}} {{about}}"}],
        variables=[{"name": "many", "type": "number"}, {"name": "about"}],
    )
    response = insert(as_bob, team, chat, prompt, many="three", about="")
    assert response.status_code == 422
    form = response.context["form"]
    assert "takes a number" in form.errors["many"][0] and "No value was given for about" in form.errors["about"][0]
    assert 'value="three"' in response.text
    assert not Attachment.objects.exists()


def test_a_text_prompt_goes_into_the_box_as_text(as_bob, team, alice, chat):
    prompt = Prompt.start(
        team=team, author=alice, name="t", kind="text", messages=[{"role": "user", "content": "Sum up {{text}}"}]
    )
    done = insert(as_bob, team, chat, prompt, text="{{other}} <b>").json()
    assert done["text"] == "Sum up {{other}} <b>", "a value is never read as a template"
    assert done["said"] == ""


def test_a_chat_prompt_sets_the_system_prompt_brings_its_examples_and_leaves_the_question_to_be_sent(
    as_bob, bob, team, chat, tutor
):
    chat.change(system="Be brief.")
    done = insert(as_bob, team, chat, tutor, who="pirates", word="ship").json()
    assert done["text"] == "Translate ship." and "has set this chat" in done["said"]
    chat.refresh_from_db()
    assert chat.system == "You teach French to pirates."

    [waiting] = Attachment.objects.waiting(chat, bob)
    reply = chat.send(bob, done["text"], parent=None, client_id=uuid4().hex, attached=[waiting.pk])
    assert reply.generation.messages == [
        {"role": "system", "content": "You teach French to pirates."},
        {"role": "user", "content": "Translate house."},
        {"role": "assistant", "content": "maison"},
        {"role": "user", "content": "Translate horse."},
        {"role": "assistant", "content": "cheval"},
        {"role": "user", "content": "Translate ship."},
    ]
    assert reply.parent.prompt_version == newest(tutor) == reply.generation.prompt_version
    page = as_bob.get(team_url("chat_thread", team, chat_id=chat.pk)).text
    assert newest(tutor).get_absolute_url() in page and "4 turns before the question" in page


def test_its_history_is_the_conversation_so_far_and_its_examples_stand_before_the_question(
    as_bob, bob, team, chat, tutor
):
    first = answer(chat.send(bob, "Hello", parent=None, client_id=uuid4().hex), "Bonjour.")
    insert(as_bob, team, chat, tutor, who="me", word="sea")
    [waiting] = Attachment.objects.waiting(chat, bob)
    reply = answer(
        chat.send(bob, "Translate sea.", parent=first.pk, client_id=uuid4().hex, attached=[waiting.pk]), "mer"
    )
    said = [turn["content"] for turn in reply.generation.messages]
    assert said[1:3] == ["Hello", "Bonjour."] and said[3] == "Translate house." and said[-1] == "Translate sea."
    again = chat.regenerate(bob, reply.parent_id, client_id=uuid4().hex)
    assert again.generation.messages == reply.generation.messages
    later = chat.send(bob, "And lake?", parent=reply.pk, client_id=uuid4().hex)
    assert [turn["content"] for turn in later.generation.messages][-3:] == ["Translate sea.", "mer", "And lake?"]


def test_the_system_prompt_can_be_given_back_unless_someone_has_changed_it_since(as_bob, team, chat, tutor):
    chat.change(system="Be brief.")
    for meanwhile, expected in ((None, "Be brief."), ("Mine.", "Mine.")):
        assert "Undo" in insert(as_bob, team, chat, tutor, who="a", word="b").json()["shelf"]
        if meanwhile:
            chat.change(system=meanwhile)
        as_bob.post(team_url("attachment", team, attachment_id=Attachment.objects.get(chat=chat).pk), {"do": "undo"})
        chat.refresh_from_db()
        assert chat.system == expected


def test_a_second_prompt_takes_the_place_of_the_first_and_still_knows_the_system_prompt_before_both(
    as_bob, bob, team, chat, tutor
):
    chat.change(system="Be brief.")
    insert(as_bob, team, chat, tutor, who="a", word="b")
    insert(as_bob, team, chat, tutor, who="c", word="d")
    assert Attachment.objects.waiting(chat, bob).count() == 1
    as_bob.post(team_url("attachment", team, attachment_id=Attachment.objects.get(chat=chat).pk), {"do": "undo"})
    chat.refresh_from_db()
    assert chat.system == "Be brief."


def test_a_prompt_that_ends_with_an_answer_leaves_the_question_to_the_person(as_bob, alice, team, chat):
    turns = [{"role": "user", "content": "Ask me."}, {"role": "assistant", "content": "What do you want to know?"}]
    prompt = Prompt.start(team=team, author=alice, name="opens", messages=turns)
    assert insert(as_bob, team, chat, prompt).json()["text"] == ""
    assert Attachment.objects.get().turns == turns


def test_a_prompt_that_includes_one_that_is_gone_says_so(as_bob, alice, team, chat):
    part = Prompt.start(
        team=team, author=alice, name="part", kind="text", messages=[{"role": "user", "content": "Part {{x}}"}]
    )
    prompt = Prompt.start(
        team=team, author=alice, name="whole", messages=[{"role": "user", "content": "{{> part@latest}}"}]
    )
    assert as_bob.get(team_url("chat_prompts", team), {"version": newest(prompt).pk}).context["form"].fields.keys() == {
        "x"
    }
    part.archive(alice)
    response = insert(as_bob, team, chat, prompt, x="1")
    assert response.status_code == 422 and "does not exist (any more)" in response.text


def test_an_answer_in_json_is_asked_for_as_the_prompt_says(as_bob, bob, alice, team, chat):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    prompt = Prompt.start(
        team=team, author=alice, name="json", messages=[{"role": "user", "content": "JSON"}], schema=schema
    )
    insert(as_bob, team, chat, prompt)
    reply = chat.send(bob, "JSON", parent=None, client_id=uuid4().hex, attached=[Attachment.objects.get().pk])
    assert reply.generation.params == {"json_schema": schema}


# --- from a prompt or a set into a chat


def test_a_new_chat_starts_with_a_prompt_and_its_parameters(as_bob, bob, alice, team, base, adapter):
    prompt = Prompt.start(
        team=team,
        author=alice,
        name="brief",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        config={"model": base.key, "temperature": 0.2, "max_tokens": 1_000_000, "stop": ["END"], "other": 1},
    )
    response = as_bob.post(team_url("chat_from_prompt", team), {"prompt_version": newest(prompt).pk})
    chat = Chat.objects.get()
    assert response.url == chat.get_absolute_url()
    assert (chat.system, chat.model, chat.adapter) == ("Be brief.", base, None)
    assert chat.params == {"temperature": 0.2, "stop": ["END"]}, "what a chat cannot have is left out"
    assert ">Hello</textarea>" in as_bob.get(response.url).text, "the question waits to be sent"


def test_a_prompt_with_variables_has_the_new_chat_ask_for_them(as_bob, team, base, prompt):
    version = newest(prompt)
    response = as_bob.post(team_url("chat_from_prompt", team), {"prompt_version": version.pk})
    assert response.url == f"{Chat.objects.get().get_absolute_url()}?insert={version.pk}"
    data = {"prompt_version": version.pk, "v-word": "sea"}
    done = as_bob.post(team_url("chat_from_prompt", team), data, headers={"X-Fragment": "1"}).json()
    assert done["text"] == "Translate sea." and done["location"] == Chat.objects.get(pk=done["chat"]).get_absolute_url()


def test_a_new_chat_begins_with_the_examples_of_a_set(as_bob, bob, team, base, example_set):
    response = as_bob.post(team_url("chat_from_examples", team), {"set": example_set.pk})
    chat = Chat.objects.get()
    assert response.url == chat.get_absolute_url()
    page = as_bob.get(response.url).text
    assert "Words v4" in page and "6 turns before the question" in page
    reply = chat.send(bob, "sea", parent=None, client_id=uuid4().hex, attached=[Attachment.objects.get().pk])
    assert [turn["content"] for turn in reply.generation.messages] == [
        "house", "maison", "horse", "cheval", "tree", "arbre", "sea",
    ]  # fmt: skip


def test_of_a_large_set_as_many_examples_are_taken_as_leave_half_of_the_room(as_bob, alice, team, base, example_set):
    base.context_length = 600
    base.save()
    example_set.add(alice, input="x " * 2000, output="y")
    as_bob.post(team_url("chat_from_examples", team), {"set": example_set.pk})
    assert "3 of 4 examples" in Attachment.objects.get().note


@pytest.mark.parametrize("name", ["chat_from_prompt", "chat_from_examples"])
def test_what_is_not_the_teams_starts_nothing(as_charlie, other_team, prompt, example_set, base, name):
    for key in (newest(prompt).pk, example_set.pk, "x", ""):
        data = {"prompt_version": key, "set": key}
        assert as_charlie.post(team_url(name, other_team), data).status_code == 404
    assert not Chat.objects.exists()


def test_a_foreign_prompt_cannot_be_inserted(as_charlie, charlie, other_team, prompt, base):
    chat = Chat.objects.create(team=other_team, author=charlie, model=base)
    assert insert(as_charlie, other_team, chat, prompt, word="x").status_code == 404
    assert as_charlie.get(team_url("chat_prompts", other_team), {"version": newest(prompt).pk}).status_code == 404
