"""The editor of prompts: a new one, saving without losing anything, two people, the preview."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from jobs.models import LanguageModel
from tests.workspace.conftest import page_of, words_on
from workspace.drafts import Draft
from workspace.models import ExampleSet, Membership, Prompt, PromptLabel, Team, User

HTMX = {"HX-Request": "true"}


def fields(prompt: Prompt, **changes: Any) -> dict[str, Any]:
    """The editor's form as it is sent for the latest version, with `changes`."""
    draft = Draft.of(prompt.newest)
    sent: dict[str, Any] = {
        "based_on": prompt.latest,
        "role": [row.role for row in draft.rows],
        "content": [row.content for row in draft.rows],
        **draft.fields,
    }
    return sent | changes


class TestNew:
    def test_a_prompt_is_written_and_opens_in_its_editor(self, as_bob: Client, team: Team, bob: User) -> None:
        assert "New prompt" in page_of(as_bob.get(f"/t/{team.slug}/prompts/new/"))
        response = as_bob.post(
            f"/t/{team.slug}/prompts/new/",
            {
                "name": " support / greet ", "kind": "chat", "tags": "mail, polite, mail", "note": "First",
                "role": ["system", "placeholder", "user"], "content": ["Be kind.", "history", "Greet {{name}}."],
                "type:name": "choice", "choices:name": "Ann\nBen", "required:name": "no", "help:name": "Who?",
                "temperature": "0,2", "schema": '{"type": "object"}',
            },
        )  # fmt: skip
        prompt = Prompt.objects.get(team=team)
        version = prompt.newest
        assert response["Location"] == f"{prompt.get_absolute_url()}?saved=1"
        assert (prompt.name, prompt.folder, prompt.tags) == ("support/greet", "support", ["mail", "polite"])
        assert (version.author, version.note, version.config) == (bob, "First", {"temperature": 0.2})
        assert version.messages[1] == {"type": "placeholder", "name": "history"}
        assert version.schema == {"type": "object"}
        [variable] = version.declared()
        assert (variable.type, variable.choices, variable.required, variable.help) == (
            "choice", ("Ann", "Ben"), False, "Who?",
        )  # fmt: skip
        assert "Greet {{name}}." in page_of(as_bob.get(prompt.get_absolute_url()))

    def test_a_name_that_is_taken_is_refused_at_its_field(self, as_bob: Client, team: Team, prompt: Prompt) -> None:
        response = as_bob.post(
            f"/t/{team.slug}/prompts/new/",
            {"name": prompt.name, "kind": "text", "role": "user", "content": "Kept {{x}}"},
        )
        assert response.status_code == 422
        assert 'data-field="name"' in page_of(response)
        assert f"There is a prompt named {prompt.name} already" in words_on(response)
        assert "Kept {{x}}" in page_of(response)
        assert Prompt.objects.count() == 1

    def test_an_empty_one_is_refused(self, as_bob: Client, team: Team) -> None:
        response = as_bob.post(f"/t/{team.slug}/prompts/new/", {"name": "x", "role": ["user"], "content": ["  "]})
        assert response.status_code == 422
        assert "The prompt is empty" in words_on(response)

    def test_a_viewer_reads_and_cannot_write(self, as_dana: Client, team: Team, prompt: Prompt) -> None:
        assert as_dana.get(f"/t/{team.slug}/prompts/new/").status_code == 403
        assert as_dana.post(prompt.get_absolute_url(), fields(prompt)).status_code == 403
        read = as_dana.get(prompt.get_absolute_url(), follow=True)
        assert "Translate {{word}}." in page_of(read)
        assert "Restore" not in page_of(read)


class TestSaving:
    def test_a_save_is_a_version_with_author_and_note(self, as_bob: Client, prompt: Prompt, bob: User) -> None:
        response = as_bob.post(
            prompt.get_absolute_url(), fields(prompt, content="Say {{word}} in French.", note="Plainer")
        )
        assert response["Location"].endswith("?saved=2")
        version = Prompt.objects.get(pk=prompt.pk).newest
        assert (version.number, version.author, version.note) == (2, bob, "Plainer")
        assert version.text == "Say {{word}} in French."

    def test_the_form_keeps_what_it_does_not_show(self, as_bob: Client, prompt: Prompt, alice: User) -> None:
        """Settings that came by import or API survive a save from the page."""
        prompt.save_version(
            alice, based_on=1, messages=prompt.newest.messages, variables=prompt.newest.variables,
            config={"model": "gpt-9", "temperature": 0.5, "stop": ["END"], "tools": [{"name": "look"}], "cost": 3},
        )  # fmt: skip
        as_bob.post(prompt.get_absolute_url(), fields(prompt, content="Other {{word}}"))
        assert Prompt.objects.get(pk=prompt.pk).newest.config == {
            "model": "gpt-9", "temperature": 0.5, "stop": ["END"], "tools": [{"name": "look"}], "cost": 3,
        }  # fmt: skip

    def test_nothing_new_and_a_form_sent_twice_make_no_version(self, as_bob: Client, prompt: Prompt) -> None:
        same = as_bob.post(prompt.get_absolute_url(), fields(prompt))
        assert same.status_code == 422
        assert "this is what version 1 says" in words_on(same)
        changed = fields(prompt, content="Once {{word}}")
        for _ in range(2):
            assert as_bob.post(prompt.get_absolute_url(), changed)["Location"].endswith("?saved=2")
        assert prompt.versions.count() == 2

    @pytest.mark.parametrize(
        ("changes", "field", "words"),
        [
            ({"schema": "{nope"}, "schema", "not JSON: Expecting property name"),
            ({"schema": '{"type": "objekt"}'}, "schema", "not JSON Schema"),
            ({"temperature": "hot"}, "temperature", "Write a number"),
            ({"temperature": "3"}, "temperature", "less than or equal to 2"),
            ({"extra": "[1]"}, "extra", "takes a JSON object"),
            ({"examples": "elsewhere"}, "examples", "valid choice"),
            ({"type:word": "choice"}, "type:word", "nothing to choose from|without anything to choose from"),
            ({"type:word": "number", "default:word": "many"}, "type:word", "takes a number"),
            ({"content": "{{> gone}} {{word}}"}, "", "includes gone, which does not exist"),
            ({"content": "{{> words/translate}}"}, "", "includes itself"),
            ({"role": "boss"}, "", "Message 1 has the role 'boss'"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_where_it_is(
        self, as_bob: Client, prompt: Prompt, changes: dict[str, str], field: str, words: str
    ) -> None:
        """The script gets the sentences alone; a plain form gets the page back with all that was typed."""
        sent = fields(prompt, note="Kept", **changes)
        fragment = as_bob.post(prompt.get_absolute_url(), sent, headers=HTMX)
        assert (fragment.status_code, fragment["HX-Retarget"]) == (422, "#prompt-problems")
        assert re.search(words, words_on(fragment))
        assert (f'data-field="{field}"' in page_of(fragment)) == bool(field)
        whole = as_bob.post(prompt.get_absolute_url(), sent)
        assert whole.status_code == 422
        assert 'value="Kept"' in page_of(whole)
        assert prompt.versions.count() == 1

    def test_five_megabytes_are_refused_with_the_limit(self, as_bob: Client, prompt: Prompt) -> None:
        response = as_bob.post(prompt.get_absolute_url(), fields(prompt, content="x" * 5_000_000), headers=HTMX)
        assert response.status_code == 422
        assert "at most 1,000,000 characters; this one has 5,000,000" in words_on(response)
        assert len(response.content) < 2000  # and none of it comes back

    def test_more_than_the_server_reads_is_refused_with_the_limit(self, as_bob: Client, prompt: Prompt) -> None:
        for headers, words in ((HTMX, "What you typed is still here"), ({}, "Back button")):
            response = as_bob.post(prompt.get_absolute_url(), fields(prompt, content="x" * 13_000_000), headers=headers)
            assert response.status_code == 413
            assert "at most 12 MiB of text" in words_on(response)
            assert words in words_on(response)

    def test_the_longest_prompt_of_any_script_can_be_saved(self, as_bob: Client, prompt: Prompt) -> None:
        as_bob.post(prompt.get_absolute_url(), fields(prompt, content="漢" * 999_990 + "{{word}}"))
        assert prompt.versions.count() == 2

    def test_an_archived_prompt_takes_no_save_and_comes_back(self, as_bob: Client, prompt: Prompt) -> None:
        archive = f"{prompt.get_absolute_url()}archive/"
        as_bob.post(archive)
        refused = as_bob.post(prompt.get_absolute_url(), fields(prompt, content="New {{word}}"))
        assert "This prompt is archived. Restore it first." in words_on(refused)
        assert "New {{word}}" in page_of(refused)
        assert "Restore" in page_of(as_bob.get(prompt.get_absolute_url(), follow=True))
        as_bob.post(archive, {"undo": "1"})
        assert Prompt.objects.for_team(prompt.team).get() == prompt


class TestTwoPeople:
    def test_the_second_save_shows_both_and_a_merge(self, as_bob: Client, prompt: Prompt, alice: User) -> None:
        """alice changed the ending, bob the temperature and the ending too: his words stand, hers are beside them."""
        mine = fields(prompt, content="Translate {{word}} into German.", temperature="0.1", note="German")
        prompt.save_version(
            alice, based_on=1, messages=[{"role": "user", "content": "Translate {{word}} into French."}],
            config={"max_tokens": 20}, note="French",
        )  # fmt: skip
        response = as_bob.post(prompt.get_absolute_url(), mine, headers=HTMX)
        assert (response.status_code, response["HX-Retarget"], response["HX-Reswap"]) == (
            409,
            "prompt-editor",
            "outerHTML",
        )
        whole = page_of(response)
        assert "Alice saved version 2 while you wrote this" in words_on(response)
        assert '<del class="word">French</del>' in whole
        assert '<ins class="word">German</ins>' in whole
        assert 'name="based_on" value="2"' in whole
        assert 'value="German"' in whole  # his note is still there
        assert prompt.versions.count() == 2

        merged = {**mine, "based_on": 2, "max_tokens": "20"}
        as_bob.post(prompt.get_absolute_url(), merged)
        version = Prompt.objects.get(pk=prompt.pk).newest
        assert (version.number, version.text) == (3, "Translate {{word}} into German.")
        assert version.config == {"temperature": 0.1, "max_tokens": 20}

    def test_what_only_the_other_changed_is_taken_over(self, as_bob: Client, prompt: Prompt, alice: User) -> None:
        mine = fields(prompt, temperature="0.1")
        prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Hers {{word}}"}])
        response = as_bob.post(prompt.get_absolute_url(), mine)
        assert response.status_code == 409
        assert "Hers {{word}}</textarea>" in page_of(response)
        assert 'name="temperature" value="0.1"' in page_of(response)
        assert "You changed different places" in words_on(response)

    def test_a_third_save_is_merged_again(self, as_bob: Client, prompt: Prompt, alice: User) -> None:
        for number in (1, 2):
            mine = fields(prompt, based_on=number, content=f"Mine {number} {{{{word}}}}")
            prompt.save_version(
                alice, based_on=None, messages=[{"role": "user", "content": f"Hers {number} {{{{word}}}}"}]
            )
            assert as_bob.post(prompt.get_absolute_url(), mine).status_code == 409
        assert prompt.versions.filter(author=alice).count() == prompt.versions.count()

    def test_the_editor_hears_of_it_quietly(self, as_bob: Client, prompt: Prompt, alice: User) -> None:
        news = f"{prompt.get_absolute_url()}news/?seen=1"
        assert page_of(as_bob.get(news)).strip() == ""
        prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Hers"}], note="Shorter")
        assert "Alice saved version 2 just now: “Shorter”" in words_on(as_bob.get(news))


class TestPreview:
    def door(self, team: Team) -> str:
        return f"/t/{team.slug}/prompts/preview/"

    def test_values_are_filled_in_and_never_read_as_a_template(
        self, as_bob: Client, team: Team, prompt: Prompt
    ) -> None:
        response = as_bob.post(
            self.door(team), {**fields(prompt), "prompt": prompt.pk, "v-word": "{{word}} {{> gone}}"}
        )
        assert "Translate {{word}} {{&gt; gone}}." in page_of(response)

    def test_missing_and_wrong_values_are_named(self, as_bob: Client, team: Team) -> None:
        sent = {"role": "user", "content": "{{who}} and {{count}}", "type:count": "number", "type:who": "text"}
        response = as_bob.post(self.door(team), {**sent, "v-count": "many"})
        assert "No value yet for who." in words_on(response)
        assert "count takes a number" in words_on(response)
        assert "{{who}} and {{count}}" in page_of(response)

    def test_the_form_of_values_is_drawn_by_type_and_only_when_it_changes(self, as_bob: Client, team: Team) -> None:
        sent = {"role": "user", "content": "{{day}} {{tone}}", "type:day": "date", "type:tone": "choice",
                "choices:tone": "warm\ncool", "default:tone": "cool"}  # fmt: skip
        first = page_of(as_bob.post(self.door(team), sent))
        assert 'type="date" name="v-day"' in first
        assert '<option value="cool" selected>' in first
        shape = re.search(r'name="shape" value="(\w+)"', first)
        assert shape
        again = page_of(as_bob.post(self.door(team), {**sent, "shape": shape[1], "v-day": "2026-11-30"}))
        assert "v-day" not in again
        assert "2026-11-30 cool" in again

    def test_includes_say_what_they_are(self, as_bob: Client, team: Team, alice: User) -> None:
        tone = Prompt.start(team=team, author=alice, name="tone", kind="text",
                            messages=[{"role": "user", "content": "Be {{mood}}."}])  # fmt: skip
        PromptLabel.move(tone.newest, "staging", by=Membership.objects.get(team=team, user=alice))
        response = as_bob.post(self.door(team), {"role": "user", "content": "{{> tone@staging}}", "v-mood": "kind"})
        assert "tone, version 1" in words_on(response)
        assert 'data-included="mood"' in page_of(response)
        assert "Be kind." in words_on(response)
        gone = as_bob.post(self.door(team), {"role": "user", "content": "{{> tone}}"})
        assert "tone has no version labelled production" in words_on(gone)

    def test_the_cost_of_examples_is_counted(
        self, as_bob: Client, team: Team, prompt: Prompt, example_set: ExampleSet, base: LanguageModel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """By the chosen model's tokenizer; here one word is one token."""
        monkeypatch.setattr(
            LanguageModel, "prompt_tokens", lambda self, messages: sum(len(m["content"].split()) for m in messages)
        )
        sent = fields(prompt, examples=str(example_set.newest.pk), shots_count="2")
        response = as_bob.post(self.door(team), {**sent, "prompt": prompt.pk, "v-word": "dog"})
        assert "Whole prompt8 tokens" in words_on(response).replace(" Examples", "Examples").replace(
            "prompt ", "prompt"
        )
        assert re.search(r"Examples \(2\) ?6 tokens", words_on(response))
        assert page_of(response).count("seen-example") == 4

    def test_without_a_tokenizer_the_count_says_that_it_is_a_guess(self, as_bob: Client, team: Team) -> None:
        LanguageModel.objects.create(key="far", name="Far", kind="remote", url="http://llm.test/v1")
        response = as_bob.post(self.door(team), {"role": "user", "content": "x" * 400})
        assert "about 100 tokens" in words_on(response)

    def test_another_teams_prompt_cannot_be_previewed(
        self, as_charlie: Client, other_team: Team, prompt: Prompt
    ) -> None:
        assert as_charlie.post(self.door(other_team), {**fields(prompt), "prompt": prompt.pk}).status_code == 404
