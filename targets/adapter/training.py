"""Train one adapter against the frozen backbone: watch, roll back, and try again when short.

`validation` is all that judges here; the rows that a contract is decided on are never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from targets.adapter.anchors import ActivationAnchors
from targets.adapter.low_rank import LowRank
from targets.adapter.settings import Settings
from targets.answers import Description, answered_rows
from targets.metrics import score_rows
from targets.teachers.encoding import encode_rows, endings
from targets.training.distillation import StudentRows, distillation_loss
from targets.training.loop import Run, train
from targets.training.outputs import answer_log_probs, cross_entropy
from targets.training.sequences import batch_rows, collate, tokens_of_steps
from targets.training.watch import Watch

# A held-out loss this many times the best one seen is damage, not noise.
DAMAGE = 1.5
VALIDATION_BATCH = 64
# Anchors reach their full weight after this many times the learning rate's warm-up.
ANCHOR_WARMUP = 5


@dataclass(frozen=True)
class Validation:
    """What an adapter is judged on while it trains."""

    rows: Sequence[Mapping[str, Any]]
    description: Description
    teacher_scores: Sequence[float]


class AdapterTraining:
    """One adapter in training: the frozen weights beneath it, its rows, its validation."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: LowRank,
        rows: StudentRows,
        validation: Validation,
        settings: Settings,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._adapter = adapter
        self._base = {name: p.detach().clone() for name, p in model.named_parameters()}
        self._rows = rows
        self._validation = validation
        self._settings = settings
        self.anchors = (
            ActivationAnchors(model, rows)
            if settings.activation_anchor > 0 and rows.coefficients
            else None
        )
        pairs = [(row["prompt"], row["answer"]) for row in validation.rows]
        ended = endings(validation.rows)
        encoded = encode_rows(tokenizer, validation.description.template, pairs, ended)
        prompts = [row.prompt_ids for row in encoded]
        answers = [row.answer_ids for row in encoded]
        order = sorted(range(len(encoded)), key=lambda i: len(prompts[i]) + len(answers[i]))
        self._probe = [
            collate(prompts, answers, order[start : start + VALIDATION_BATCH]).to(model.device)
            for start in range(0, len(order), VALIDATION_BATCH)
        ]

    def fit(
        self, run: Run, seed: int, progress: Callable[..., None], watch: Watch | None = None
    ) -> None:
        """Train to the end of the run's schedule, looking at the held-out loss on the way.

        Where it has risen past DAMAGE times the best, the best state is restored and the rest
        of the schedule runs at half the rate. Every such event stands in the log.
        """
        steps = run.schedule.steps
        lengths = self._rows.lengths
        plan = batch_rows(lengths, self._settings.batch, steps, seed)
        tokens = tokens_of_steps(lengths, plan)

        def loss_at(step: int) -> Tensor:
            batch = collate(self._rows.prompts, self._rows.answers, plan[step])
            batch = batch.to(self._model.device)
            weights = self._adapter.weights(self._base)
            if self.anchors is None:
                log_probs = answer_log_probs(self._model, batch, weights)
                return distillation_loss(log_probs, batch, self._rows, self._settings.kl_weight)
            with self.anchors.watching():
                log_probs = answer_log_probs(self._model, batch, weights)
            output = distillation_loss(log_probs, batch, self._rows, self._settings.kl_weight)
            warmth = min(1.0, (step + 1) / (ANCHOR_WARMUP * self._settings.warmup_steps + 1))
            anchor = self.anchors.deviation(batch)
            return output + self._settings.activation_anchor * warmth * anchor

        run.resume()
        if run.best is None:
            run.best = self.held_out_loss(), self.state()
        every = self._settings.validate_every
        while run.step < run.schedule.steps:
            until = min(run.step - run.step % every + every, steps)
            train(run, loss_at, progress, until=until, watch=watch, tokens=tokens)
            self._look(run)
            run.save_in_time()
        run.save()

    def _look(self, run: Run) -> None:
        loss = self.held_out_loss()
        run.log.append({"step": run.step, "validation_loss": round(loss, 6)})
        assert run.best is not None
        if loss <= run.best[0]:
            run.best = loss, self.state()
        elif loss > DAMAGE * run.best[0]:
            self.restore(run.best[1])
            run.rate /= 2
            run.log.append({"step": run.step, "event": "rolled back, rate halved"})

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All that training changes: the adapter, and the anchors' maps where there are any."""
        maps = self.anchors.maps if self.anchors is not None else {}
        return self._adapter.parameters | maps

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Negative log-likelihood of the validation answers, nats per token."""
        weights = self._adapter.weights(self._base)
        total = count = 0.0
        for batch in self._probe:
            loss = cross_entropy(answer_log_probs(self._model, batch, weights), batch.labels)
            total += loss.item() * len(batch.labels)
            count += len(batch.labels)
        return total / count

    @torch.no_grad()
    def validation_scores(self) -> list[float]:
        """The metric on `validation`, per row, by greedy decoding with the adapter merged in."""
        parameters = dict(self._model.named_parameters())
        for name, weight in self._adapter.weights(self._base).items():
            parameters[name].copy_(weight)
        self._model.eval()
        answered = answered_rows(
            self._model, self._tokenizer, self._validation.rows, self._validation.description
        )
        for name in self._adapter.a:
            parameters[name].copy_(self._base[name])
        return score_rows(self._settings.metric, self._validation.rows, answered)

    def state(self) -> dict[str, Tensor]:
        """A copy of the adapter as it stands."""
        return {name: p.detach().clone() for name, p in self._adapter.parameters.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
        for name, parameter in self._adapter.parameters.items():
            parameter.copy_(state[name])
