"""The models page: bases, adapters, and servers that an admin adds."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from jobs import servers
from jobs.models import Adapter, LanguageModel, Worker
from jobs.secrets import Sealed, seal, unseal
from workspace.models import Team

SERVER = {
    "name": "Big one",
    "url": "http://10.1.2.3:8000/v1/",
    "url_model": "llama",
    "url_key": "sk-secret",
    "context_length": "8,192",
}


@pytest.fixture
def base(db: None) -> LanguageModel:
    return LanguageModel.objects.create(
        key="tiny", name="Tiny", folder="tiny", parameters=135_000_000, context_length=2048, licence="apache-2.0"
    )


@pytest.fixture
def adapter(team: Team, base: LanguageModel, settings: object, tmp_path: Path) -> Adapter:
    settings.STUDIO_RUNS = tmp_path
    folder = tmp_path / "run" / "attempt-1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 1000)
    return Adapter.objects.create(
        team=team,
        base=base,
        name="French",
        suffix="french",
        folder="run/attempt-1/adapter",
        sha256="",
        template_hash="",
        rank=16,
    )


def at(name: str, team: Team, **extra: object) -> str:
    return reverse(name, kwargs={"team": team.slug, **extra})


class TestPage:
    def test_shows_bases_adapters_and_who_does_the_work(self, as_dana: Client, team: Team, adapter: Adapter) -> None:
        Worker.objects.create(
            name="infer@box:1",
            kind="infer",
            host="box",
            pid=1,
            facts={"engine": "llama", "device": "cpu", "threads": 2},
        )
        text = as_dana.get(at("models", team)).content.decode()
        for said in ("135M", "2,048", "apache-2.0", adapter.key, "llama", "No training worker is running"):
            assert said in text, said
        assert "No chat worker" not in text and "Add a server" not in text

    def test_an_adapter_is_of_its_team(self, as_charlie: Client, other_team: Team, adapter: Adapter) -> None:
        assert adapter.key not in as_charlie.get(at("models", other_team)).content.decode()
        for name in ("adapter_archive", "adapter_download"):
            page = at(name, other_team, adapter_id=adapter.pk)
            assert (as_charlie.post if name.endswith("archive") else as_charlie.get)(page).status_code == 404

    def test_archive_and_undo(self, as_bob: Client, as_dana: Client, team: Team, adapter: Adapter) -> None:
        page = at("adapter_archive", team, adapter_id=adapter.pk)
        assert as_dana.post(page).status_code == 403
        assert "is archived" in as_bob.post(page, follow=True).content.decode()
        assert not Adapter.objects.for_team(team).exists()
        as_bob.post(page, {"undo": "1"})
        assert Adapter.objects.for_team(team).exists()

    @pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
    def test_download_is_a_zip_of_the_folder(self, as_dana: Client, team: Team, adapter: Adapter) -> None:
        answer = as_dana.get(at("adapter_download", team, adapter_id=adapter.pk))
        archive = zipfile.ZipFile(io.BytesIO(b"".join(answer)))
        assert archive.testzip() is None
        assert (
            archive.read("adapter/adapter_model.safetensors")
            == (adapter.path / "adapter_model.safetensors").read_bytes()
        )
        assert set(archive.namelist()) == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}

    def test_missing_files_are_a_sentence(self, as_dana: Client, team: Team, adapter: Adapter) -> None:
        Adapter.objects.filter(pk=adapter.pk).update(folder="gone")
        assert as_dana.get(at("adapter_download", team, adapter_id=adapter.pk)).status_code == 404


class TestServers:
    def test_an_admin_adds_one_and_its_key_is_sealed(self, as_alice: Client, as_bob: Client, team: Team) -> None:
        assert as_bob.post(at("model_new", team), SERVER).status_code == 403
        assert as_alice.post(at("model_new", team), SERVER).status_code == 302
        model = LanguageModel.objects.get()
        assert (model.url, model.url_model, model.context_length, model.team) == (
            "http://10.1.2.3:8000/v1",
            "llama",
            8192,
            team,
        )
        assert "sk-secret" not in model.url_key and model.secret() == "sk-secret"
        assert "sk-secret" not in as_alice.get(at("models", team)).content.decode()

    def test_it_is_no_one_elses(self, as_alice: Client, as_charlie: Client, team: Team, other_team: Team) -> None:
        as_alice.post(at("model_new", team), SERVER)
        model = LanguageModel.objects.get()
        assert model not in LanguageModel.objects.for_team(other_team)
        for name in ("model_change", "model_remove"):
            assert as_charlie.post(at(name, other_team, model_id=model.pk), SERVER).status_code == 404

    def test_the_key_stays_with_its_address(self, as_alice: Client, team: Team) -> None:
        as_alice.post(at("model_new", team), SERVER)
        model = LanguageModel.objects.get()
        change = at("model_change", team, model_id=model.pk)
        as_alice.post(change, {**SERVER, "url_key": "", "name": "Renamed"})
        model.refresh_from_db()
        assert model.name == "Renamed" and model.secret() == "sk-secret"
        as_alice.post(change, {**SERVER, "url_key": "", "url": "http://10.9.9.9/v1"})
        model.refresh_from_db()
        assert model.secret() == ""

    def test_removing_forgets_the_key_and_keeps_what_was_said(self, as_alice: Client, team: Team) -> None:
        as_alice.post(at("model_new", team), SERVER)
        as_alice.post(at("model_remove", team, model_id=LanguageModel.objects.get().pk))
        model = LanguageModel.objects.get()
        assert not model.enabled and not model.url_key

    def test_bundled_models_cannot_be_changed(self, as_alice: Client, team: Team, base: LanguageModel) -> None:
        assert as_alice.post(at("model_remove", team, model_id=base.pk)).status_code == 404

    def test_two_of_one_name_get_ids_of_their_own(self, as_alice: Client, team: Team) -> None:
        for _ in range(3):
            as_alice.post(at("model_new", team), SERVER)
        assert set(LanguageModel.objects.values_list("key", flat=True)) == {
            f"{team.slug}-big-one{end}" for end in ("", "-2", "-3")
        }

    def test_a_refused_form_says_why_and_opens_again(self, as_alice: Client, team: Team) -> None:
        answer = as_alice.post(at("model_new", team), {**SERVER, "url": "ftp://x"})
        text = answer.content.decode()
        assert answer.status_code == 422 and "http:// or https://" in text and "data-open-now" in text
        assert not LanguageModel.objects.exists()


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        ["http://10.0.0.5:8000/v1", "http://192.168.1.2/v1", "http://127.0.0.1:11434/v1", "https://[fd12::1]:8000/v1"],
    )
    def test_private_networks_are_fine(self, url: str) -> None:
        assert servers.check_url(url) == url

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://10.0.0.5/v1",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://user:password@10.0.0.5/v1",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/v1",
            "http://[fd00:ec2::254]/latest",
            "http://100.100.100.200/latest",
            "http://0.0.0.0:8000/v1",
            "http://224.0.0.1/",
            "http://10.0.0.5:99999/v1",
            "http://10.0.0.5/v1?x=1",
            "http://no-such-host.invalid/v1",
            "http:///v1",
            "http://2852039166/",  # 169.254.169.254 as one number
        ],
    )
    def test_what_could_reach_inside_is_refused(self, url: str) -> None:
        with pytest.raises(servers.Refused):
            servers.check_url(url)

    def test_our_own_services_are_refused(self, settings: object) -> None:
        settings.PORT = 8123
        settings.REDIS_URL = "redis://127.0.0.1:6390/0"
        settings.DATABASES["default"] = {**settings.DATABASES["default"], "HOST": "127.0.0.1", "PORT": "5433"}
        for port in (8123, 6390, 5433):
            with pytest.raises(servers.Refused, match="studio itself"):
                servers.check_url(f"http://127.0.0.1:{port}/")
        assert servers.check_url("http://127.0.0.1:8000/v1")


class TestSeals:
    def test_another_key_cannot_open_them(self, settings: object) -> None:
        sealed = seal("sk-x")
        assert unseal(sealed) == "sk-x" and seal("") == ""
        settings.FIELD_KEY = "another"
        with pytest.raises(Sealed):
            unseal(sealed)
