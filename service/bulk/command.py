"""``python -m service generate``: reads its options, and draws one image or many."""

import logging
import signal
import sys

import typer

from service.bulk.options import Options
from service.bulk.plan import Plan, plan, read_shard
from service.bulk.run import Bulk, draw_one
from service.engine import conditions
from service.engine.conditions import ConditionError
from service.engine.library import UnknownModelError
from service.engine.model import Model
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.c2pa import Signer

ALL = "all"  # the classes


def generate(options: Options, renderer: Renderer, max_batch: int, signer: Signer | None = None) -> None:
    """Draw what the options ask for with a renderer, which is loaded and closed here; raises ServiceError."""
    options.check()
    amounts = options.amounts()
    wanted = None if options.seed is not None else plan(options.seeds or "0", options.out, options.shard_size)
    shard = None if options.shard is None else read_shard(options.shard, options.out)
    _load(renderer)
    try:
        model = renderer.library.find(options.model)
        names = [] if options.class_ is None else [options.class_]
        asked = conditions.find(model, names, options.truncation, amounts)._asdict()
        if wanted is None:
            seeds = () if options.seed is None else (options.seed,)
            draw_one(renderer, RenderRequest(model, seeds=seeds, **asked), options.out, signer)
            return
        planned = _in_classes(wanted, model, options)
        planned = planned.shard(*shard) if shard else planned
        _draw_many(Bulk(planned, renderer, RenderRequest(model, **asked), max_batch, signer))
    except UnknownModelError as error:
        raise ServiceError(f"no model {options.model or renderer.library.default}; there are {error}") from error
    except ConditionError as error:
        raise ServiceError(str(error)) from error
    finally:
        renderer.close()


def _load(renderer: Renderer) -> None:
    """Load the models; a warning tells which are refused."""
    # What is refused is told below, or by the error where nothing is left.
    logging.getLogger("bentoml.nelumbo").addHandler(logging.NullHandler())
    renderer.load()
    for error in renderer.library.refused:
        print(f"warning: {error.line}", file=sys.stderr)


def _in_classes(wanted: Plan, model: Model, options: Options) -> Plan:
    """Return a plan with a folder for each class that is asked for, or the plan as it is."""
    if options.classes is None and options.per_class is None:
        return wanted
    names = list(model.card.classes) if options.classes in (None, ALL) else (options.classes or "").split(",")
    if not names:
        raise ServiceError(f"{model.ref} has no classes; leave --classes and --per-class out")
    labels = conditions.find(model, [name.strip() for name in names]).labels
    return wanted.in_classes(model.card, list(dict.fromkeys(labels)), options.per_class)


def _draw_many(drawing: Bulk) -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background process ignores SIGINT
        signal.signal(signal.SIGINT, lambda *_: drawing.stop())
    from rich.console import Console

    try:
        drawing.run(Console(stderr=True))
    except KeyboardInterrupt:
        print(f"Stopped; the same command continues. {drawing.summary()}", file=sys.stderr)
        raise typer.Exit(130) from None
    print(drawing.summary())
