"""Encoding the batches of a plan: all of them, or the share of one worker, by quantizers that are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl.errors import DataError
from irctl.index import encode_stream as streaming
from irctl.index import shards
from irctl.index.bundle import locate_quantizer
from irctl.index.plan import Plan
from irctl.index.plan import read as read_plan
from irctl.ledger import stored
from irctl.models.transforms.stream import TransformedStream
from irctl.pipelines.compress import manifest
from irctl.pipelines.references import bundles, kept_transforms
from irctl.pipelines.workers.spread import spread
from irctl.pipelines.workers.worker import Progress
from irctl.types import Reporter, Silent, Stream

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.references.vectors import Input

SHARE = "irctl.pipelines.compress.encode_batches:compress_share"
WARNINGS = "warnings"  # in a worker's answer: lines for the user


class WarningsKept(Silent):
    """The Reporter of a worker: its warnings are kept for the process that started it, which shows them."""

    def __init__(self) -> None:
        super().__init__()
        self.warned: list[str] = []

    def warn(self, line: str) -> None:
        self.warned.append(line)


def warn_once(quantizers: Mapping[str, Any], warned: set[str], reporter: Reporter) -> None:
    """Show what the quantizers warn of, in training or encoding; each line once."""
    for quantizer in quantizers.values():
        for line in getattr(quantizer, "warnings", ()):
            if line not in warned:
                reporter.warn(line)
                warned.add(line)


@dataclass
class Encoding:
    """A stream, and by method: folder, plan and trained quantizer. limit: batches of the plan that count; 0: all."""

    stream: Stream
    folders: Mapping[str, Path]
    plans: Mapping[str, Plan]
    quantizers: Mapping[str, Any]
    limit: int = 0
    warned: set[str] = field(default_factory=set)  # lines that the user has seen

    @property
    def plan(self) -> Plan:
        """Any of the plans: they cut the input alike."""
        return next(iter(self.plans.values()))

    def rows(self) -> int:
        """Rows that will be done in the end."""
        return sum(b.rows for b in self.plan.batches() if not self.limit or b.index < self.limit)

    def rows_done(self) -> int:
        """Rows of finished batches, by the method that is furthest behind."""
        return min(sum(int(line["rows"]) for line in shards.find_done(f).values()) for f in self.folders.values())

    def encode(self, worker: int | None, reporter: Reporter, *, verify: bool = False) -> streaming.StageTimes | None:
        """Encode what is not done yet of this worker's batches (None: of all). What was spent; None if none was left.

        Raises ConfigError for batches of another quantizer, DataError for input or files that changed.
        """
        plan = self.plan
        if worker is None:
            mine = plan.batches()[: self.limit or None]
        else:
            mine = plan.take_share(worker, self.limit) if worker < plan.workers else []
        targets = []
        for name, folder in self.folders.items():
            done = manifest.read_done(folder, verify=verify)
            targets.append(self._target(name, folder, worker or 0, set(done)))
            if not verify:  # which has hashed them all just now
                lines = (done[b.index] for b in mine if b.index in done)
                stored.check_all(
                    (folder / file, sha256) for line in lines for file, _, sha256 in shards.list_files(line)
                )
        left = [b for b in mine if any(b.index not in t.done for t in targets)]
        total, kept = sum(b.rows for b in mine), sum(b.rows for b in mine) - sum(b.rows for b in left)
        if kept:
            reporter.say(f"{len(mine) - len(left)} of {len(mine)} batches are done already")
        if not left:
            return None
        with reporter.bar("compressing", total, kept) as advance:
            spent = streaming.run(self.stream, mine, targets, advance)
        warn_once(self.quantizers, self.warned, reporter)
        return spent

    def _target(self, name: str, folder: Path, worker: int, done: set[int]) -> streaming.CodeTarget:
        plan, quantizer = self.plan, self.quantizers[name]
        count = len(plan.batches())
        return streaming.CodeTarget(
            folder=folder,
            encode=quantizer.encode,
            code_size=quantizer.code_size,
            file=lambda i: f"codes/{name}_compressed_batch_{plan.name(i, count)}.npy",
            ids_file=lambda i: f"ids/batch_{plan.name(i, count)}.arrow",
            journal=shards.ShardJournal(folder, worker, plan.workers),
            quantizer=bundles.quantizer_sha256(str(folder)),
            done=done,
        )


def encode_by_workers(
    work: Encoding, given: Input, config: Config, run: RunHandle, reporter: Reporter, runner: str
) -> streaming.StageTimes:
    """Every worker of the plan at once; what they spent together. See `workers.spread` for what it raises."""
    job = {
        "source": str(given.folder.absolute()) if given.folder else given.name,
        "root": config.data.root,
        "texts": given.texts,
        "folders": {name: str(folder.absolute()) for name, folder in work.folders.items()},
        "limit": work.limit,
    }
    progress = Progress("compressing", work.rows(), work.rows_done)
    count = work.plan.workers
    answers = spread(SHARE, job, count, config.hardware, run.paths.folder, progress, reporter, runner=runner)
    warnings: dict[str, None] = {}
    for answer in answers:
        warnings |= dict.fromkeys(answer.pop(WARNINGS, ()))
    for line in warnings:
        reporter.warn(line)
    total = {key: sum(a[key] for a in answers) for key in (answers[0] if answers else ())}
    return streaming.StageTimes(**total)


def compress_share(job: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """One worker's batches. job: source, root, texts, folders (by method, with plan.json and quantizer), limit.

    Returns what was spent, and what the quantizers had to say. Raises DataError if the input is not that of the plan.
    """
    from irctl.data.vectors.open import open_vectors
    from irctl.pipelines.compress.text_stream import reopen
    from irctl.quantizers.shared import opening

    folders = {name: Path(folder) for name, folder in job["folders"].items()}
    plans = {name: read_plan(folder) for name, folder in folders.items()}
    stream: Stream = reopen(job["texts"]) if job.get("texts") else open_vectors(job["source"], root=job["root"])
    for folder, plan in zip(folders.values(), plans.values(), strict=True):
        if plan.fingerprint != stream.fingerprint:
            raise DataError(
                f"{job['source']}: is not what {folder / 'plan.json'} was made for "
                f"({stream.fingerprint[:12]}, there {plan.fingerprint[:12]})",
                hint="The input changed; use another --out",
            )
    quantizers = {name: opening.load(locate_quantizer(folder, name)) for name, folder in folders.items()}
    if (fitted := kept_transforms.of_folder(next(iter(folders.values())))) is not None:
        stream = TransformedStream(stream, fitted)
    work = Encoding(stream, folders, plans, quantizers, int(job["limit"]))
    reporter = WarningsKept()
    return {**asdict(work.encode(index, reporter) or streaming.StageTimes()), WARNINGS: reporter.warned}
