"""The settings of the service: options of ``python -m service`` or ``NELUMBO_…`` variables, validated."""

import re
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyAddress, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import cpus, keys
from service.engine import sources
from service.engine.providers import registry as providers
from service.errors import ServiceError

SHIPPED = Path(__file__).parent / "models"  # a link to one of models/, and that model itself in a wheel
ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?", re.ASCII)


def default_models() -> Path:
    """Return the folder ``models`` or, where there is none, the model that comes with the package."""
    here = Path("models")
    return SHIPPED if SHIPPED.exists() and not here.exists() else here


def _address(host: Any) -> Any:
    return "127.0.0.1" if host == "localhost" else host  # BentoML accepts addresses only


def _workers(given: dict[str, Any]) -> int:
    """Return one worker for two cores, as its interpreter takes 0.2 ms a request and a core draws a digit in 0.5 ms.

    On an accelerator it is one, since each would have a context of its own there, and its own copy of every model.
    """
    provider = providers.PROVIDERS.get(given.get("provider", ""))
    return 1 if provider and not provider.on_cores else max(1, cpus.available() // 2)


def _provider(name: str) -> str:
    try:
        return providers.find(name).name
    except ServiceError as error:
        raise ValueError(str(error)) from error


# The settings that are also options of python -m service.
FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("models", "default_model", "host", "port", "workers", "provider", "device_streams")
} | {"cors_origins": "--cors"}


def _readable_keys(path: Path) -> Path:
    try:
        keys.read(path)
    except ServiceError as error:
        raise ValueError(str(error)) from error
    return path


def _read_token(path: Path) -> str:
    """Return the token of a file; raises ValueError where none of 16 to 1024 characters can be read."""
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(1026).strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"the file of the admin token {path} cannot be read") from error
    if not 16 <= len(token) <= 1024:
        raise ValueError("the admin token must have from 16 to 1024 characters")
    return token


def _readable_token(path: Path) -> Path:
    _read_token(path)
    return path


def _limit(text: str) -> str:
    import limits  # it imports asyncio and more: 0.04 s that most servers do without

    try:
        amount = limits.parse(text).amount
    except ValueError as error:
        raise ValueError('give a number of images and a time, such as "20/second" or "10000/day"') from error
    if amount < 1:
        raise ValueError("allow at least 1 image")
    return text


def _origins(text: str) -> str:
    if text != "*" and not all(ORIGIN.fullmatch(origin) for origin in text.split(",") if text):
        raise ValueError("give origins as https://a.example,https://b.example:8443, or * for all")
    return text


def _redis(uri: SecretStr) -> SecretStr:
    if not uri.get_secret_value().startswith(("redis://", "rediss://", "redis+unix://")):
        raise ValueError("give a Redis as redis://host:6379, rediss://… or redis+unix://…")
    if find_spec("redis") is None:
        raise ValueError("Redis needs pip install 'nelumbo[redis]'")
    return uri


Origins = Annotated[str, AfterValidator(_origins)]
Limit = Annotated[str, AfterValidator(_limit)]
Host = Annotated[IPvAnyAddress, BeforeValidator(_address)]


class Settings(BaseSettings):
    """The settings; what is not given is read from the environment."""

    model_config = SettingsConfigDict(env_prefix="NELUMBO_", frozen=True)

    models: Path = Field(
        default_factory=default_models,
        description="folder of <name>/<version>/model.onnx; by default models or, where there is no such folder, "
        "the emoji that come with the package",
    )
    source: str | None = Field(
        None,
        description=f"where models are fetched from; setting models to a URL sets it: {sources.EXAMPLES}",
    )
    source_seconds: float = Field(
        60.0, ge=0, le=86400, description="seconds between two looks for new models at the source; 0: at the start only"
    )
    default_model: str | None = Field(
        None,
        description="model that draws where a request names none: digits, or digits@1; by default the first by name. "
        "A reload does not change it",
    )
    host: Host = Field(ip_address("127.0.0.1"), description="address to listen on")
    port: int = Field(3000, ge=1, le=65535, description="port to listen on")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="port that answers /metrics and nothing else; without it, the service's own port answers /metrics",
    )
    provider: Annotated[str, AfterValidator(_provider)] = Field(
        "cpu", description=f"execution provider: {', '.join(providers.PROVIDERS)}"
    )
    workers: int = Field(
        default_factory=_workers,
        ge=1,
        le=1024,
        description="worker processes; by default one for two cores, or one on an accelerator",
    )
    device_streams: int = Field(
        1, ge=1, le=16, description="batches that run concurrently on an accelerator; a CPU runs one on each core"
    )
    max_batch: int = Field(16, ge=1, le=1024, description="most images in a batch")
    max_images: int = Field(64, ge=1, le=4096, description="most images in one request")
    queue: int = Field(1024, ge=1, description="most images in the queue of a worker; requests for more get 503")
    load_seconds: float = Field(60.0, gt=0, le=3600, description="seconds that the check of a model file may take")
    deadline: float = Field(30.0, gt=0, le=3600, description="seconds after which a request gets 504")
    drain: float = Field(
        1.0,
        ge=0,
        le=600,
        description="seconds to keep serving after SIGTERM, while /readyz answers 503, until load balancers notice",
    )
    client_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds that a client may take to send a request, and to receive its answer"
    )
    worker_timeout: int = Field(
        10, ge=1, le=3600, description="seconds after which a worker that does not answer its supervisor is replaced"
    )
    admin_token: SecretStr | None = Field(
        None, min_length=16, description="token that requests to /admin must send; without it, /admin answers 404"
    )
    admin_token_file: Annotated[Path, AfterValidator(_readable_token)] | None = Field(
        None, description="file that contains the admin token, read at each request to /admin"
    )
    c2pa_key: Path | None = Field(None, description="PEM file of the key that signs images (C2PA)")
    c2pa_certificate: Path | None = Field(
        None, description="PEM file of that key's certificate, followed by those of its issuers"
    )
    log_requests: bool = Field(False, description="write a line of JSON to stdout for each request")
    max_body: int = Field(
        2**18, ge=1024, description="most bytes in a request's body; each number of a latent takes up to 22 bytes"
    )
    max_photo: int = Field(2**23, ge=1024, description="most bytes in a picture that is sent to /invert")
    api_keys: Annotated[Path, AfterValidator(_readable_keys)] | None = Field(
        None, description="file of API keys, made with python -m service key; without it, no key is needed"
    )
    cors_origins: Origins = Field(
        "", description="sites whose pages may call the API: https://a.example,https://b.example, or * for all"
    )
    rate: Limit | None = Field(None, description='rate limit of each key, in images, such as "20/second"')
    quota: Limit | None = Field(None, description='quota of each key, in images, such as "10000/day"')
    limits_uri: Annotated[SecretStr, AfterValidator(_redis)] | None = Field(
        None,
        description="Redis that counts for all workers and pods, redis://…; without it, each worker counts by itself",
    )
    limits_failure: Literal["open", "closed"] = Field(
        "open", description="while Redis is unavailable: open draws without counting, closed answers 503"
    )

    @model_validator(mode="before")
    @classmethod
    def _models_may_be_elsewhere(cls, given: dict[str, Any]) -> dict[str, Any]:
        url = str(given.get("models", ""))
        if not sources.is_url(url):
            return given
        try:
            sources.scheme_of(url)
        except ServiceError as error:
            raise ValueError(str(error)) from error
        return given | {"models": sources.cache_of(url), "source": url}

    @model_validator(mode="after")
    def _limits_can_be_kept(self) -> Self:
        if self.rate or self.quota:
            if self.api_keys is None:
                raise ValueError("rate and quota need API keys: set api_keys, too")
            if self.limits_uri is None and self.workers > 1:
                raise ValueError(f"{self.workers} workers would each count by themselves: set limits_uri or workers=1")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError(f"NELUMBO_METRICS_PORT must differ from NELUMBO_PORT, which is {self.port}")
        return self

    @model_validator(mode="after")
    def _queue_holds_a_request(self) -> Self:
        if self.queue < self.max_images:
            raise ValueError(f"NELUMBO_QUEUE must be at least NELUMBO_MAX_IMAGES, which is {self.max_images}")
        return self

    def current_admin_token(self) -> str | None:
        """Return the admin token; None if there is none, or its file has none any more."""
        if self.admin_token is not None:
            return self.admin_token.get_secret_value()
        try:
            return _read_token(self.admin_token_file) if self.admin_token_file else None
        except ValueError:
            return None

    def environment(self) -> dict[str, str]:
        """Return the settings as variables for worker processes, without the secrets, which these inherit."""
        values = self.model_dump(exclude={"admin_token", "limits_uri"}, exclude_none=True)
        files = {name: value.absolute() for name, value in values.items() if isinstance(value, Path)}
        return {f"NELUMBO_{name.upper()}": str(value) for name, value in (values | files).items()}


def read_settings(**given: Any) -> Settings:
    """Return the settings of ``given``, where it is not None, and of the environment; raises ServiceError."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ServiceError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    """Return what is wrong with the first bad setting, without its value, which may be a secret."""
    first = error.errors()[0]
    if not first["loc"]:  # two settings that exclude each other: the message is ours
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0])
    flag = f"{FLAGS[name]} or " if name in FLAGS else ""
    return f"{name}: {first['msg']} (set it with {flag}NELUMBO_{name.upper()})"
