"""Taking prompts in, in two steps, and out: what a person sees and what is stored."""

from __future__ import annotations

import io
import json
import re
import zipfile
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from workspace import newcomers
from workspace.models import (
    Activity,
    ExampleSet,
    Membership,
    Prompt,
    PromptAlias,
    PromptLabel,
    ProtectedLabel,
    Role,
    Team,
    User,
)


def url(team: Team, rest: str) -> str:
    return f"/t/{team.slug}/prompts/{rest}/"


def post(client: Client, team: Team, text: str, **fields: Any) -> Any:
    return client.post(url(team, "import"), {"text": text, "step": "read", **fields})


def shown(response: Any) -> str:
    return re.sub(r"\s+", " ", unescape(response.content.decode()))


def did(response: Any) -> dict[str, str]:
    return {outcome.name: outcome.did for outcome in response.context["outcomes"]}


def lf(name: str, prompt: Any = "Hello {{name}}", **more: Any) -> dict[str, Any]:
    return {"name": name, "prompt": prompt, "type": "text" if isinstance(prompt, str) else "chat", **more}


def test_looking_stores_nothing_and_taking_in_stores_it(as_bob: Client, team: Team, bob: User) -> None:
    text = json.dumps([lf("a", labels=["production"], tags=["x"], commitMessage="Out of Langfuse"), lf("b/c")])
    looked = post(as_bob, team, text)
    assert looked.status_code == 200
    assert did(looked) == {"a": "new", "b/c": "new"}
    assert "Read as Langfuse JSON. It is JSON with name, type, prompt, labels." in re.sub(r"<[^>]+>", "", shown(looked))
    assert Prompt.objects.count() == Activity.objects.count() == 0

    taken = post(as_bob, team, text, step="take")
    assert "Taken in from Langfuse JSON: 2 of 2." in shown(taken)
    prompt = Prompt.objects.get(name="a")
    assert (prompt.kind, prompt.tags, prompt.author, prompt.find().note) == ("text", ["x"], bob, "Out of Langfuse")
    assert list(Activity.objects.filter(verb="created").values_list("name", flat=True).order_by("name")) == ["a", "b/c"]


def test_one_bad_of_a_hundred_is_named_and_the_rest_kept_only_if_agreed(as_bob: Client, team: Team) -> None:
    text = json.dumps([*(lf(f"p{number}") for number in range(99)), {"name": "broken", "type": "chat", "prompt": "x"}])
    looked = post(as_bob, team, text)
    assert looked.context["counts"] == [("New prompt", 99), ("Not possible", 1)]
    assert "prompt 100" in shown(looked)
    assert "Its type is chat, but its prompt is a text." in shown(looked)

    refused = post(as_bob, team, text, step="take", problems="1")
    assert refused.status_code == 422
    assert "Nothing was taken in yet" in shown(refused)
    assert json.loads(unescape(re.search(r"<textarea name=\"text\" hidden>\n(.*?)</textarea>", refused.content.decode(), re.S)[1])) == json.loads(text)  # type: ignore[index] # fmt: skip
    assert Prompt.objects.count() == 0

    assert post(as_bob, team, text, step="take", agree="1", problems="0").status_code == 422  # agreed to none
    assert Prompt.objects.count() == 0
    assert post(as_bob, team, text, step="take", agree="1", problems="1").status_code == 200
    assert Prompt.objects.count() == 99


def test_a_name_that_is_taken_gets_a_version_if_it_differs(as_bob: Client, team: Team, alice: User) -> None:
    shots = ExampleSet.start(team=team, author=alice, name="Words")
    typed = [{"name": "name", "type": "choice", "choices": ["Ann", "Bob"], "help": "Who"}]
    content = {"messages": [{"role": "user", "content": "Hello {{name}}"}], "variables": typed, "config": {"seed": 1}}
    same = Prompt.start(team=team, author=alice, name="same", kind="text", **content)
    other = Prompt.start(team=team, author=alice, name="other", kind="text", examples=shots.newest, **content)
    chat = Prompt.start(team=team, author=alice, name="chat", messages=[{"role": "user", "content": "Hi"}])
    text = json.dumps([lf("same"), lf("other", "Good day {{name}}"), lf("chat"), lf("skipped"), lf("named")])
    looked = post(as_bob, team, text)
    assert did(looked) == {"same": "same", "other": "version", "chat": "problem", "skipped": "new", "named": "new"}
    assert "chat is a chat prompt here and a text prompt there. Give it another name." in shown(looked)

    taken = post(as_bob, team, text, **{"step": "take", "name-2": "chat-text", "do-3": "skip", "name-4": "x/named"})
    assert did(taken) == {
        "same": "same", "other": "version", "chat-text": "new", "skipped": "skipped", "x/named": "new",
    }  # fmt: skip
    for prompt in (same, other, chat):
        prompt.refresh_from_db()
    assert (same.latest, other.latest, chat.latest) == (1, 2, 1)
    newest = other.versions.get(number=2)
    assert (newest.text, newest.variables[0]["choices"], newest.config) == (
        "Good day {{name}}",
        ["Ann", "Bob"],
        {"seed": 1},
    )
    assert newest.examples == shots.newest
    assert not Prompt.objects.filter(name="skipped").exists()


def test_several_versions_in_one_file_follow_one_another(as_bob: Client, team: Team) -> None:
    versions = [lf("a", f"Version {number}", version=number) for number in (3, 1, 2)]
    post(as_bob, team, json.dumps(versions), step="take")
    assert [version.text for version in Prompt.objects.get(name="a").versions.order_by("number")] == [
        "Version 1", "Version 2", "Version 3",
    ]  # fmt: skip


def test_includes_within_the_file_are_found_whatever_its_order(as_bob: Client, team: Team) -> None:
    asks = lf("ask", [{"role": "user", "content": "@@@langfusePrompt:name=tone|label=production@@@ {{question}}"}])
    text = json.dumps([asks, lf("tone", "Be {{mood}}.", labels=["production"])])
    taken = post(as_bob, team, text, step="take")
    assert did(taken) == {"ask": "new", "tone": "new"}
    version = Prompt.objects.get(name="ask").versions.get()
    assert version.render({"mood": "kind", "question": "Why?"}).messages[0]["content"] == "Be kind. Why?"
    alone = post(as_bob, team, json.dumps([lf("lost", "{{> nowhere}}")]))
    assert "includes nowhere, which does not exist" in shown(alone)


def test_labels_move_only_for_those_who_may(as_bob: Client, as_alice: Client, team: Team) -> None:
    ProtectedLabel.objects.create(team=team, name="production", role=Role.ADMIN)
    text = json.dumps(lf("a", labels=["production", "staging", "Not A Label"]))
    taken = shown(post(as_bob, team, text, step="take"))
    assert "The label production was not set. The label production is protected here" in taken
    assert "The label Not A Label was not set." in taken
    assert list(PromptLabel.objects.values_list("name", flat=True)) == ["staging"]
    post(as_alice, team, json.dumps(lf("b", labels=["production"])), step="take")
    assert PromptLabel.objects.filter(prompt__name="b", name="production").exists()


def kept(prompt: Prompt) -> dict[str, Any]:
    """All that is stored of a prompt, but for its ids, name and times."""
    version, feed = prompt.versions.get(), Activity.objects.of(prompt).order_by("pk")
    return {
        "prompt": (prompt.kind, prompt.description, prompt.tags, prompt.latest, prompt.author, prompt.folder),
        "version": (version.number, version.author, version.note, version.status, version.etag),
        "labels": sorted((label.name, label.version == version) for label in prompt.labels.all()),
        "moves": [(m.name, m.before, m.after == version, m.by) for m in prompt.label_moves.order_by("pk")],
        "feed": [(a.actor, a.verb, a.note, a.url == prompt.get_absolute_url(), a.name == prompt.name) for a in feed],
        "found": Prompt.objects.search("lamp tag").filter(pk=prompt.pk).exists(),
    }


def test_many_at_once_are_stored_as_one_by_one_would_be(as_bob: Client, team: Team, bob: User) -> None:
    text = "Light the lamp for {{name}} \u2028"
    ProtectedLabel.objects.create(team=team, name="secured", role=Role.OWNER)
    items = [lf(f"x/{n}", text, labels=["production", "staging", "secured"], tags=["tag"]) for n in range(3)]
    taken = post(as_bob, team, json.dumps(items), step="take")
    assert set(did(taken).values()) == {"new"}
    assert shown(taken).count("The label secured was not set. The label secured is protected here") == 3
    alone = Prompt.start(
        team=team, author=bob, name="x/alone", kind="text", tags=["tag"], note="Imported from Langfuse JSON",
        messages=[{"role": "user", "content": text}],
    )  # fmt: skip
    for label in ("production", "staging"):
        PromptLabel.move(alone.versions.get(), label, by=team.memberships.get(user=bob))
    alone.refresh_from_db()
    first, *others = [kept(prompt) for prompt in Prompt.objects.exclude(pk=alone.pk)]
    assert first == kept(alone) and others == [first, first]


def test_search_finds_what_was_taken_in(as_bob: Client, team: Team) -> None:
    post(as_bob, team, json.dumps([lf("x/one", "Light the lamp"), lf("two", "Dark", tags=["night"])]), step="take")
    assert Prompt.objects.search("lam").get().name == "x/one" and Prompt.objects.search("nigh dark").get().name == "two"


def test_a_hundred_new_prompts_take_no_more_statements_than_three(as_bob: Client, team: Team) -> None:
    def taken(count: int, name: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            items = [lf(f"{name}/{n}", labels=["production"]) for n in range(count)]
            assert len(did(post(as_bob, team, json.dumps(items), step="take"))) == count
        return len(queries)

    assert taken(100, "many") == taken(3, "few")


def test_a_name_taken_at_this_moment_gets_a_version_and_the_others_are_new(
    as_bob: Client, team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = newcomers.start

    def late(new: Any, by: Membership) -> None:
        if not Prompt.objects.filter(name="b").exists():
            Prompt.start(team=team, author=alice, name="b", kind="text", messages=[{"role": "user", "content": "Mine"}])
        real(new, by)

    monkeypatch.setattr(newcomers, "start", late)
    taken = post(as_bob, team, json.dumps([lf("a", labels=["production"]), lf("b"), lf("c")]), step="take")
    assert did(taken) == {"a": "new", "b": "version", "c": "new"}
    assert Prompt.objects.get(name="b").latest == 2 and Prompt.objects.get(name="a").find().number == 1


def test_an_openai_id_becomes_another_name_of_a_prompt(as_bob: Client, team: Team, bob: User) -> None:
    weather = Prompt.start(team=team, author=bob, name="weather", messages=[{"role": "user", "content": "{{city}}?"}])
    code = (
        'client.responses.create(prompt={"id": "pmpt_68ab", "version": "2", "variables": {"city": "Rome", "day": "x"}})'
    )
    looked = post(as_bob, team, code)
    assert "Name the prompt that shall answer to pmpt_68ab." in shown(looked)
    assert '<option value="weather">' in shown(looked)
    assert "There is no prompt called wether" in shown(
        post(as_bob, team, code, **{"step": "check", "name-0": "wether"})
    )
    taken = post(as_bob, team, code, **{"step": "take", "name-0": "weather"})
    assert did(taken) == {"weather": "alias"}
    assert "The call names day, which the prompt has not" in shown(taken)
    assert PromptAlias.objects.get(alias="pmpt_68ab").prompt == weather
    Prompt.start(team=team, author=bob, name="other", messages=[{"role": "user", "content": "x"}])
    again = post(as_bob, team, code, **{"step": "take", "name-0": "other"})
    assert "pmpt_68ab already stands for weather." in shown(again)


def test_promptfoo_tests_are_offered_as_inputs(as_bob: Client, team: Team) -> None:
    text = (
        "prompts: ['Translate {{word}}']\n"
        "tests:\n- vars: {word: house}\n  assert: [{type: equals, value: maison}, {type: javascript, value: 'x'}]\n"
    )
    looked = shown(post(as_bob, team, text))
    assert "word,expected house,maison" in looked
    assert "tests[0].assert[1]: javascript is code and was refused." in looked
    assert did(post(as_bob, team, text, step="take", folder="tried")) == {"tried/promptfoo 1": "new"}


def test_the_format_can_be_overridden(as_bob: Client, team: Team) -> None:
    text = "Hello {{name}}, how are you?"
    assert "It looks like none of them" in shown(post(as_bob, team, text))
    again = post(as_bob, team, text, format="dotprompt", filename="greet.prompt")
    assert did(again) == {"greet": "new"}


def test_an_upload_is_read_and_carried_to_the_next_step(as_bob: Client, team: Team) -> None:
    file = SimpleUploadedFile("hello.prompty", b"\xef\xbb\xbf---\nname: hello\n---\nuser:\nHi {{name}}\n")
    looked = post(as_bob, team, "", file=file)
    assert did(looked) == {"hello": "new"}
    hidden = re.search(r"<textarea name=\"text\" hidden>\n(.*?)</textarea>", looked.content.decode(), re.S)
    assert hidden
    taken = post(as_bob, team, unescape(hidden[1]).replace("\n", "\r\n"), step="take", filename="hello.prompty")
    assert did(taken) == {"hello": "new"}
    bad = post(as_bob, team, "", file=SimpleUploadedFile("x.json", b"\xff\xfe{}"))
    assert bad.status_code == 422
    assert "x.json is not UTF-8 text (byte 0)" in shown(bad)


def test_what_was_pasted_is_never_lost(as_bob: Client, team: Team) -> None:
    for text in ('{"name": "a", "prompt": ', "prompts: [1", "nothing\n<b>known</b>", "\n\nfirst lines empty: {"):
        page = post(as_bob, team, text, folder="mail")
        assert page.status_code == 422
        kept = re.search(r"<textarea id=\"import-text\"[^>]*>\n(.*?)</textarea>", page.content.decode(), re.S)
        assert kept
        assert unescape(kept[1]) == text
        assert 'value="mail"' in page.content.decode()
    assert post(as_bob, team, "  ").status_code == 422


def test_five_megabytes_are_read_and_more_are_refused_in_words(as_bob: Client, team: Team) -> None:
    large = json.dumps(lf("large", "x" * (5 * 2**20 - 200)))
    assert "at most 1,000,000 characters" in shown(post(as_bob, team, large))
    page = post(as_bob, team, large + "y" * 1000)
    assert (page.status_code, "at most 5 MiB" in shown(page)) == (422, True)


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_prompts_and_their_choices_fit_into_one_form(as_bob: Client, team: Team, count: int) -> None:
    text = json.dumps([lf(f"p{number}") for number in range(count)])
    fields = {f"do-{number}": "skip" for number in range(count)} | {f"name-{n}": f"p{n}" for n in range(count)}
    assert post(as_bob, team, text, step="check", **fields).context["counts"] == [("Skipped", count)]


def test_who_may(as_dana: Client, as_bob: Client, team: Team, other_team: Team, charlie: User) -> None:
    assert as_dana.get(url(team, "import")).status_code == 403
    assert as_dana.post(url(team, "import"), {"text": "{}"}).status_code == 403
    theirs = Prompt.start(team=other_team, author=charlie, name="x", messages=[{"role": "user", "content": "secret"}])
    for query in ({"prompt": theirs.pk}, {"prompt": theirs.pk, "version": 1}, {"prompt": "no"}):
        assert as_bob.get(url(team, "export"), query).status_code == 404


@pytest.fixture
def library(team: Team, alice: User) -> dict[str, Prompt]:
    owner = Membership.objects.get(team=team, user=alice)
    tone = Prompt.start(
        team=team, author=alice, name="tone", kind="text", messages=[{"role": "user", "content": "Be {{mood}}."}]
    )
    PromptLabel.move(tone.versions.get(), "production", by=owner)
    mail = Prompt.start(
        team=team, author=alice, name="mail/../answer", description="Answers", tags=["support"],
        messages=[{"role": "system", "content": "{{> tone}}"}, {"role": "user", "content": "Reply to {{text}}"}],
        variables=[{"name": "text", "type": "long"}], config={"temperature": 0.2}, note="First",
    )  # fmt: skip
    mail.save_version(alice, based_on=1, messages=[{"role": "user", "content": "Two"}])
    return {"tone": tone, "mail": mail}


def test_one_version_goes_out(as_dana: Client, team: Team, library: dict[str, Prompt]) -> None:
    answer = as_dana.get(url(team, "export"), {"prompt": library["mail"].pk, "version": 1, "format": "langfuse"})
    assert answer["Content-Disposition"] == 'attachment; filename="answer.json"'
    whole = json.loads(answer.content)
    assert (whole["version"], whole["commitMessage"], whole["prompt"][0]["content"]) == (
        1, "First", "@@@langfusePrompt:name=tone|label=production@@@",
    )  # fmt: skip
    assert as_dana.get(url(team, "export"), {"prompt": library["mail"].pk, "version": 9}).status_code == 404
    assert as_dana.get(url(team, "export"), {"prompt": library["mail"].pk, "format": "docx"}).status_code == 404


@pytest.mark.parametrize("format_", ["prompty", "dotprompt", "markdown"])
def test_a_folder_or_a_selection_goes_out_as_a_zip_whose_paths_stay_inside(
    as_dana: Client, team: Team, library: dict[str, Prompt], format_: str
) -> None:
    whole = as_dana.get(url(team, "export"), {"folder": "", "format": format_})
    names = zipfile.ZipFile(io.BytesIO(whole.content)).namelist()
    assert len(names) == 2
    assert not [name for name in names if ".." in name.split("/") or name.startswith("/")]
    folder = as_dana.get(url(team, "export"), {"folder": "mail", "format": format_})
    assert b"Two" in folder.content
    both = as_dana.post(url(team, "export"), {"prompt": [p.pk for p in library.values()], "format": format_})
    assert zipfile.ZipFile(io.BytesIO(both.content)).namelist() == names


@pytest.mark.parametrize("format_", ["langfuse", "promptfoo", "prompty", "dotprompt", "markdown"])
def test_what_went_out_comes_back_the_same(
    as_alice: Client, as_charlie: Client, team: Team, other_team: Team, library: dict[str, Prompt], format_: str
) -> None:
    library["mail"].restore(library["mail"].author, 1)
    Prompt.objects.filter(pk=library["mail"].pk).update(name="mail/answer")
    out = as_alice.post(url(team, "export"), {"prompt": [p.pk for p in library.values()], "format": format_})
    file = SimpleUploadedFile("all", out.content)
    assert set(did(post(as_alice, team, "", file=file)).values()) <= {"same", "version"}
    file.seek(0)
    taken = post(as_charlie, other_team, "", file=file, step="take")
    assert did(taken) == {"mail/answer": "new", "tone": "new"}
    here, there = (
        library["mail"].versions.first(),
        Prompt.objects.get(team=other_team, name="mail/answer").versions.get(),
    )
    inline = format_ in ("promptfoo", "prompty")
    assert there.messages[0]["content"] == ("Be {{mood}}." if inline else "{{> tone}}")
    assert there.messages[1:] == here.messages[1:]
    by_name = lambda version: {spec["name"]: spec for spec in version.variables}  # noqa: E731
    assert (there.config, by_name(there)) == (here.config, by_name(here))
    assert there.prompt.tags == ["support"]
    assert there.prompt.description == "Answers"
