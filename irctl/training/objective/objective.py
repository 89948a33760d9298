"""The loss of a run: weighted terms over their candidate views, with one temperature each, measured, fixed or learned.

Temperature auto: over the first loss batches, without gradient, the standard deviation of own-candidate scores divided
by the spread of logits that the loss wants (1 for losses whose target is a softmax of grades, 3 for the others).

Dimension key: B queries that share a loss, N passages in the batch, K passages of a query's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from irctl import plugins
from irctl.data.groups.candidates import View
from irctl.errors import ConfigError
from irctl.training.objective.term import Term
from irctl.training.objective.terms import TEACHER, Part

MEASURED_BATCHES = 4
SPREADS = (0.3, 10.0)
"""Logit spreads outside which a fixed temperature is probably wrong."""


class Objective(nn.Module):
    """Call it with scores and views; it returns the weighted sum and each term's own value."""

    def __init__(self, parts: Sequence[Part], *, learn_temperature: bool, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.temperatures: dict[str, float | None] = {p.name: p.temperature for p in parts}
        self.measured = tuple(p.name for p in parts if p.temperature is None)
        self.modules_of = {p.name: plugins.load("losses", p.name) for p in parts}
        self.learned = nn.ParameterDict()
        for part in parts:
            if learn_temperature:
                self.learned[f"{part.name}_log_temperature"] = nn.Parameter(torch.zeros(()))
            for name in plugins.literal("losses", part.name, "LEARNED") or ():
                start = part.settings.get(name, 0.0)
                self.learned[f"{part.name}_{name}"] = nn.Parameter(torch.tensor(float(start)))
        self._learn_temperature = learn_temperature
        self._warn = warn
        self._is_checked = False

    @property
    def views(self) -> set[str]:
        """The candidate views that the terms look at."""
        return {part.view for part in self.parts}

    @property
    def taught_view(self) -> str:
        """The view whose candidates a teacher judges."""
        return next(part.view for part in self.parts if part.is_taught)

    @property
    def measures(self) -> bool:
        """Whether something starts from the model's own scores of the first loss batches."""
        return bool(self.measured) or any(self._measures_bias(part) for part in self.parts)

    def _measures_bias(self, part: Part) -> bool:
        return f"{part.name}_bias" in self.learned and "bias" not in part.settings

    def stand_in(self, views: Mapping[str, View], columns: int) -> tuple[Tensor, Mapping[str, View]]:
        """(scores_BN, views) for `prepare` where nothing is measured: drawn scores show as well which queries count.

        columns: N. Spread by the smallest temperature, at which no loss is flat.
        """
        assert not self.measures
        rows = len(views["own"].mask_BN)
        drawn_BN = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
        return drawn_BN.to(views["own"].mask_BN.device) * min(self._fixed(p.name) for p in self.parts), views

    def prepare(self, batches: Sequence[tuple[Tensor, Mapping[str, View]]]) -> None:
        """Measure what is to be measured on (scores_BN, views) of the first loss batches, and set learned starts.

        Raises ConfigError where no loss learns anything from any of them.
        """
        own = torch.cat([views["own"].scores(s_BN)[views["own"].mask_BN].double() for s_BN, views in batches])
        deviation = float(own.std(unbiased=False)) if len(own) else 0.0
        for part in self.parts:
            if part.temperature is None:
                # six digits: the last bits depend on the number of processes, the temperature should not
                value = float(f"{deviation / part.spread:.6g}")
                self.temperatures[part.name] = value if value > 0 else 1.0
            temperature = self._fixed(part.name)
            with torch.no_grad():
                if self._learn_temperature:
                    self.learned[f"{part.name}_log_temperature"].fill_(math.log(temperature))
                if self._measures_bias(part):
                    s_BN, views = batches[0]
                    view = views[part.view]
                    settings = self._settings(part, temperature)
                    start = self.modules_of[part.name].first_bias(
                        view.scores(s_BN), view.labels_BN, view.mask_BN, settings
                    )
                    self.learned[f"{part.name}_bias"].fill_(start)
        self._refuse_idle(batches)

    def _refuse_idle(self, batches: Sequence[tuple[Tensor, Mapping[str, View]]]) -> None:
        """Refuse to train where every score's gradient is 0; warn where it is so for some terms of a sum."""
        idle = [p.name for p in self.parts if not any(self._moves(p, s_BN, views) for s_BN, views in batches)]
        if not idle or not batches:
            return
        unseen = f"{', '.join(idle)}: no query of the first {len(batches)} loss batches counts"
        if len(idle) == len(self.parts):
            raise ConfigError(
                f"{unseen}: nothing would be learned",
                hint="Each needs passages that differ: see irctl train --dry-run, data.group_size and the negatives",
            )
        self._warn(f"{unseen}: only the other losses teach the model")

    def _moves(self, part: Part, scores_BN: Tensor, views: Mapping[str, View]) -> bool:
        """Whether a score of this batch has a gradient."""
        temperature = self._fixed(part.name)
        with torch.enable_grad(), torch.autocast(scores_BN.device.type, enabled=False):
            own_BN = scores_BN.detach().clone().requires_grad_()
            value = self._value(part, own_BN, views, self._settings(part, temperature))
            if not value.requires_grad:
                return False
            (slope_BN,) = torch.autograd.grad(value, own_BN)
        return bool((slope_BN != 0).any())

    def forward(self, scores_BN: Tensor, views: Mapping[str, View]) -> tuple[Tensor, dict[str, Tensor]]:
        """(weighted sum, {loss: its own value}), scalars in float32 or wider."""
        self._check_spread(scores_BN, views["own"])
        total = scores_BN.new_zeros(())
        terms = self.terms(scores_BN, views)
        for term in terms.values():
            total = total + term.weight * term.value
        return total, {name: term.value.detach() for name, term in terms.items()}

    def terms(self, scores_BN: Tensor, views: Mapping[str, View]) -> dict[str, Term]:
        """{loss: weight and value}, with gradient, in float32 or wider."""
        with torch.autocast(scores_BN.device.type, enabled=False):
            return {
                part.name: Term(
                    part.weight,
                    self._value(part, scores_BN, views, self._settings(part, self._temperature(part.name))),
                )
                for part in self.parts
            }

    def _value(self, part: Part, scores_BN: Tensor, views: Mapping[str, View], settings: Any) -> Tensor:
        """A term's own value. A loss with NEEDS_OWN in its file is told which passages are a query's own."""
        view, more = views[TEACHER if part.is_taught else part.view], {}
        if part.view != "own" and plugins.literal("losses", part.name, "NEEDS_OWN"):
            more["own_BN"] = views["own"].among(scores_BN.shape[1])
        value: Tensor = self.modules_of[part.name].loss(
            view.scores(scores_BN), view.labels_BN, view.mask_BN, settings, **more
        )
        return value

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the learned parameters: where temperatures started, and what is learned."""
        now = {"learned_temperatures": self.current()} if self._learn_temperature else {}
        learned = self.learned_settings()
        return {"temperatures": dict(self.temperatures), **now, **({"learned": learned} if learned else {})}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the temperatures of a checkpoint."""
        self.temperatures = dict(state["temperatures"])

    def current(self) -> dict[str, float]:
        """Temperature of each loss now, learned or not."""
        with torch.no_grad():
            return {p.name: float(self._temperature(p.name)) for p in self.parts}

    def learned_settings(self) -> dict[str, dict[str, float]]:
        """Settings that a loss learns (the bias of bixse), as they are now, by loss."""
        names = {p.name: plugins.literal("losses", p.name, "LEARNED") or () for p in self.parts}
        with torch.no_grad():
            return {loss: {n: float(self.learned[f"{loss}_{n}"]) for n in own} for loss, own in names.items() if own}

    def _fixed(self, name: str) -> float:
        value = self.temperatures[name]
        assert value is not None, "prepare() or restore() comes before the first loss"
        return value

    def _temperature(self, name: str) -> float | Tensor:
        if self._learn_temperature:
            learned: Tensor = self.learned[f"{name}_log_temperature"]
            return learned.exp()
        return self._fixed(name)

    def _settings(self, part: Part, temperature: float | Tensor) -> Any:
        settings = {**part.settings, "temperature": temperature}
        for name in plugins.literal("losses", part.name, "LEARNED") or ():
            settings[name] = self.learned[f"{part.name}_{name}"]
        return self.modules_of[part.name].Config(**settings)

    def _check_spread(self, scores_BN: Tensor, own: View) -> None:
        """Warn once if a fixed temperature leaves logits too flat or too steep to learn from."""
        if self._is_checked:
            return
        self._is_checked = True
        values = own.scores(scores_BN.detach())[own.mask_BN].double()
        for part in self.parts:
            if part.name in self.measured or part.spread == 0 or len(values) < 2:
                continue
            temperature = self.current()[part.name]
            spread = float(values.std(unbiased=False)) / temperature
            if not SPREADS[0] <= spread <= SPREADS[1]:
                self._warn(
                    f"{part.name}: logits spread by {spread:.3g} at temperature {temperature:g}; "
                    f"{SPREADS[0]} to {SPREADS[1]} is usual. loss.temperature=auto measures one"
                )
