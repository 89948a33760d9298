"""One compression at work: plans, training on a sample of the whole input, measuring, and encoding in batches.

Dimension key: N sampled rows, D vector width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.errors import DataError, counted
from irctl.index import encode_stream as streaming
from irctl.index import shards
from irctl.index.arrays import UNIT, check_taken
from irctl.index.bundle import FORMAT, VERSION, locate_quantizer
from irctl.index.learned_bundle import copy_encoder
from irctl.index.plan import Plan, check_batch, draw_samples, find_missing, list_row_groups, write_or_match
from irctl.pipelines import outputs
from irctl.pipelines.compress import checks, encode_batches, manifest
from irctl.pipelines.references import bundles, kept_transforms, vectors
from irctl.types import Reporter

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle
    from irctl.pipelines.compress.probe import Probe

_KEPT = "the trained quantizers are kept"


class Work:
    """One compression: its input, plans, quantizers and what was measured on the way."""

    def __init__(
        self,
        config: Config,
        run: RunHandle,
        reporter: Reporter,
        given: vectors.Input,
        folders: dict[str, Path],
        *,
        init: str | None,
        workers: int = 1,
        here: int = 1,
    ) -> None:
        """workers: those of the plan. here: how many of them work on this machine at once, for the memory."""
        self.config, self.run, self.reporter, self.given, self.folders = config, run, reporter, given, folders
        self.limit = config.compress.max_batches
        self.quantizers = {name: checks.open_quantizer(config, name, given.stream.dim, init) for name in folders}
        self.init = bundles.folder_of(init) if init else None
        self.init_sha256 = bundles.quantizer_sha256(init) if init else ""
        self.about = {**given.about, **bundles.read_trained(self.init)}
        if config.compress.stream:
            check_batch(config.compress.batch)
        self.plans = {name: self._make_plan(name, workers) for name in folders}
        self.train_s: dict[str, float] = {}
        self.warned: set[str] = set()
        self.spent = streaming.StageTimes()
        estimates = [
            checks.check_memory(config.compress, p.method, given, p.train_rows, here) for p in self.plans.values()
        ]
        self.memory = max(estimates, key=lambda estimate: estimate.needed)

    @property
    def dataset(self) -> str:
        """The ledger's name for the input."""
        given = self.given
        return vectors.dataset_of_vectors(self.config.run.dataset, given.about, given.name, given.key)

    def _make_plan(self, name: str, workers: int) -> Plan:
        stream, settings = self.given.stream, self.config.compress
        return Plan(
            source=self.given.name,
            fingerprint=self.given.raw.fingerprint,
            key=self.given.key,
            files=self.given.files,
            dim=stream.dim,
            batch=settings.batch if settings.stream else 0,
            method=name,
            metric=settings.metric,
            settings=asdict(self.quantizers[name].config),
            seed=self.config.run.seed,
            train_rows=checks.count_train_rows(settings.train_size, self.quantizers[name], stream.rows),
            probe=settings.probe,
            workers=workers,
            quantizer=self.init_sha256,
            about=self.about,
            transform=kept_transforms.name_of(self.given.transform),
        )

    def plan_and_train(self, *, may_train: bool) -> None:
        """Write or match plan.json, then train and measure, or load the quantizer that is there.

        may_train: False for workers of an array and for --append, which come after that step.
        """
        from irctl.quantizers.shared import opening

        stream = self.given.stream
        checks.check_rows(self.given)
        if may_train and not all(self._is_checked(name, folder) for name, folder in self.folders.items()):
            batches = next(iter(self.plans.values())).batches()[: self.limit or None]
            manifest.check_distinct(self.given.name, stream, sum(b.rows for b in batches))
        wanting: list[str] = []
        for name, folder in self.folders.items():
            outputs.check(folder)
            shards.sweep(folder)
            write_or_match(folder, self.plans[name])
            if self.given.transform is not None:
                kept_transforms.keep(folder, self.given.transform)
            where = locate_quantizer(folder, name)
            if (where / "quantizer.json").is_file():
                self.quantizers[name] = opening.load(where)
            elif self.init is not None:
                if may_train:  # else the step before has, or the rows are added to its own bundle
                    copy_encoder(self.init, folder)
                self.quantizers[name].save(where)
            else:
                wanting.append(name)
        if wanting and not may_train:
            raise DataError(
                f"{self.folders[wanting[0]]}: no trained quantizer",
                hint="Run irctl compress --train-only --out ... first",
            )
        if not may_train or (not wanting and all((f / "probe.json").is_file() for f in self.folders.values())):
            return
        first = next(iter(self.plans.values()))
        most = max(p.train_rows for p in self.plans.values())  # also when resumed: the draw must be the same
        probe_rows, train_rows = draw_samples(stream.rows, most, first.probe, first.seed, list_row_groups(stream))
        x_ND, probe = self._read_samples(train_rows, probe_rows, wanting)
        if wanting:
            self._train(wanting, x_ND)
        del x_ND
        if probe is not None:
            with stopping.at_once(_KEPT):
                loaded = probe()
            self._measure(loaded)

    def _read_samples(
        self, train_rows: Any, probe_rows: Any, wanting: Sequence[str]
    ) -> tuple[Any, Callable[[], Probe] | None]:
        """(training rows [N, D], none where no quantizer wants any; what loads the rows to measure on, if any are).

        The input is read once for both. The rows to measure on wait in a file while the quantizers train.
        """
        import numpy as np

        from irctl.index.samples import Waiting, take_apart
        from irctl.pipelines.compress.probe import Probe, draw_others

        stream, plan, folder = self.given.stream, next(iter(self.plans.values())), next(iter(self.folders.values()))
        if wanting and len(train_rows) < min(self.config.compress.train_size, stream.rows - self.config.compress.probe):
            self.reporter.say(
                f"training uses {counted(len(train_rows), 'row')}: more would not change these quantizers"
            )
        x_ND = np.empty((len(train_rows) if wanting else 0, stream.dim), np.float32)
        samples: list[tuple[Any, Any]] = [(train_rows, x_ND)] if wanting else []
        load = None
        if len(probe_rows):
            others, trained = draw_others(stream, plan.seed, probe_rows, None if self.init_sha256 else train_rows)
            held, among = Waiting(folder, stream.dim), Waiting(folder, stream.dim)
            samples += [(probe_rows, held), (others, among)]

            def load() -> Probe:
                return Probe(held.load(), among.load(), trained, plan.metric)

        if samples:
            with stopping.at_once("nothing is done yet" if wanting else _KEPT):
                take_apart(stream, samples)
        check_taken(stream, train_rows, x_ND)
        return x_ND, load

    def _is_checked(self, name: str, folder: Path) -> bool:
        """Whether an earlier run of the same command has looked at all ids: it trained or reused a quantizer then."""
        if (folder / shards.MANIFEST).is_file():  # partial: --max-batches looked at those rows alone
            return str(shards.read_manifest(folder, FORMAT, VERSION).get("coverage", "full")) != "partial"
        return (locate_quantizer(folder, name) / "quantizer.json").is_file()

    def _train(self, wanting: Sequence[str], x_ND: Any) -> None:
        self._warn_about_metric(x_ND)
        for name in wanting:
            started = time.process_time()
            self.reporter.say(f"training {name} on {counted(len(x_ND), 'row')}")
            with stopping.at_once(f"what was trained before {name} is kept"):
                self.quantizers[name].fit(x_ND)
            encode_batches.warn_once(self.quantizers, self.warned, self.reporter)
            self.train_s[name] = time.process_time() - started
            self.quantizers[name].save(locate_quantizer(self.folders[name], name))
            stopping.check(f"the trained {name} is kept")

    def _measure(self, probe: Probe) -> None:
        """Measure on held-out rows, into probe.json beside the plan: a resumed run reports it too."""
        self.reporter.say(f"measuring on {probe.describe_rows()}")
        for name, folder in self.folders.items():
            with stopping.at_once(_KEPT):
                measured = probe.measure(self.quantizers[name])
            shards.write_json(folder / "probe.json", measured)
        encode_batches.warn_once(self.quantizers, self.warned, self.reporter)

    def _warn_about_metric(self, x_ND: Any) -> None:
        import numpy as np

        similarity, metric = self.given.about.get("similarity"), self.config.compress.metric
        if similarity == "euclid" and metric != "l2":
            self.reporter.warn(f"the encoder compares by distance, the codes keep {metric}; --set compress.metric=l2")
        elif similarity == "cosine" and metric == "ip":
            lengths_N = np.linalg.norm(x_ND[:1000], axis=1)
            if np.abs(lengths_N - 1).max(initial=0) > UNIT:
                self.reporter.warn("the encoder compares by cosine and its vectors are not of length 1; "
                                   "--set compress.metric=cosine")  # fmt: skip

    def encode(self, worker: int | None, *, verify: bool, runner: str = "local") -> dict[str, manifest.Lines]:
        """Encode the batches (of one worker) that are not done; the journal lines of all that are, by method.

        With a plan of several workers and no worker named they run side by side here, or as actors of Ray.
        """
        work = encode_batches.Encoding(
            self.given.stream, self.folders, self.plans, self.quantizers, self.limit, self.warned
        )
        count = next(iter(self.plans.values())).workers
        if worker is None and (count > 1 or runner == "ray"):
            self.spent = encode_batches.encode_by_workers(
                work, self.given, self.config, self.run, self.reporter, runner
            )
            worker = count  # of no batch: what is left are the journals
        self.spent = work.encode(worker, self.reporter, verify=verify) or self.spent
        return {name: manifest.read_done(folder) for name, folder in self.folders.items()}

    def find_missing(self, name: str, done: dict[int, dict[str, Any]]) -> list[int]:
        """Batches of the plan (as far as --max-batches goes) without a journal line."""
        return [b.index for b in find_missing(self.plans[name], list(done), self.limit)]
