"""New models without a restart: every worker of a server reads them again when one of them, or a signal, says so.

The workers share a file that is touched to say it, which each looks at a few times a second. A restart of the workers,
as BentoML's supervisor does at SIGHUP, would leave clients without an answer until the new ones have loaded.
"""

import atexit
import logging
import os
import secrets
import signal
import tempfile
import threading
import time
from pathlib import Path

from circus.sighandler import SysHandler

from service.engine.library import Library
from service.engine.renderer import NotReadyError, Renderer
from service.errors import ServiceError

logger = logging.getLogger("bentoml.nelumbo.reload")

VARIABLE = "NELUMBO_RELOAD_FILE"  # tells the workers what their supervisor chose
INTERVAL = 0.2  # seconds


class Reloader:
    """Reads the models again, in this worker and so in all others."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._file = _shared_file()
        self._seen = self._asked()
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Ask all workers to read the models again."""
        try:
            self._file.touch(mode=0o600)
            os.utime(self._file, ns=(time.time_ns(),) * 2)  # finer than the clock of a file system
        except OSError as error:  # this worker can reload all the same
            logger.error("Other workers cannot be asked to read the models again: %s", error)

    def now(self) -> Library:
        """Read the models again in this worker, while the others do; raises ServiceError, NotReadyError."""
        with self._lock:
            self.ask()
            self._seen = self._asked()
            return self._renderer.reload()

    def watch(self) -> None:
        """Follow what is asked from now on, on a thread."""
        threading.Thread(target=self._watch, name="reload", daemon=True).start()

    def heed_hangups(self) -> None:
        """Let SIGHUP ask, be this process a worker or the supervisor."""
        signal.signal(signal.SIGHUP, lambda *_: self.ask())
        SysHandler.handle_hup = lambda _: self.ask()  # the supervisor's own handler, set later, calls this

    def _watch(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                if self._asked() != self._seen:
                    self._seen = self._asked()
                    self._reload()

    def _reload(self) -> None:
        try:
            library = self._renderer.reload()
            logger.info("Serving %s", ", ".join(model.ref for model in library))
        except (ServiceError, NotReadyError) as error:
            logger.error("Not reloaded: %s", error)
        except Exception:
            logger.exception("Not reloaded")

    def _asked(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0


def _shared_file() -> Path:
    """Return the file that this server's processes share: the first of them, their supervisor, names it."""
    if VARIABLE not in os.environ:
        file = Path(tempfile.gettempdir()) / f"nelumbo-{os.getpid()}-{secrets.token_hex(8)}"
        os.environ[VARIABLE] = str(file)
        atexit.register(file.unlink, missing_ok=True)
    return Path(os.environ[VARIABLE])
