"""Releasing prompts: labels that move with a history, who may move them, and reviews by someone else."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.conftest import browser, joined
from tests.workspace.conftest import page_of, words_on
from workspace.models import (
    Archived,
    LabelRefused,
    Membership,
    Notification,
    Prompt,
    PromptLabel,
    PromptReview,
    PromptVersion,
    ProtectedLabel,
    ReviewRefused,
    Role,
    Team,
    User,
)


@pytest.fixture
def prompt(prompt: Prompt, alice: User) -> Prompt:
    """Two versions, both alice's."""
    prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Say {{word}}."}])
    return prompt


@pytest.fixture
def labels(prompt: Prompt) -> str:
    return f"{prompt.get_absolute_url()}labels/"


@pytest.fixture
def asked(prompt: Prompt) -> PromptReview:
    """alice asked anyone to look at version 2."""
    return PromptReview.ask(prompt.newest, by=Membership.objects.get(user=prompt.author), question="Polite enough?")


def status(prompt: Prompt, number: int) -> str:
    return str(prompt.versions.get(number=number).status)


class TestLabels:
    def test_a_label_is_set_moved_and_taken_off_with_a_history(self, as_bob: Client, labels: str) -> None:
        as_bob.post(labels, {"name": "staging", "number": "1"})
        as_bob.post(labels, {"name": "staging", "number": "2"})
        as_bob.post(labels, {"name": "staging", "off": "1"})
        whole = words_on(as_bob.get(labels))
        for step in (
            "set staging on version 1",
            "moved staging from version 1 to version 2",
            "took staging off version 2",
        ):
            assert f"Bob {step}" in whole

    def test_publishing_follows_production(self, as_bob: Client, prompt: Prompt, labels: str) -> None:
        as_bob.post(labels, {"name": "production", "number": "1"})
        assert (status(prompt, 1), status(prompt, 2)) == ("published", "draft")
        as_bob.post(labels, {"name": "production", "number": "2"})
        assert (status(prompt, 1), status(prompt, 2)) == ("draft", "published")
        as_bob.post(labels, {"name": "production", "off": "1"})
        assert status(prompt, 2) == "draft"

    @pytest.mark.parametrize(
        ("sent", "words"),
        [
            ({"name": "latest", "number": "1"}, "follows the newest version by itself"),
            ({"name": "No Spaces", "number": "1"}, "small letters, digits"),
            ({"name": "staging", "number": "?"}, "Choose the version"),
        ],
    )
    def test_what_cannot_be_is_refused_and_stays_typed(
        self, as_bob: Client, labels: str, sent: dict[str, str], words: str
    ) -> None:
        response = as_bob.post(labels, sent)
        assert response.status_code == 422
        assert words in words_on(response)
        assert f'value="{sent["name"]}"' in page_of(response)

    def test_a_version_of_another_prompt_is_not_there(self, as_bob: Client, labels: str) -> None:
        assert as_bob.post(labels, {"name": "staging", "number": "9"}).status_code == 404

    def test_who_may_not_publish_is_told_why_instead_of_a_button(
        self, as_alice: Client, as_bob: Client, team: Team, prompt: Prompt
    ) -> None:
        newest = prompt.newest.get_absolute_url()
        assert "Publish version" in words_on(as_bob.get(newest))
        ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
        told = words_on(as_bob.get(newest))
        assert "Publish version" not in told
        assert "production is protected here: publishing takes the role admin." in told
        assert "Publish version" in words_on(as_alice.get(newest))

    def test_a_protected_label_takes_the_role(self, as_alice: Client, as_bob: Client, team: Team, labels: str) -> None:
        as_alice.post(f"/t/{team.slug}/prompts/settings/labels/", {"name": "production", "role": int(Role.ADMIN)})
        refused = as_bob.post(labels, {"name": "production", "number": "1"})
        assert "protected here: moving it takes the role admin" in words_on(refused)
        as_alice.post(labels, {"name": "production", "number": "1"})
        assert "Take off" not in page_of(as_bob.get(labels))
        assert "Take off" in page_of(as_alice.get(labels))

    def test_a_prompt_that_holds_one_is_not_archived_by_an_editor(
        self, as_alice: Client, as_bob: Client, team: Team, prompt: Prompt
    ) -> None:
        ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
        as_alice.post(f"{prompt.get_absolute_url()}labels/", {"name": "production", "number": "1"})
        told = as_bob.post(f"{prompt.get_absolute_url()}archive/", follow=True)
        assert "Not archived. " in words_on(told)
        library = f"/t/{team.slug}/prompts/"
        told = as_bob.post(f"{library}act/", {"act": "archive", "prompt": str(prompt.pk)}, follow=True)
        for answer in (told, as_bob.get(library)):
            assert prompt.name in page_of(answer)
        assert "carries the label production, which takes a higher role" in page_of(told)
        prompt.refresh_from_db()
        assert not prompt.archived_at
        as_alice.post(f"{prompt.get_absolute_url()}archive/")
        prompt.refresh_from_db()
        assert prompt.archived_at

    def test_a_label_that_moves_while_a_prompt_includes_by_it(self, prompt: Prompt, team: Team, alice: User) -> None:
        """Whoever asks gets what the label points at then; when it is gone, the error names the include."""
        owner = Membership.objects.get(team=team, user=alice)
        tone = Prompt.start(
            team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "A"}]
        )
        PromptLabel.move(tone.newest, "staging", by=owner)
        user = Prompt.start(
            team=team, author=alice, name="ask", messages=[{"role": "user", "content": "{{> tone@staging}}"}]
        )
        tone.save_version(alice, based_on=1, messages=[{"role": "user", "content": "B"}])
        PromptLabel.move(tone.newest, "staging", by=owner)
        assert user.newest.render({}).messages == [{"role": "user", "content": "B"}]


class TestProtection:
    def test_only_admins_set_rules_and_none_above_themselves(
        self, as_bob: Client, team: Team, as_alice: Client
    ) -> None:
        door = f"/t/{team.slug}/prompts/settings/labels/"
        assert as_bob.post(door, {"name": "production", "role": "40"}).status_code == 403
        as_alice.post(door, {"name": "production", "role": int(Role.OWNER)})
        admin = browser(joined(team, "ada@example.com", Role.ADMIN))
        assert "higher role than yours" in words_on(admin.post(door, {"name": "production", "lift": "1"}))
        assert "higher role than yours" in words_on(admin.post(door, {"name": "other", "role": int(Role.OWNER)}))
        as_alice.post(door, {"name": "production", "lift": "1"})
        assert not ProtectedLabel.objects.exists()

    def test_everyone_can_read_them(self, as_dana: Client, team: Team) -> None:
        ProtectedLabel.objects.create(team=team, name="eu", role=Role.ADMIN)
        whole = as_dana.get(f"/t/{team.slug}/prompts/settings/")
        assert "eu" in words_on(whole)
        assert "Protect</button>" not in page_of(whole)
        assert f"/t/{team.slug}/prompts/settings/" in page_of(as_dana.get(f"/t/{team.slug}/settings/"))


class TestReview:
    def test_anyone_is_asked_told_and_answers(
        self, as_alice: Client, as_bob: Client, prompt: Prompt, alice: User, bob: User, dana: User
    ) -> None:
        version = prompt.newest
        door = f"{version.get_absolute_url()}review/"
        as_alice.post(door, {"question": "Polite enough?"})
        assert status(prompt, 2) == "review"
        [told] = Notification.objects.all()  # not dana, who may not review, and not alice herself
        assert (told.user, told.reason, told.url) == (bob, "review_asked", version.get_absolute_url())
        assert "Polite enough?" in words_on(as_bob.get(version.get_absolute_url()))
        review = version.reviews.get()
        as_bob.post(f"{prompt.get_absolute_url()}reviews/{review.pk}/", {"approve": "1", "note": "Yes."})
        assert status(prompt, 2) == "approved"
        told = Notification.objects.get(user=alice)
        assert (told.reason, told.text) == ("review_done", "Bob approved words/translate v2")
        assert "Yes." in words_on(as_alice.get(version.get_absolute_url()))

    def test_changes_are_asked_for_with_a_reason(self, as_bob: Client, prompt: Prompt, asked: PromptReview) -> None:
        door = f"{prompt.get_absolute_url()}reviews/{asked.pk}/"
        assert "Say what should change" in words_on(as_bob.post(door, {"reject": "1"}))
        as_bob.post(door, {"reject": "1", "note": "Too short."})
        assert status(prompt, 2) == "rejected"
        assert "has decided this already: changes asked for" in words_on(as_bob.post(door, {"approve": "1"}))

    def test_nobody_approves_their_own(self, as_alice: Client, prompt: Prompt, asked: PromptReview) -> None:
        response = as_alice.post(f"{prompt.get_absolute_url()}reviews/{asked.pk}/", {"approve": "1", "note": "Kept"})
        assert response.status_code == 409
        assert "Nobody approves their own version" in words_on(response)
        assert 'name="approve"' not in page_of(as_alice.get(prompt.newest.get_absolute_url()))
        assert status(prompt, 2) == "review"

    def test_one_person_is_asked(self, as_alice: Client, prompt: Prompt, team: Team, bob: User, dana: User) -> None:
        door = f"{prompt.newest.get_absolute_url()}review/"
        members = {one.user: one for one in team.memberships.all()}
        assert "wrote this version" in words_on(as_alice.post(door, {"of": members[prompt.author].pk}))
        assert "takes the role editor" in words_on(as_alice.post(door, {"of": members[dana].pk}))
        as_alice.post(door, {"of": members[bob].pk})
        review = prompt.newest.reviews.get()
        ada = Membership.objects.get(user=joined(team, "ada@example.com", Role.ADMIN))
        with pytest.raises(ReviewRefused, match="asked of Bob"):
            review.decide(by=ada, approve=True)
        assert "asked for already" in words_on(as_alice.post(door, {}))

    def test_someone_of_another_team_is_not_there(self, as_alice: Client, prompt: Prompt, other_team: Team) -> None:
        door = f"{prompt.newest.get_absolute_url()}review/"
        assert as_alice.post(door, {"of": other_team.memberships.get().pk}).status_code == 404

    def test_a_question_is_withdrawn(
        self, as_alice: Client, as_bob: Client, prompt: Prompt, asked: PromptReview
    ) -> None:
        door = f"{prompt.get_absolute_url()}reviews/{asked.pk}/"
        assert "can withdraw it" in words_on(as_bob.post(door, {"withdraw": "1"}))
        as_alice.post(door, {"withdraw": "1"})
        assert status(prompt, 2) == "draft"


class TestPublish:
    @pytest.fixture
    def careful(self, as_alice: Client, team: Team) -> None:
        """The team asks for reviews."""
        as_alice.post(f"/t/{team.slug}/prompts/settings/", {"reviews_prompts": "1"})

    def publish(self, client: Client, version: PromptVersion) -> Any:
        return client.post(f"{version.get_absolute_url()}review/", {"publish": "1"})

    def test_publishing_moves_production(self, as_bob: Client, prompt: Prompt) -> None:
        self.publish(as_bob, prompt.newest)
        assert prompt.find().number == 2
        assert status(prompt, 2) == "published"

    def test_unapproved_versions_are_refused_where_the_team_reviews(
        self, as_bob: Client, prompt: Prompt, labels: str, careful: None
    ) -> None:
        for response in (
            self.publish(as_bob, prompt.newest),
            as_bob.post(labels, {"name": "production", "number": "2"}),
        ):
            assert "goes to production once someone else has approved it" in words_on(response)
        assert not prompt.labels.exists()
        as_bob.post(labels, {"name": "staging", "number": "2"})  # only production is guarded
        assert prompt.labels.get().name == "staging"

    def test_an_approved_one_goes_and_a_later_no_counts(
        self, as_bob: Client, prompt: Prompt, asked: PromptReview, careful: None, alice: User, bob: User, team: Team
    ) -> None:
        me, her = (Membership.objects.get(team=team, user=user) for user in (bob, alice))
        asked.decide(by=me, approve=True)
        self.publish(as_bob, prompt.newest)
        assert prompt.find().number == 2
        as_bob.post(f"{prompt.get_absolute_url()}labels/", {"name": "production", "off": "1"})
        PromptReview.ask(prompt.newest, by=her).decide(by=me, approve=False, note="I was wrong.")
        assert "has approved it" in words_on(self.publish(as_bob, prompt.newest))

    def test_a_no_that_comes_while_it_is_published_counts(
        self, prompt: Prompt, asked: PromptReview, careful: None, alice: User, bob: User, team: Team,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        me, her = (Membership.objects.get(team=team, user=user) for user in (bob, alice))
        asked.decide(by=me, approve=True)
        second, held = PromptReview.ask(prompt.newest, by=her), Prompt.held

        def held_after_the_other(prompt: Prompt) -> Prompt:
            monkeypatch.setattr(Prompt, "held", held)
            second.decide(by=me, approve=False, note="I was wrong.")
            return held(prompt)

        monkeypatch.setattr(Prompt, "held", held_after_the_other)
        with pytest.raises(LabelRefused, match="once someone else has approved it"):
            PromptLabel.move(prompt.newest, "production", by=me)

    def test_an_archived_prompt_is_not_published(self, prompt: Prompt, alice: User, team: Team) -> None:
        prompt.archive(alice)
        with pytest.raises(Archived, match="This prompt is archived"):
            PromptLabel.move(prompt.newest, "production", by=team.memberships.get(user=alice))

    def test_a_restored_version_is_reviewed_anew(
        self, as_bob: Client, prompt: Prompt, asked: PromptReview, careful: None, bob: User, team: Team
    ) -> None:
        asked.decide(by=Membership.objects.get(team=team, user=bob), approve=True)
        prompt.save_version(bob, based_on=2, messages=[{"role": "user", "content": "Other"}])
        prompt.restore(bob, 2)
        assert "has approved it" in words_on(self.publish(as_bob, prompt.newest))
