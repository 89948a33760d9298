"""Entry of a training process: `python -m irctl.training.processes.worker RUN_DIR`, started by launch.py.

It reads the run folder's config.json, appends to metrics.jsonl, and writes checkpoints/ and model/. The ledger is the
launcher's alone.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path


def main(folder: Path) -> int:
    """Train; the exit code. An error becomes a line of metrics.jsonl for the launcher: torchrun hides exit codes."""
    from irctl import config as settings
    from irctl import plugins
    from irctl.errors import RUN_FAILED, IrctlError
    from irctl.ledger.files.secrets import Masker
    from irctl.paths import RunPaths
    from irctl.training.processes import launch
    from irctl.training.run_files.journal import TrainingJournal

    paths, scrub = RunPaths(folder), Masker((), os.environ).text
    if os.environ.get("WORLD_SIZE", "1") == "1":
        # a scheduler signals every process of a job: save and stop, as if the launcher had asked
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda received, _: launch.request_stop(paths, received))
    try:
        from irctl.training.loop import session

        config = settings.resolve(settings.from_file(paths.config))
        session.run(config, paths, plugins.load("methods", config.train.method).Method.build)
        session.leave()
    except IrctlError as e:
        TrainingJournal(paths).event("error", kind=e.kind, message=e.message, hint=e.hint, exit_code=e.exit_code)
        sys.stderr.write(scrub(traceback.format_exc()))  # into the run's log
        return e.exit_code
    except Exception as e:  # noqa: BLE001  told to the launcher, with its traceback in the log
        line = " ".join(str(e).split()) or "no message"
        TrainingJournal(paths).event(
            "error", kind="RunFailed", message=f"{type(e).__name__}: {line}", hint="", exit_code=RUN_FAILED
        )
        sys.stderr.write(scrub(traceback.format_exc()))
        return RUN_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
