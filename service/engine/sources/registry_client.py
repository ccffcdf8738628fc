"""A client of OCI registries: oras's, with timeouts, without long pauses, and with the right kind of login."""

import inspect
import os
from pathlib import Path
from typing import Any

import requests
from oras.provider import Registry
from requests.adapters import HTTPAdapter

from service.engine.sources.base import SourceError

SECONDS = 30  # for the registry to answer, and between two pieces of an answer
LOOPBACK = ("localhost", "127.0.0.1")  # without TLS, as for Docker

_ask_once = inspect.unwrap(Registry.do_request)


class _Timed(HTTPAdapter):
    """Ends requests that stall; requests itself would wait for ever."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, with a timeout where none is given."""
        kwargs["timeout"] = kwargs.get("timeout") or SECONDS
        return super().send(request, *args, **kwargs)


class Client(Registry):  # type: ignore[misc]  # oras has no types
    """oras's client. Its own ``do_request`` repeats a failed request for 131 s, in which nothing would be served."""

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """Ask once, and once more where the token is for something else: one to read, when it is to write."""
        given = (url, method, data, headers, json, stream)
        answer: requests.Response = _ask_once(self, *given)
        if answer.status_code == requests.codes.unauthorized:
            self.auth.authenticate_request(answer, {}, refresh=True)
            answer = _ask_once(self, *given)
        return answer


def connect(host: str, repository: str) -> Client:
    """Return a client with the credentials that ``docker login`` has stored for a host; raises SourceError."""
    plain = host.partition(":")[0] in LOOPBACK
    scheme = "http" if plain else "https"
    with requests.get(f"{scheme}://{host}/v2/", timeout=SECONDS, stream=True) as answer:  # whose body nobody needs
        challenge = answer.headers.get("www-authenticate", "")
    basic = challenge.lower().startswith("basic")
    made = Client(host, insecure=plain, auth_backend="basic" if basic else "token")
    made.session.mount(f"{scheme}://", _Timed())
    config = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"
    made.auth.load_configs(made.get_container(f"{host}/{repository}"), [str(config)] if config.exists() else None)
    if basic:
        try:
            made.auth.get_auth_header()
        except AttributeError as error:  # oras's way to say that there are none
            raise SourceError(f"{host} asks for a user and password; run: docker login {host}") from error
    return made
