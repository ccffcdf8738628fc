"""Runs a command line in this process, as a new one would spend two seconds importing torch."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess
from unittest.mock import patch


def run(main: Callable[[], object], *arguments: object, **environment: str) -> "CompletedProcess[str]":
    """Call ``main`` with these arguments and variables, and return its exit code and what it printed."""
    argv = ["-", *map(str, arguments)]
    out, err = StringIO(), StringIO()
    with (
        patch.object(sys, "argv", argv),
        patch.dict(os.environ, environment),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
    return CompletedProcess(argv, code, out.getvalue(), err.getvalue())
