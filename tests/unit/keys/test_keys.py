"""Keys: what is one, the file they stand in, and which of them open something."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from fovea.errors import Unauthenticated
from service.keys.file import KeyFileError, change_keys, read_keys
from service.keys.key import Key, Scope, digest_of, new_secret
from service.keys.ring import KeyRing
from tests.keys import a_key, key_file

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_a_secret_cannot_be_guessed_and_the_file_does_not_hold_it(tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={})
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(secrets["desk"]) > 40
    text = (tmp_path / "keys.json").read_text()
    assert secrets["desk"] not in text
    assert digest_of(secrets["desk"]) in text
    assert digest_of(secrets["desk"]) not in repr(read_keys(tmp_path / "keys.json"))


def test_the_file_is_for_its_owner_alone_whatever_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keys.json"
    key_file(path, desk={})
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    key_file(path, door={})
    assert path.stat().st_mode & 0o777 == 0o600
    assert [key.name for key in read_keys(path)] == ["desk", "door"]
    assert os.listdir(path.parent) == ["keys.json"]


def test_two_who_add_a_key_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    adding = [threading.Thread(target=key_file, args=(path,), kwargs={f"key{n}": {}}) for n in range(8)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert {key.name for key in read_keys(path)} == {f"key{n}" for n in range(8)}


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_file(path, desk={})
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="desk is there more than once"):
        change_keys(path, lambda kept: _checked([*kept, *kept]))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["keys.json"]


def _checked(keys: list[Key]) -> list[Key]:
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise KeyFileError(f"{names[0]} is there more than once")
    return keys


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Invalid JSON"),
        ('{"version": 2, "keys": []}', "version"),
        ('{"keys": [{"name": "a b", "sha256": "%s"}]}', "keys.0.name"),
        ('{"keys": [{"name": "desk", "sha256": "secret"}]}', "keys.0.sha256"),
        ('{"keys": [{"name": "desk", "sha256": "%s", "scopes": ["all"]}]}', "keys.0.scopes.0"),
        ('{"keys": [{"name": "desk", "sha256": "%s", "scopes": []}]}', "keys.0.scopes"),
        ('{"keys": [{"name": "desk", "sha256": "%s", "limits": {"gflops_per_day": 0}}]}', "limits.gflops_per_day"),
        ('{"keys": [{"name": "desk", "sha256": "%s", "limits": {"per_day": 1}}]}', "keys.0.limits.per_day"),
        ('{"keys": [{"name": "desk", "sha256": "%s", "expires": "2027-01-01T00:00:00"}]}', "keys.0.expires"),
        ('{"keys": [{"name": "d", "sha256": "%s"}, {"name": "d", "sha256": "%s"}]}', "d is there more than once"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong_and_shows_no_digest(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text.replace("%s", digest_of("x")))
    with pytest.raises(KeyFileError, match=told) as caught:
        read_keys(path)
    assert digest_of("x") not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"fovea keys add NAME --file"):
        KeyRing(tmp_path / "keys.json")


def test_the_right_secret_finds_its_key_and_no_other_does(tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={}, door={})
    ring = KeyRing(tmp_path / "keys.json")
    assert ring.key_of(secrets["door"]).name == "door"
    for wrong in ("", "x", secrets["desk"][:-1], secrets["desk"] + " ", digest_of(secrets["desk"])):
        with pytest.raises(Unauthenticated, match="not known here") as caught:
            ring.key_of(wrong)
        assert not wrong or wrong not in str(caught.value)


def test_every_key_is_compared_with_wherever_the_right_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = key_file(tmp_path / "keys.json", first={}, second={}, third={})
    ring = KeyRing(tmp_path / "keys.json")
    compared: list[str] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: bool(compared.append(a)) or a == b)
    ring.key_of(secrets["first"])
    assert len(compared) == 3


@pytest.mark.parametrize(
    ("said", "told"),
    [({"revoked": True}, "was revoked"), ({"expires": "2026-11-27T12:00:00Z"}, "expired at 2026-11-27T12:00:00")],
)
def test_a_key_that_is_revoked_or_has_expired_opens_nothing_and_says_so_to_who_has_it(
    tmp_path: Path, said: dict[str, object], told: str
) -> None:
    secrets = key_file(tmp_path / "keys.json", desk=said, door={})
    ring = KeyRing(tmp_path / "keys.json", now=lambda: NOW)
    with pytest.raises(Unauthenticated, match=told):
        ring.key_of(secrets["desk"])
    assert ring.named("desk") is None
    assert [key.name for key in ring.in_force] == ["door"]


def test_a_key_expires_at_its_time_and_not_before() -> None:
    key = a_key(expires="2026-11-27T13:00:00+01:00")
    assert key.objection(NOW - timedelta(seconds=1)) is None
    assert key.objection(NOW) is not None


def test_what_changes_in_the_file_is_in_force_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secrets = key_file(path, desk={})
    ring = KeyRing(path)
    later = key_file(path, door={})
    assert ring.key_of(later["door"]).name == "door"
    change_keys(path, lambda kept: [key.model_copy(update={"revoked": True}) for key in kept])
    with pytest.raises(Unauthenticated, match="revoked"):
        ring.key_of(secrets["desk"])


def test_a_file_that_breaks_or_goes_leaves_the_keys_in_force_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    secrets = key_file(path, desk={})
    ring = KeyRing(path)
    path.write_text("{")
    assert ring.key_of(secrets["desk"]).name == "desk"
    path.unlink()
    assert ring.key_of(secrets["desk"]).name == "desk"
    assert caplog.text.count("stay in force") == 2


def test_admin_opens_everything_and_the_others_what_they_say() -> None:
    assert all(a_key(scopes=["admin"]).opens(scope) for scope in Scope)
    one = a_key(scopes=["recognize"])
    assert [scope for scope in Scope if one.opens(scope)] == [Scope.RECOGNIZE]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", "ä", "a\n", "x" * 65])
def test_a_name_fits_a_log_line_and_a_metrics_label(name: str) -> None:
    with pytest.raises(ValidationError):
        a_key(name)
