from collections.abc import Iterator

import pytest

from service.engine import state


@pytest.fixture(scope="module", autouse=True)
def _checked_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all commands of a module be of one server, so that the check's process starts once: it takes 0.25 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(state.VARIABLE, str(tmp_path_factory.mktemp("state")))
        yield
