"""Train one adapter against the frozen backbone, and look at it on the way.

`validation` is all that judges here; the rows that a contract is decided on are never seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from modalities.text.answers import Description, ReadRows, answered_rows
from modalities.text.distillation_loss import distillation_loss
from modalities.text.encoding import encode_rows, endings
from modalities.text.outputs import answer_log_probs, cross_entropy
from modalities.text.sequences import Batch, batch_rows, collate, tokens_of_steps
from modalities.text.student_reading import student_reader
from modalities.text.student_rows import StudentRows
from targets.adapter.anchors import Anchors
from targets.adapter.low_rank import LowRank
from targets.adapter.recovery import LOSS, ROLL_BACKS, Recovery, Rows
from targets.adapter.settings import Settings
from targets.adapter.soft_prompts import SoftPrompts
from training.loop import Run, train
from training.watch import Watch

if TYPE_CHECKING:
    from modalities.metric import Metric

VALIDATION_BATCH = 64
# Anchors reach their full weight after this many times the learning rate's warm-up.
ANCHOR_WARMUP = 5


@dataclass(frozen=True)
class Validation:
    """What an adapter is judged on while it trains: rows, and the best teacher's scores on them, by
    the metric. soft: what the rows hold besides text; None where they hold text alone.
    """

    rows: Sequence[Mapping[str, Any]]
    description: Description
    metric: Metric
    teacher_scores: Sequence[float]
    soft: SoftPrompts | None = None


class AdapterTraining:
    """One adapter in training: the frozen weights beneath it, its rows, its validation.

    rows: what it learns from. validation: what it is judged on. soft: what the rows hold besides
    text; the projection that it goes through is trained as well.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: LowRank,
        rows: StudentRows,
        validation: Validation,
        settings: Settings,
        soft: SoftPrompts | None = None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._adapter = adapter
        self._soft = soft
        self._base = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.rows = rows
        self.validation = validation
        self.settings = settings
        weights = {"activation": settings.activation_anchor, "attention": settings.attention_anchor}
        wanted = {kind: weight for kind, weight in weights.items() if weight > 0}
        there = any(one.kind in wanted for one in rows.coefficients.values())
        self.anchors = Anchors(model, rows, wanted) if there else None
        if wanted and not there:
            text = (
                "no trace has a coefficient to hold on to, as where all key layers of a teacher are"
                " in its encoder: training goes without anchors"
            )
            warnings.warn(text, stacklevel=2)
        pairs = [(row["prompt"], row["answer"]) for row in validation.rows]
        ended = endings(validation.rows)
        encoded = encode_rows(tokenizer, validation.description.template, pairs, ended)
        prompts = [row.prompt_ids for row in encoded]
        answers = [row.answer_ids for row in encoded]
        order = sorted(range(len(encoded)), key=lambda i: len(prompts[i]) + len(answers[i]))
        self._probe = [
            _with_places(
                prompts, answers, order[start : start + VALIDATION_BATCH], validation.soft
            ).to(model.device)
            for start in range(0, len(order), VALIDATION_BATCH)
        ]

    def fit(
        self,
        run: Run,
        seed: int,
        progress: Callable[..., None],
        watch: Watch | None = None,
        earlier: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Train to the end of the run's schedule, looking at held-out rows on the way.

        What a look finds, and what is done about it, stands in the run's log (`recovery`).
        earlier: log entries of the rounds before this one.
        """
        settings, steps = self.settings, run.schedule.steps
        rows = self._learned_rows(seed)
        lengths = [rows.lengths[row] for row in rows.indices]
        # Steps that are trained again after a roll-back take the batches beyond the schedule's.
        plan = batch_rows(lengths, settings.batch, (1 + ROLL_BACKS) * steps, seed)
        tokens = tokens_of_steps(lengths, plan)

        def loss_at(step: int) -> Tensor:
            warmth = min(1.0, (step + 1) / (ANCHOR_WARMUP * settings.warmup_steps + 1))
            picked = plan[step + recovery.lost_steps]
            return self.loss_of([rows.indices[index] for index in picked], warmth)

        run.resume()
        recovery = Recovery(
            run,
            self,
            rows,
            steps=settings.recovery_steps,
            earlier=earlier,
            watch=watch,
            progress=progress,
        )
        every = settings.validate_every
        while True:
            due = run.step == steps or (run.step > 0 and run.step % every == 0)
            if due and not recovery.looked:
                recovery.look()
                run.save_in_time()
                # `train` leaves the step before a look to whoever looks.
                if watch is not None and run.step < steps:
                    watch.between_steps(run.step, run.save, recovery.tell)
            if run.step == steps:
                break
            until = min(run.step - run.step % every + every, steps)
            try:
                train(run, loss_at, progress, until=until, watch=watch, tokens=tokens)
            except ArithmeticError:
                if not recovery.diverged():
                    raise
        run.save()

    def loss_of(self, rows: list[int], anchors: float) -> Tensor:
        """What is minimised, on a batch of rows; anchors: factor on the weight of these."""
        batch = self._batch(rows)
        soft = self._soft.of_batch(rows) if self._soft is not None else None
        targets = self.rows.soft_targets(batch)
        weights = self._adapter.weights(self._base)
        kl_weight = self.settings.kl_weight
        if self.anchors is None:
            log_probs = answer_log_probs(self._model, batch, weights, soft)
            return distillation_loss(log_probs, batch.labels, targets, kl_weight)
        with self.anchors.watching():
            log_probs = answer_log_probs(self._model, batch, weights, soft)
        output = distillation_loss(log_probs, batch.labels, targets, kl_weight)
        return output + anchors * self.anchors.penalty(batch)

    def figures(self) -> dict[str, float]:
        """The held-out loss, and how far each anchor's held rows are from their teacher."""
        found = {LOSS: self.held_out_loss()}
        if self.anchors is not None:
            weights = self._adapter.weights(self._base)
            found |= self.anchors.held_deviations(self._model, weights)
        return found

    @torch.no_grad()
    def row_losses(self, rows: Sequence[int]) -> list[float]:
        """Negative log-likelihood of each row's answer, nats per token."""
        weights = self._adapter.weights(self._base)
        losses: list[float] = []
        for start in range(0, len(rows), VALIDATION_BATCH):
            picked = list(rows[start : start + VALIDATION_BATCH])
            batch = self._batch(picked)
            soft = self._soft.of_batch(picked) if self._soft is not None else None
            log_probs = answer_log_probs(self._model, batch, weights, soft)
            missed = functional.nll_loss(log_probs, batch.labels, reduction="none")
            sums = missed.new_zeros(len(picked)).index_add(0, batch.where[:, 0], missed)
            counts = [len(self.rows.answers[row]) for row in picked]
            losses += [total / count for total, count in zip(sums.tolist(), counts, strict=True)]
        return losses

    def _batch(self, rows: list[int]) -> Batch:
        batch = _with_places(self.rows.prompts, self.rows.answers, rows, self._soft)
        return batch.to(self._model.device)

    def _learned_rows(self, seed: int) -> Rows:
        """All rows but those on which the anchors are looked at."""
        held = set(self.anchors.held_rows) if self.anchors is not None else set()
        lengths = self.rows.lengths
        learned = [row for row in range(len(lengths)) if row not in held]
        return Rows(learned, lengths, self.settings.batch, seed)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All that training changes: the adapter, and where there are any the projection of what
        is not text and the anchors' maps.
        """
        maps = self.anchors.maps if self.anchors is not None else {}
        projection = self._soft.projection.parameters if self._soft is not None else {}
        return self._adapter.parameters | projection | maps

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Negative log-likelihood of the validation answers, nats per token."""
        weights = self._adapter.weights(self._base)
        total = count = 0.0
        for batch in self._probe:
            of_rows = self.validation.soft
            soft = of_rows.of_batch(batch.rows) if of_rows is not None else None
            loss = cross_entropy(answer_log_probs(self._model, batch, weights, soft), batch.labels)
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
            self._model,
            self._tokenizer,
            self.validation.rows,
            self.validation.description,
            read=self._reader(),
        )
        for name in self._adapter.a:
            parameters[name].copy_(self._base[name])
        return self.validation.metric.score_rows(self.validation.rows, answered)

    def _reader(self) -> ReadRows | None:
        """How the student reads the validation rows; None where they hold text alone."""
        soft = self.validation.soft
        if soft is None:
            return None
        places = {row["id"]: index for index, row in enumerate(self.validation.rows)}

        def of_row(row: Mapping[str, Any]) -> Tensor:
            return soft.of_row(places[row["id"]])

        template = self.validation.description.template
        return student_reader(self._model, self._tokenizer, template, of_row)

    def retained(self) -> float:
        """What it retains, on `validation`, of the teacher that is best there."""
        metric = self.validation.metric
        weights = metric.weights(self.validation.rows)
        return metric.retained(self.validation.teacher_scores, self.validation_scores(), weights)

    def state(self) -> dict[str, Tensor]:
        """A copy of all that training changes, as it stands."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])


def _with_places(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    rows: list[int],
    soft: SoftPrompts | None,
) -> Batch:
    """A batch that keeps places free for what the rows hold besides text."""
    places = None if soft is None else [soft.count(row) for row in rows]
    return collate(prompts, answers, rows, places)
