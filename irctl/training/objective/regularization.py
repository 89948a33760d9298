"""The regularizers of a run in its loss: which rows they see, at what length, by which slices, and whether they act.

Each is a file of irctl/regularizers, a function of the vectors of the whole loss batch, which every process has; so the
value is that of one process, and so is the gradient (irctl/training/parallel/gather.py). Queries and positives are two
populations with a mean each: `separate` takes the mean of both values. Where vectors are compared by cosine, or have
unit length anyway, a row z is given as sqrt(D) z / |z|, so that a variance of 1 is what isotropic rows have. Slices are
drawn by the seed and the optimizer step, which a checkpoint keeps.

What to expect was measured (specification of isotropy): SIGReg of the very target is 1.05, not 0, and its gradient
vanishes far from it; cov_iso and gor know no length, so they hold no variance up; and isotropy is not monotone with
quality: a term that lowers its value may well lower nDCG.

Dimension key: N rows, D vector width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from irctl import plugins
from irctl.config import Config
from irctl.errors import DataError, RunFailed
from irctl.index.arrays import UNIT
from irctl.metrics.vectors.moments import Moments, of_rows
from irctl.training.objective import regularizer_terms
from irctl.training.objective.regularizer_terms import FEWEST, KEY
from irctl.training.objective.term import Rows, Term
from irctl.training.parallel import gather

LEAST_SHARE = 1e-3
"""Of the gradient of the whole loss at the first step, below which a regularizer is said to do nothing."""


class Regularization(nn.Module):
    """Call it with the rows of a batch. is_unit: vectors are compared by direction, or have unit length. dim: D.

    warn, event: take a line, and a row of the run's journal.
    """

    reference_PDD: Tensor

    def __init__(
        self, config: Config, *, is_unit: bool, dim: int, warn: Callable[[str], None], event: Callable[..., None]
    ) -> None:
        super().__init__()
        self.terms = regularizer_terms.regularizers(config)
        self.rows, self.populations = config.train.regularizer_rows, regularizer_terms.populations(config)
        self.step, self.seed, self.is_unit = 0, config.run.seed, is_unit
        self._warn, self._event, self._has_said_few = warn, event, False
        self._sampled: dict[str, int] = {}
        self.wants_sample = any(self._reads_sample(term) for term in self.terms)
        seen = 1 if self.rows == "joint" else len(self.populations)
        # kept with the weights: a training that goes on shrinks towards the same covariances
        empty_PDD = torch.zeros(seen if self.wants_sample else 0, dim, dim)
        self.register_buffer("reference_PDD", empty_PDD, persistent=self.wants_sample)

    def forward(self, rows: Mapping[str, Rows]) -> tuple[dict[str, Term], dict[str, Tensor]]:
        """({name: weight and value}, {rows.POPULATION: N}), values without autocast. Beside uniformity its counterpart
        is measured, `alignment`.

        In a batch of fewer than three rows, which the last of an epoch may be, values are 0; that is said once. Raises
        ConfigError where vectors that the regularizers see get no gradient, RunFailed where rows have collapsed.
        """
        self._check_moves(rows)
        taken = self._take(rows)
        sizes = {f"rows.{name}": z_ND.new_tensor(float(len(z_ND))) for name, z_ND in taken.items()}
        if any(term.name == "uniformity" for term in self.terms) and len(rows) > 1:
            sizes["alignment"] = measure_alignment(rows["queries"], rows["passages"])
        if min(len(z_ND) for z_ND in taken.values()) < FEWEST:
            self._say_few(taken)
            zero = sum((z_ND.sum() * 0.0 for z_ND in taken.values()), torch.zeros(()))
            return {term.name: Term(term.weight, zero) for term in self.terms}, sizes
        return {term.name: Term(term.weight, self._value(term, taken)) for term in self.terms}, sizes

    def measure_sample(self, batches: Iterable[Mapping[str, Rows]]) -> None:
        """Take the covariances of many rows, by population, for the terms that are drawn towards them."""
        found: dict[str, Moments] = {}
        for rows in batches:
            for name, z_ND in self._take(rows).items():
                own = of_rows(z_ND.detach().double().cpu().numpy())
                found[name] = found[name].merge(own) if name in found else own
        self.reference_PDD.copy_(torch.stack([torch.from_numpy(own.covariance_DD) for own in found.values()]))
        self._sampled = {name: own.rows for name, own in found.items()}

    def finish_step(self, total: Tensor, terms: Mapping[str, Term], rows: Mapping[str, Rows]) -> None:
        """Go on to the next step; at the first say what each of `terms` has of the gradient of `total`."""
        if self.step == 0:
            self._say_shares(measure_shares(total, terms, [rows[name] for name in self.populations]))
        self.step += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"regularizer_step": self.step}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["regularizer_step"])

    def _value(self, term: regularizer_terms.Regularizer, taken: Mapping[str, Tensor]) -> Tensor:
        """The mean over populations."""
        module = plugins.load("regularizers", term.name)
        settings = module.Config(**term.settings)
        more = [{"reference_DD": c_DD} if self._reads_sample(term) else {} for c_DD in self.reference_PDD]
        given = zip(taken.values(), more or [{}] * len(taken), strict=True)
        try:
            values = [module.regularize(z_ND, settings, self.step, self.seed, **own) for z_ND, own in given]
        except DataError as e:
            raise RunFailed(f"{e.message} ({' and '.join(taken)})", hint=e.hint) from None
        return torch.stack(values).mean()

    def _take(self, rows: Mapping[str, Rows]) -> dict[str, Tensor]:
        """The rows that terms see, by population or joined, at the length that they are to have."""
        taken = {name: rows[name].taken() for name in self.populations}
        if self.rows == "joint":
            taken = {"joint": torch.cat(list(taken.values()))}
        if not self.is_unit:
            return taken
        return {name: z_ND.shape[1] ** 0.5 * normalize(z_ND, dim=1) for name, z_ND in taken.items()}

    @staticmethod
    def _reads_sample(term: regularizer_terms.Regularizer) -> bool:
        asked = plugins.literal("regularizers", term.name, "LARGER_SAMPLE")
        return bool(asked and term.settings.get(asked))

    def _check_moves(self, rows: Mapping[str, Rows]) -> None:
        moved = tuple(name for name, own in rows.items() if own.vectors_XD.requires_grad)
        missing = [name for name in self.populations if name not in moved]
        if missing and torch.is_grad_enabled():
            raise regularizer_terms.refuse_rows(
                self.rows, missing[0], moved, f"no vector of the {missing[0]} gets a gradient in this training"
            )

    def _say_few(self, taken: Mapping[str, Tensor]) -> None:
        if not self._has_said_few:
            self._has_said_few = True
            found = ", ".join(f"{len(z_ND)} of {name}" for name, z_ND in taken.items())
            self._warn(f"{KEY}: a batch has fewer than {FEWEST} rows ({found}): there its terms are 0")

    def _say_shares(self, shares: Mapping[str, float]) -> None:
        if gather.world()[0] == 0:
            sampled = {"sampled": self._sampled} if self._sampled else {}
            self._event("regularizers", shares=dict(shares), rows=self.rows, **sampled)
        for term in self.terms:
            share = shares[term.name]
            if share == 0:
                self._warn(
                    f"{term.name}: its gradient is exactly 0 at the first step: it moves nothing as long as the "
                    "vectors are where it wants them"
                )
            elif share < LEAST_SHARE:
                self._warn(
                    f"{term.name}: weight {term.weight:g} gives it {share:.1g} of the gradient at the first step, "
                    f"below {LEAST_SHARE:g}: it does next to nothing. Raise its weight in {KEY}"
                )


@torch.no_grad()
def measure_alignment(queries: Rows, passages: Rows) -> Tensor:
    """Mean squared distance of a query and a positive of its, at length 1; 0 where there is no pair.

    Source: Wang and Isola 2020, arXiv 2005.10242: less is better, as far as uniformity allows.
    """
    assert passages.owner_N is not None
    q_ND = normalize(queries.vectors_XD[passages.owner_N], dim=1)
    return (q_ND - normalize(passages.taken(), dim=1)).square().sum(1).sum() / max(1, len(q_ND))


def have_unit_length(vectors_ND: Tensor) -> bool:
    """Whether all of some kept vectors do; False of none."""
    return bool(len(vectors_ND)) and bool(((vectors_ND.norm(dim=1) - 1).abs() < UNIT).all())


def measure_shares(total: Tensor, terms: Mapping[str, Term], rows: Sequence[Rows]) -> dict[str, float]:
    """For each term the norm of weight x its gradient over that of the total's, with respect to gathered vectors.

    Every process has to ask.
    """
    whole = _gradient_norm(total, rows)
    return {
        name: _gradient_norm(term.weight * term.value, rows) / whole if whole else 0.0 for name, term in terms.items()
    }


def _gradient_norm(value: Tensor, rows: Sequence[Rows]) -> float:
    if not value.requires_grad:
        return 0.0
    at = [own.vectors_XD if own.local_LD is None else own.local_LD for own in rows]
    squares = 0.0
    for own, grad in zip(rows, torch.autograd.grad(value, at, retain_graph=True, allow_unused=True), strict=True):
        here = 0.0 if grad is None else float(grad.double().square().sum())
        squares += here if own.local_LD is None else gather.total(here, value.device)
    return math.sqrt(squares)
