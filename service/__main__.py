"""``python -m service``: serve, or draw images without a server."""

import errno
import os
import socket
import sys
from typing import Annotated

import typer

from service.bulk import options
from service.contract import MODEL_FILE
from service.engine import sources
from service.engine.providers import registry as providers
from service.errors import ServiceError
from service.settings import SHIPPED, Settings, read_settings

BACKLOG = 2048  # most connections waiting to be accepted; the kernel may allow fewer

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Serve the models over HTTP, or draw without a server."
)

Models = Annotated[
    str | None,
    typer.Option(
        help="Folder of <name>/<version>/model.onnx, or s3://…, https://…, hf://…, oci://…. Default: models, or emoji."
    ),
]
DefaultModel = Annotated[
    str | None, typer.Option(help="Model where none is named: digits, or digits@1. Default: the first by name.")
]
Provider = Annotated[
    str | None, typer.Option(help=f"Execution provider: {', '.join(providers.PROVIDERS)}. Default: cpu.")
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    models: Models = None,
    default_model: DefaultModel = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: 3000.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes. Default: one for two cores, or 1 on an accelerator."),
    ] = None,
    provider: Provider = None,
    device_streams: Annotated[
        int | None, typer.Option(help="Batches that run at once on an accelerator. Default: 1.")
    ] = None,
    cors_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--cors",
            metavar="ORIGIN",
            help="Site whose pages may call the API: https://a.example; repeatable; * is all.",
        ),
    ] = None,
) -> None:
    """Serve. Every option, and more settings, can be set as NELUMBO_… in the environment."""
    if context.invoked_subcommand is None:
        settings = read_settings(
            models=models,
            default_model=default_model,
            host=host,
            port=port,
            workers=workers,
            provider=provider,
            device_streams=device_streams,
            cors_origins=",".join(cors_origins) if cors_origins else None,
        )
        raise typer.Exit(_serve(settings))


@app.command()
def generate(
    out: options.Out,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    model: options.ModelName = None,
    class_: options.Class = None,
    classes: options.Classes = None,
    per_class: options.PerClass = None,
    truncation: options.Truncation = None,
    direction: options.Direction = None,
    shard_size: options.ShardSize = None,
    shard: options.Shard = None,
    models: Models = None,
    provider: Provider = None,
) -> None:
    """Draw images without a server; of many, the same command continues a run that was stopped."""
    settings = read_settings(models=models, provider=provider, workers=1)
    _say_what_is_shipped(settings)
    _fetch(settings)
    from service.bulk import command
    from service.engine.renderer import Renderer
    from service.formats.c2pa import read_signer

    asked = options.Options(
        out, seed, seeds, model, class_, classes, per_class, truncation, direction or (), shard_size, shard
    )
    renderer = Renderer(
        settings.models,
        settings.provider,
        streams=settings.device_streams,
        max_batch=settings.max_batch,
        queue=sys.maxsize,  # what is queued is bounded where it is drawn
        default=settings.default_model,
    )
    signer = read_signer(settings.c2pa_key, settings.c2pa_certificate)
    command.generate(asked, renderer, settings.max_batch, signer)


@app.command()
def key(name: Annotated[str, typer.Argument(help="Name of the key, such as mobile-app.")]) -> None:
    """Make an API key: print its line for the file of NELUMBO_API_KEYS to stdout, and the key, only now, to stderr."""
    from service import keys

    made = keys.new()
    print(keys.line(name, made))
    print(f"Give this key to {name}; it is not stored: {made}", file=sys.stderr)


@app.command()
def openapi() -> None:
    """Print the description of the HTTP API, OpenAPI 3.1."""
    from service.web.openapi import text

    print(text(), end="")


def _listen(settings: Settings, port: int) -> socket.socket:
    """Return a socket for all workers that listens on the settings' host; raises ServiceError."""
    try:
        listening = socket.socket(socket.AF_INET6 if settings.host.version == 6 else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((str(settings.host), port))
        listening.listen(BACKLOG)  # so that a second server fails here and not in its workers
        return listening
    except OSError as error:
        hint = "choose another --port" if error.errno == errno.EADDRINUSE else "choose another --host or --port"
        where = f"{settings.host}:{port}"
        raise ServiceError(f"cannot listen on {where}: {os.strerror(error.errno or 0)}; {hint}") from error


def _require_extras(settings: Settings) -> None:
    """Find before any worker starts what the settings ask of optional packages; raises ServiceError."""
    from service.telemetry import tracing

    tracing.is_on()
    if settings.c2pa_key or settings.c2pa_certificate:
        from service.formats.c2pa import read_signer

        read_signer(settings.c2pa_key, settings.c2pa_certificate)


def _fetch(settings: Settings) -> None:
    """Mirror the models of a source; raises ServiceError where it cannot be read and was not mirrored before."""
    if settings.source is None:
        return
    try:
        sources.mirror(settings.source)
    except sources.SourceError as error:
        if not any(settings.models.glob(f"*/*/{MODEL_FILE}")):
            raise
        print(f"warning: {error}; drawing with what was fetched before", file=sys.stderr)


def _say_what_is_shipped(settings: Settings) -> None:
    if settings.models == SHIPPED:
        print(
            "No folder models here: drawing the emoji that come with Nelumbo; --models FOLDER draws yours.",
            file=sys.stderr,
        )


def _serve(settings: Settings) -> int:
    _say_what_is_shipped(settings)
    _fetch(settings)
    providers.require(settings.provider)
    _require_extras(settings)
    ports = [settings.port, *([settings.metrics_port] if settings.metrics_port else [])]
    sockets = [_listen(settings, port) for port in ports]
    os.environ.update(settings.environment())  # the workers are processes of their own
    from service.engine import state
    from service.runtime import supervisor

    state.make()
    return supervisor.run(settings, sockets)


def main() -> None:
    """Run the command line; a ServiceError is one sentence and exit code 2."""
    try:
        app()
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
