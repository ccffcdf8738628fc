"""The process that keeps the workers: circus, as BentoML starts it, taught what an operator expects of it.

By itself it looks for dead workers every ten seconds, and in containers replaces none; and it keeps the listening
socket open while its workers end, so that clients connect where nobody takes their call.
"""

import contextlib
import ctypes
import os
import signal
import sys

from bentoml import server_context
from circus.exc import ConflictError
from circus.sighandler import SysHandler

VARIABLE = "NELUMBO_SUPERVISOR_PID"  # tells the workers
AGAIN = 0.2  # seconds
PR_SET_PDEATHSIG = 1  # Linux's: linux/prctl.h


def install() -> None:
    """Change how the supervisor takes the signals of its end and of its workers' deaths; harmless in a worker."""
    if server_context.worker_index is None:
        os.environ[VARIABLE] = str(os.getpid())
    os.environ.pop("BENTOML_CONTAINERIZED", None)  # all that it does is to leave dead workers dead
    if signal.SIGCHLD not in SysHandler.SIGNALS:
        SysHandler.SIGNALS.append(signal.SIGCHLD)
    SysHandler.handle_cld = SysHandler.handle_chld = _replace  # the signal has two names; Python tells the older
    SysHandler.handle_term = SysHandler.handle_quit = _leave
    SysHandler.handle_int = _hurry


def end_with_it() -> None:
    """Let Linux tell this worker to end when its supervisor was killed.

    Workers would serve on, with nobody to replace them, and hold the port against the next server.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != int(os.environ[VARIABLE]):  # it was killed before that
            os.kill(os.getpid(), signal.SIGTERM)


def _replace(handler: SysHandler) -> None:
    arbiter = handler.controller.arbiter

    async def replace() -> None:
        try:
            await arbiter.manage_watchers()
        except ConflictError:  # it is at something else
            handler.controller.loop.call_later(AGAIN, replace)

    handler.controller.loop.add_callback_from_signal(replace)


def _leave(handler: SysHandler) -> None:
    """End the workers, and close the listening socket here, so that it is gone as soon as they close theirs."""
    loop, arbiter = handler.controller.loop, handler.controller.arbiter

    async def leave() -> None:
        try:
            stopping = arbiter.stop()
        except ConflictError:
            if not arbiter._stopping:  # it is replacing a worker; circus itself would forget the signal
                loop.call_later(AGAIN, leave)
        else:
            arbiter.sockets.close_all()
            await stopping

    loop.add_callback_from_signal(leave)


def _hurry(handler: SysHandler) -> None:
    """Pass a Ctrl-C on: the terminal does not reach the workers, and circus would say SIGTERM."""
    for watcher in handler.controller.arbiter.iter_watchers():
        for pid in list(watcher.processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
    _leave(handler)
