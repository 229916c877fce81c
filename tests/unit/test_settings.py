"""Settings: read from FOVEA_* once, frozen, and clear about what cannot be."""

import ast
import inspect
import logging
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service import settings
from service.settings import RENAMED, Settings, SettingsError, unknown_variables


def test_nothing_needs_to_be_set_and_only_this_machine_is_served() -> None:
    assert Settings.read().host == "127.0.0.1"


def test_variables_are_read_and_what_is_given_stands_before_them() -> None:
    os.environ.update(
        FOVEA_PORT="9000", FOVEA_MAX_UPLOAD_BYTES="1000", FOVEA_BUNDLES=f"/a{os.pathsep}~/b", FOVEA_NUM_THREADS=""
    )
    read = Settings.read(port=9001)
    assert (read.port, read.max_upload_bytes, read.num_threads) == (9001, 1000, None)
    assert read.bundles == (Path("/a"), Path("~/b").expanduser())


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOVEA_PORT", "tcp://10.0.0.1:80"),  # what Kubernetes sets for a Service called `fovea`
        ("FOVEA_MAX_UPLOAD_BYTES", "256MB"),
        ("FOVEA_MAX_QUEUED_GFLOPS", "inf"),
        ("FOVEA_DECODE_TIMEOUT_S", "0"),
        ("FOVEA_RUNTIME", "tensorflow"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name: str, value: str) -> None:
    os.environ[name] = value
    with pytest.raises(SettingsError) as refusal:
        Settings.read()
    assert f"{name}={value!r}: " in str(refusal.value)


def test_an_unknown_variable_is_warned_of_and_the_likely_one_named(caplog: pytest.LogCaptureFixture) -> None:
    os.environ["FOVEA_MAX_UPLOAD_BYTE"] = "1"
    with caplog.at_level(logging.WARNING):
        Settings.read()
    assert "FOVEA_MAX_UPLOAD_BYTE is no setting of Fovea; is FOVEA_MAX_UPLOAD_BYTES meant?" in caplog.text


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_variable_that_was_renamed_is_told_with_its_new_name(old: str, new: str) -> None:
    assert unknown_variables([old]) == [f"{old} is not read any more: it is called {new} now; rename it"]
    assert unknown_variables([new]) == []


def test_known_variables_and_other_programs_are_not_warned_of() -> None:
    assert unknown_variables(["FOVEA_PORT", "FOVEA_STRICT_TESTS", "PATH"]) == []


def test_every_setting_is_explained() -> None:
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    fields = [number for number, node in enumerate(body) if isinstance(node, ast.AnnAssign)]
    assert len(fields) == len(Settings.model_fields)
    for number in fields:
        after = body[number + 1]
        explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        assert explained, ast.unparse(body[number])
