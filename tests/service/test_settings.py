from pathlib import Path

import pytest
from typer.main import get_command

from service import cpus, keys
from service.__main__ import app
from service.errors import ServiceError
from service.settings import FLAGS, Settings, read_settings


def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NELUMBO_PORT", "4000")
    monkeypatch.setenv("NELUMBO_MAX_BATCH", "4")
    settings = read_settings(port=5000, host=None)
    assert (settings.port, settings.max_batch, str(settings.host)) == (5000, 4, "127.0.0.1")


def test_a_worker_reads_from_the_environment_what_its_server_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = read_settings(models=Path("elsewhere"), port=4001, deadline=2.5, c2pa_key=Path("key.pem"))
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    files = {"models": Path("elsewhere").absolute(), "c2pa_key": Path("key.pem").absolute()}
    assert read_settings() == Settings(**given.model_dump() | files)


def test_the_admin_token_is_not_printed_or_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NELUMBO_ADMIN_TOKEN", "correct-horse-battery")
    settings = read_settings()
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "correct-horse-battery"
    assert "horse" not in f"{settings!r} {settings.environment()}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": 70000}, r"^port: .* \(set it with --port or NELUMBO_PORT\)$"),
        ({"max_batch": 0}, r"^max_batch: .* \(set it with NELUMBO_MAX_BATCH\)$"),
        ({"host": "example.org"}, "--host or NELUMBO_HOST"),
        ({"admin_token": "short"}, "at least 16"),
        ({"rate": "often"}, "such as"),
        ({"quota": "0/day"}, "at least 1 image"),
        ({"api_keys": Path("nowhere")}, "keys nowhere cannot be read"),
        ({"limits_uri": "memcached://there"}, "give a Redis"),
        ({"cors_origins": "us.example"}, "give origins"),
        ({"cors_origins": "https://us.example/"}, "give origins"),
        ({"queue": 3}, "^NELUMBO_QUEUE must be at least NELUMBO_MAX_IMAGES, which is 64$"),
    ],
)
def test_a_bad_setting_is_one_sentence(given: dict[str, object], said: str) -> None:
    with pytest.raises(ServiceError, match=said) as refused:
        read_settings(**given)
    assert "\n" not in str(refused.value)


def test_the_flags_that_a_sentence_names_are_those_that_there_are() -> None:
    options = {parameter.name for parameter in get_command(app).params} - {"help"}
    assert set(FLAGS) == options & set(Settings.model_fields)


def test_a_bad_secret_is_not_said_aloud() -> None:
    with pytest.raises(ServiceError) as refused:
        read_settings(admin_token="horse")
    assert "horse" not in str(refused.value)


def test_localhost_is_an_address() -> None:
    assert str(read_settings(host="localhost").host) == "127.0.0.1"


@pytest.mark.parametrize(("available", "workers"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_two_cores_get_a_worker(available: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "available", lambda: available)
    assert read_settings().workers == workers
    assert read_settings(workers=5).workers == 5


def test_limits_that_could_not_be_kept_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(keys.line("us", keys.new()))
    assert read_settings(api_keys=file, rate="20/second", quota="9/day", workers=1).rate == "20/second"
    assert read_settings(api_keys=file, rate="20/second", workers=2, limits_uri="redis://there").workers == 2
    with pytest.raises(ServiceError, match="set api_keys, too"):
        read_settings(rate="20/second", workers=1)
    with pytest.raises(ServiceError, match="each count by themselves: set limits_uri or workers=1"):
        read_settings(api_keys=file, rate="20/second", workers=2)


def test_a_password_of_redis_is_kept_to_itself() -> None:
    settings = read_settings(limits_uri="redis://:horse@there")
    assert "horse" not in f"{settings!r} {settings.environment()}"
