"""What a team did, as the feed tells it; and who is where just now."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.template import Context, Template
from django.test import Client

from jobs.datasets import run_import
from jobs.ml.config import TrainConfig
from jobs.models import Cause, Dataset, FineTune, Import, State
from tests.jobs.uploads import chat as talk
from tests.jobs.uploads import lines, stored
from tests.workspace.tabs import Tab
from workspace.models import Activity, Chat, Prompt, Role, Team, User
from workspace.models.labels import PromptLabel


def feed(client: Client, team: Team, query: str = "") -> list[str]:
    """The lines of the page, newest first: "Alice saved words/translate · note"."""
    page = client.get(f"/t/{team.slug}/activity/{query}").content.decode()
    found = re.findall(r'<span class="grow feed-words">(.*?)</span><span class="feed-kind', page, re.S)
    return [" ".join(re.sub(r"<[^>]*>", "", line).split()) for line in found]


class TestWhatIsRecorded:
    def test_prompts_and_labels(self, prompt, team, alice, as_alice) -> None:
        PromptLabel.move(prompt.versions.get(), "staging", by=team.memberships.get(user=alice))
        assert feed(as_alice, team) == [
            "Alice labelled words/translate · staging → version 1",
            "Alice created words/translate",
        ]

    def test_chats_once_something_is_said_and_when_put_away(self, chat, team, alice, bob, as_alice) -> None:
        first = chat.send(alice, "Which colours go with blue?", parent=None, client_id="a" * 16)
        assert first and feed(as_alice, team) == ["Alice started Which colours go with blue?"]
        chat.send(bob, "A second beginning", parent=None, client_id="b" * 16)
        chat.refresh_from_db()
        chat.archive(bob)
        chat.archive(bob, undo=True)
        assert [line.split(" Which")[0] for line in feed(as_alice, team)] == [
            "Bob restored",
            "Bob archived",
            "Alice started",
        ]

    def test_a_data_set_when_its_file_is_read_by_the_worker(self, team, bob, as_alice) -> None:
        file = stored(team, lines(talk(), talk("Two?", "2")))
        Import.objects.create(team=team, author=bob, file=file, name="Rows", format="chat")
        run_import(Import.objects.all().claim("default@test")[0])
        assert feed(as_alice, team) == ["Bob imported Rows · 2 rows"]

    def test_a_run_when_it_starts_and_ends(self, team, bob, base, as_alice) -> None:
        dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64)
        for ending in (State.SUCCEEDED, State.FAILED):
            FineTune.launch(
                team=team, author=bob, name="French", base=base, dataset=dataset, config=TrainConfig(), plan={}
            )
            [run] = FineTune.objects.all().claim("train@test")
            run.finish(ending, **({"cause": Cause.OOM, "message": "Out of memory."} if ending == State.FAILED else {}))
        assert feed(as_alice, team) == [
            "Bob failed to train French · Out of memory.",
            "Bob started French · on Rows",
            "Bob trained French",
            "Bob started French · on Rows",
        ]

    def test_what_has_no_author_any_more_is_not_told(self, team, base, as_alice) -> None:
        dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64)
        FineTune.objects.create(team=team, name="French", base=base, dataset=dataset, config={})
        FineTune.objects.all().claim("train@test")[0].finish(State.SUCCEEDED)
        assert feed(as_alice, team) == []

    def test_data_sets_and_adapters_put_away(self, adapter, team, as_bob) -> None:
        dataset = Dataset.objects.create(team=team, name="Rows", sha256="0" * 64)
        as_bob.post(f"/t/{team.slug}/data/{dataset.pk}/archive/")
        as_bob.post(f"/t/{team.slug}/models/adapters/{adapter.pk}/archive/")
        as_bob.post(f"/t/{team.slug}/models/adapters/{adapter.pk}/archive/", {"undo": "1"})
        assert feed(as_bob, team) == [
            "Bob restored French strings",
            "Bob archived French strings",
            "Bob archived Rows",
        ]

    def test_people_who_join_leave_and_are_removed(self, team, alice, as_alice) -> None:
        from tests.conftest import person

        erin, frank = person("erin@example.com"), person("frank@example.com")
        his, hers = team.admit(frank, Role.EDITOR), team.admit(erin, Role.EDITOR)
        his.end(by=his)
        hers.end(by=team.memberships.get(user=alice))
        assert feed(as_alice, team) == [
            "Alice removed a member of Lighthouse · Erin",
            "Frank left Lighthouse",
            "Erin joined Lighthouse",
            "Frank joined Lighthouse",
        ]

    def test_what_fails_leaves_no_trace(self, chat, team, alice, as_alice) -> None:
        from workspace.chats import Refused

        with pytest.raises(Refused):
            chat.send(alice, " ", parent=None, client_id="a" * 16)
        assert feed(as_alice, team) == []


class TestThePage:
    @pytest.fixture
    def busy(self, team: Team, alice: User, bob: User, base: Any) -> None:
        for user, name in ((alice, "one"), (bob, "two")):
            Prompt.start(team=team, author=user, name=name, messages=[{"role": "user", "content": "-"}])
            Chat.objects.create(team=team, author=user, model=base, title=f"talk {name}").archive(user)

    def test_by_person_and_by_kind(self, busy, team, alice, as_bob) -> None:
        assert feed(as_bob, team, f"?who={alice.pk}") == ["Alice archived talk one", "Alice created one"]
        assert feed(as_bob, team, "?kind=prompt") == ["Bob created two", "Alice created one"]
        assert feed(as_bob, team, f"?kind=prompt&who={alice.pk}") == ["Alice created one"]
        assert feed(as_bob, team, "?kind=nonsense&who=x&before=y") == feed(as_bob, team)

    def test_another_teams_is_not_in_it(self, busy, as_charlie, other_team, alice) -> None:
        assert feed(as_charlie, other_team) == feed(as_charlie, other_team, f"?who={alice.pk}") == []
        of = Activity.objects.filter(kind="prompt").first()
        assert feed(as_charlie, other_team, f"?of=prompt:{of.object_id}") == []

    def test_empty_it_says_what_will_come(self, team, as_bob) -> None:
        assert "Nothing has happened yet" in as_bob.get(f"/t/{team.slug}/activity/").content.decode()
        assert "Nothing of this kind yet" in as_bob.get(f"/t/{team.slug}/activity/?kind=grid").content.decode()

    def test_all_of_it_page_by_page_at_the_same_price(self, team, alice, as_bob, django_assert_num_queries) -> None:
        for number in range(120):
            Activity.record(team.pk, alice, "saw", team, note=f"{number:03}")
        seen, at = [], f"/t/{team.slug}/activity/?kind=team"
        while at:
            with django_assert_num_queries(4):
                page = as_bob.get(at).content.decode()
            seen += re.findall(r"· (\d{3})<", page)
            older = re.search(r'href="(\?[^"]*before=\d+)"', page)
            at = f"/t/{team.slug}/activity/{older[1].replace('&amp;', '&')}" if older else ""
        assert seen == [f"{number:03}" for number in reversed(range(120))]

    def test_one_object_has_its_own(self, busy, prompt, team, alice, as_alice, django_assert_num_queries) -> None:
        template = Template("{% load together %}{% activity thing %}")
        with django_assert_num_queries(1):
            page = template.render(Context({"team": team, "thing": prompt}))
        assert "words/translate" in page and "talk" not in page and f'data-refresh-on="prompt:{prompt.pk}"' in page
        prompt.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Now"}], note="Shorter")
        asked = f"/t/{team.slug}/activity/?of=prompt:{prompt.pk}"
        again = as_alice.get(asked, headers={"HX-Request": "true"}).content.decode()
        assert "Shorter" in again and 'id="activity-of"' in again
        assert len(feed(as_alice, team, f"?of=prompt:{prompt.pk}")) == 2


@pytest.mark.django_db(transaction=True)
class TestPresence:
    async def test_two_people_on_one_list_see_each_other(self, alice, bob, team) -> None:
        async with Tab(alice, team.slug) as hers, Tab(bob, team.slug) as his:
            await hers.say(type="subscribe", to="page:prompts")
            assert [one["name"] for one in (await hers.hear("presence"))["people"]] == ["Alice"]
            await his.say(type="subscribe", to="page:prompts")
            seen = await hers.hear("presence", object="page:prompts")
            assert {one["name"] for one in seen["people"]} == {"Alice", "Bob"}

    async def test_another_teams_page_of_that_name_is_another_place(self, alice, team, charlie, other_team) -> None:
        async with Tab(alice, team.slug) as hers, Tab(charlie, other_team.slug) as theirs:
            await hers.say(type="subscribe", to="page:prompts")
            await hers.hear("presence")
            await theirs.say(type="subscribe", to="page:prompts")
            assert [one["name"] for one in (await theirs.hear("presence"))["people"]] == ["Charlie"]

    async def test_everyone_sees_which_part_of_the_studio_the_others_are_in(self, alice, bob, team) -> None:
        async with Tab(alice, team.slug) as hers:
            await hers.say(type="subscribe", to="room:prompts")
            await hers.hear("presence", object="room")
            async with Tab(bob, team.slug) as his:
                await his.say(type="subscribe", to="room:data")
                people = (await hers.hear("presence", object="room"))["people"]
                assert {(one["name"], one["room"]) for one in people} == {("Alice", "prompts"), ("Bob", "data")}
            people = (await hers.hear("presence", object="room"))["people"]
            assert [(one["name"], one["room"]) for one in people] == [("Alice", "prompts")]

    @pytest.mark.parametrize("kind", ["prompt", "examples", "dataset"])
    async def test_on_the_page_of_one_object_but_not_of_another_teams(
        self, kind, alice, bob, team, charlie, other_team, prompt, example_set
    ) -> None:
        dataset = await sync_to_async(Dataset.objects.create)(team=team, name="Rows", sha256="0" * 64)
        thing = {"prompt": prompt, "examples": example_set, "dataset": dataset}[kind]
        async with Tab(alice, team.slug) as hers, Tab(charlie, other_team.slug) as theirs:
            await hers.say(type="subscribe", to=f"{kind}:{thing.pk}")
            assert (await hers.hear("presence"))["object"] == f"{kind}:{thing.pk}"
            await theirs.say(type="subscribe", to=f"{kind}:{thing.pk}")
            assert (await theirs.hear("error"))["code"] == "not_found"

    @pytest.mark.parametrize("wrong", ["page:", "page:../x", "page:" + "a" * 41, "room:A b"])
    async def test_a_place_is_a_plain_name(self, wrong, alice, team) -> None:
        async with Tab(alice, team.slug) as hers:
            await hers.say(type="subscribe", to=wrong)
            assert (await hers.hear("error"))["code"] == "bad_frame"


def test_every_page_says_where_it_is(team, alice, bob, chat, prompt, as_bob) -> None:
    places = {
        f"chat/{chat.pk}/": (f"chat:{chat.pk}", "chat"),
        f"prompts/{prompt.pk}/": (f"prompt:{prompt.pk}", "prompts"),
        "prompts/": ("page:prompts", "prompts"),
        "examples/": ("page:example_sets", "prompts"),
        "playground/": ("page:grids", "prompts"),
        "data/": ("page:datasets", "data"),
        "finetunes/": ("page:finetunes", "finetunes"),
        "models/": ("page:models", "models"),
        "settings/": ("page:team_settings", "settings"),
        "activity/": ("page:activity", "activity"),
        "notices/": ("page:notices", "elsewhere"),
    }
    for path, (place, room) in places.items():
        page = as_bob.get(f"/t/{team.slug}/{path}").content.decode()
        assert re.findall(r'<live-people[^>]*data-object="([^"]+)"', page) == [place], path
        assert f'<live-rooms class="rail-links" data-room="{room}">' in page, path
