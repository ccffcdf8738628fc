import asyncio
from types import SimpleNamespace
from typing import Any

from circus.exc import ConflictError

from service.runtime import supervisor


class Arbiter:
    """Is at something else when it is first told to stop."""

    def __init__(self) -> None:
        self._stopping = False
        self.done: list[str] = []
        self.sockets = SimpleNamespace(close_all=lambda: self.done.append("closed"))

    def stop(self) -> Any:
        if not self.done:
            self.done.append("busy")
            raise ConflictError
        self.done.append("stopped")
        return asyncio.sleep(0)


def test_a_supervisor_that_is_told_to_end_while_it_replaces_a_worker_ends_when_it_has() -> None:
    arbiter, told = Arbiter(), []
    loop = SimpleNamespace(
        add_callback_from_signal=lambda call: told.append(call), call_later=lambda _, call: told.append(call)
    )
    supervisor._leave(SimpleNamespace(controller=SimpleNamespace(loop=loop, arbiter=arbiter)))
    while told:
        asyncio.run(told.pop()())
    assert arbiter.done == ["busy", "stopped", "closed"]
