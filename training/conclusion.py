"""What a run says at its end: the report, and the commands that come next."""

import shlex

from rich.console import Console

from training import report
from training.run import Run


def conclude(run: Run, console: Console, *, finished: bool) -> None:
    """Write the report, and print the next commands."""
    run.write_text("report.html", report.build(run))
    folder = shlex.quote(str(run.path))
    if finished:
        console.print(
            f"Done: {run.path}; open report.html there. Then\n"
            f"  look:   nelumbo sample {folder}\n"
            f"  judge:  nelumbo evaluate {folder} --data {shlex.quote(run.config().data)}\n"
            f"  serve:  nelumbo export {folder} --name NAME && nelumbo serve",
            soft_wrap=True,
            markup=False,
        )
    else:
        console.print(f"Stopped and saved. Resume with: nelumbo train --resume {folder}", soft_wrap=True)


def resume_hint(run: Run) -> str:
    """Return how to resume a run that failed, or nothing where it has no checkpoint."""
    return f"; resume with: nelumbo train --resume {shlex.quote(str(run.path))}" if run.checkpoint.exists() else ""
