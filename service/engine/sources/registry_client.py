"""A client of OCI registries: oras's, with timeouts, without long pauses, and with the right kind of login."""

import inspect
import os
from pathlib import Path
from typing import Any

import requests
from oras.provider import Registry
from requests.adapters import HTTPAdapter

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
    """Return a client with the credentials that ``docker login`` has stored for a host."""
    plain = host.partition(":")[0] in LOOPBACK
    scheme = "http" if plain else "https"
    challenge = requests.get(f"{scheme}://{host}/v2/", timeout=SECONDS).headers.get("www-authenticate", "")
    made = Client(host, insecure=plain, auth_backend="basic" if challenge.lower().startswith("basic") else "token")
    made.session.mount(f"{scheme}://", _Timed())
    config = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"
    made.auth.load_configs(made.get_container(f"{host}/{repository}"), [str(config)] if config.exists() else None)
    return made
