"""The pages around the editor: versions compared, restored and forked; a prompt's name, tags and archive."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests.workspace.conftest import page_of, words_on
from workspace.models import Activity, ExampleSet, Membership, Prompt, PromptAlias, PromptLabel, Team, User

HTMX = {"HX-Request": "true"}


class TestVersions:
    @pytest.fixture
    def three(self, prompt: Prompt, alice: User) -> Prompt:
        for number, text in ((1, "Translate {{word}} into French."), (2, "Translate {{word}} into plain French.")):
            prompt.save_version(
                alice, based_on=number, messages=[{"role": "user", "content": text}], config={"temperature": number / 10},
                variables=[{"name": "word", "type": "long"}] if number == 2 else [],
            )  # fmt: skip
        return prompt

    def test_a_version_says_types_and_settings_in_words(
        self, as_dana: Client, three: Prompt, alice: User, example_set: ExampleSet
    ) -> None:
        three.save_version(
            alice, based_on=3, messages=[{"role": "user", "content": "{{word}}"}],
            variables=[{"name": "word", "type": "long"}], examples=example_set.newest, shots={"how": "fixed", "seed": 7},
        )  # fmt: skip
        whole = words_on(as_dana.get(three.newest.get_absolute_url()))
        assert "Long text" in whole
        assert "The first ones, always the same" in whole
        assert "Seed of the draw" not in whole

    def test_the_history_lists_them(self, as_dana: Client, three: Prompt) -> None:
        whole = words_on(as_dana.get(f"{three.get_absolute_url()}versions/"))
        assert re.search(r"Version 3.*Version 2.*Version 1", whole)
        assert "latest" in whole

    def test_the_history_takes_as_many_queries_for_many_versions(
        self, as_dana: Client, three: Prompt, alice: User, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(3, 40):
            three.save_version(alice, based_on=number, messages=[{"role": "user", "content": f"{number}"}])
        with django_assert_max_num_queries(9):
            as_dana.get(f"{three.get_absolute_url()}versions/")

    def test_any_two_are_compared_word_by_word(self, as_dana: Client, three: Prompt) -> None:
        whole = page_of(as_dana.get(f"{three.get_absolute_url()}diff/?a=3&b=1"))  # the older one is always the first
        assert "From version 1 to version 3" in whole
        assert '<ins class="word"> into plain French</ins>' in whole
        assert re.search(r"<dt>Temperature</dt><dd class=\"words\"><ins class=\"word\">0.2</ins>", whole)
        assert re.search(r"<dt>word: type</dt>", whole)

    def test_restore_makes_a_new_version(self, as_bob: Client, three: Prompt, bob: User) -> None:
        as_bob.post(f"{three.get_absolute_url()}v/1/restore/")
        version = Prompt.objects.get(pk=three.pk).newest
        assert (version.number, version.author, version.text) == (4, bob, "Translate {{word}}.")
        assert "from <a" in page_of(as_bob.get(version.get_absolute_url()))

    def test_a_version_whose_include_is_gone_is_not_restored(self, as_bob: Client, three: Prompt, alice: User) -> None:
        tone = Prompt.start(team=three.team, author=alice, name="tone", kind="text",
                            messages=[{"role": "user", "content": "Kind."}])  # fmt: skip
        three.save_version(alice, based_on=3, messages=[{"role": "user", "content": "{{> tone@latest}}"}])
        three.save_version(alice, based_on=4, messages=[{"role": "user", "content": "Without"}])
        tone.archive(alice)
        response = as_bob.post(f"{three.get_absolute_url()}v/4/restore/")
        assert response.status_code == 422
        assert "includes tone@latest, which does not exist (any more)" in words_on(response)

    def test_fork_asks_for_a_name_and_keeps_its_parent(self, as_bob: Client, three: Prompt) -> None:
        door = f"{three.get_absolute_url()}v/2/fork/"
        taken = as_bob.post(door, {"name": three.name})
        assert taken.status_code == 422
        assert "already" in words_on(taken)
        made = as_bob.post(door, {"name": "words/german"}, follow=True)
        fork = Prompt.objects.get(name="words/german")
        assert fork.parent == three.versions.get(number=2)
        assert made.redirect_chain[-1][0] == fork.get_absolute_url()
        assert "fork of" in words_on(as_bob.get(fork.newest.get_absolute_url()))
        assert "words/german" in page_of(as_bob.get(f"{three.get_absolute_url()}v/2/"))


class TestDetails:
    def test_renaming_moves_it_and_keeps_the_old_name_for_programs(self, as_bob: Client, prompt: Prompt) -> None:
        as_bob.post(
            f"{prompt.get_absolute_url()}details/",
            {"name": "lang/fr/word", "tags": "fr", "description": "", "keep_name": "1"},
        )
        prompt.refresh_from_db()
        assert (prompt.name, prompt.folder, prompt.tags) == ("lang/fr/word", "lang/fr", ["fr"])
        assert PromptAlias.objects.get(alias="words/translate").prompt == prompt
        assert Activity.objects.filter(verb="renamed", object_id=str(prompt.pk)).exists()

    @pytest.mark.parametrize("name", ["", " / ", "a{{b}}", "a@b", "taken"])
    def test_a_name_that_cannot_be_is_refused(
        self, as_bob: Client, team: Team, alice: User, prompt: Prompt, name: str
    ) -> None:
        Prompt.start(team=team, author=alice, name="taken", messages=[{"role": "user", "content": "x"}])
        response = as_bob.post(f"{prompt.get_absolute_url()}details/", {"name": name, "description": "Kept"})
        assert response.status_code == 422
        assert "Kept" in page_of(response)
        prompt.refresh_from_db()
        assert prompt.name == "words/translate"

    def test_those_who_include_it_are_shown(self, as_bob: Client, team: Team, alice: User) -> None:
        tone = Prompt.start(
            team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "K"}]
        )
        PromptLabel.move(tone.newest, "production", by=Membership.objects.get(team=team, user=alice))
        Prompt.start(team=team, author=alice, name="asks", messages=[{"role": "user", "content": "{{> tone}} {{x}}"}])
        assert "Included by name in asks" in words_on(as_bob.get(f"{tone.get_absolute_url()}details/"))

    def test_a_name_in_quotation_marks_is_found_too(self, team: Team, alice: User) -> None:
        start: dict[str, Any] = {"team": team, "author": alice}
        tone = Prompt.start(**start, name='our "tone" é', kind="text", messages=[{"role": "user", "content": "K"}])
        text = [{"role": "user", "content": '{{> our "tone" é@latest}} {{x}}'}]
        asks = Prompt.start(**start, name="asks", messages=text)
        assert tone.included_by() == [asks]
