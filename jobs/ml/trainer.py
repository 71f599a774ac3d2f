"""The fine-tune: a run directory in, checkpoints and an adapter out, one event after the other on the way.

`Run.train` is the loop, top to bottom. A run is a pure function of its configuration, data and base: whatever
interrupts it, it resumes from its last checkpoint to the same weights, bit for bit on the same machine and number of
threads (and on any other, where each pass has a core: jobs.ml.lanes). It does not know who started it, who listens to
its events, or any database.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from jobs.ml import artefact, checkpoint, data, evaluation, memory, passes
from jobs.ml.inputs import Inputs
from jobs.ml.lanes import Lanes
from jobs.ml.model import Model, pick_device
from jobs.ml.parallel import Group
from jobs.ml.schedule import learning_rate
from jobs.ml.state import State, optimizer_tensors, restore_optimizer, restore_rng, rng_tensors
from jobs.ml.stop import Stop

CHECKPOINT_SECONDS = 120  # the most work a kill may cost, besides the step it interrupts


class Emit(Protocol):
    def __call__(self, kind: str, **values: object) -> None: ...


class Run:
    """One attempt at one fine-tune."""

    def __init__(
        self, run_dir: Path, attempt: int, emit: Emit, stop: Stop, *, threads: int = 0, fused: bool = True
    ) -> None:
        self.run_dir, self.attempt, self.stop = run_dir, attempt, stop
        self.inputs = Inputs.load(run_dir)
        self.config = self.inputs.config.train_config
        self.lengths, self.total = self.inputs.lengths, self.inputs.total_steps
        self.evaluate_at = self.inputs.evaluate_at
        self.group = Group()
        self.emit: Emit = emit if self.group.main else lambda kind, **values: None
        if threads:
            torch.set_num_threads(threads)
        device = pick_device(self.group.local_rank)
        if device.type == "cuda":
            torch.use_deterministic_algorithms(True, warn_only=True)
        self.emit("status", message="Loading the base model.")
        self.model = Model(
            Path(self.inputs.config.base_model_dir),
            self.config.lora,
            seed=self.config.seed,
            device=device,
            base_name=self.inputs.config.base_model,
            gradient_checkpointing=self.config.gradient_checkpointing,
            fused=fused,
        )
        self.optimizer = torch.optim.AdamW(
            self.model.masters.values(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay, fused=True
        )
        threads = torch.get_num_threads()
        self.lanes = Lanes(threads if self.model.lanes_may_share else 1, self.model.exact_products)
        self.state = State(threads=threads)
        self.speeds: deque[tuple[int, float]] = deque(maxlen=10)  # (tokens, seconds) of the last steps
        self.evaluation_seconds = 0.0

    def train(self, candidates: Sequence[Path] = ()) -> None:
        """Train to the end, from the first of the candidate checkpoints that is whole, or from scratch."""
        resumed_from = self._resume(candidates)
        state = self.state
        self.emit(
            "start",
            total_steps=self.total,
            rows=len(self.lengths),
            trainable_parameters=self.model.trainable,
            resumed_from=resumed_from,
            device=self.model.device.type,
            threads=state.threads,
        )
        self.saved_step, self.saved_at = -1 if resumed_from is None else resumed_from, time.monotonic()
        while True:
            ending = state.step > 0 and (state.step >= self.total or self._asked("finish"))
            if (state.step in self.evaluate_at or (ending and self.config.evals)) and state.evaluated != state.step:
                self._evaluate()
            if self._asked("pause"):
                if self.saved_step != state.step:
                    self._save()
                self.emit("stopped", step=state.step)
                return
            if ending or 0 < self.config.early_stop_patience <= state.without_better:
                break
            self._step()
            if time.monotonic() - self.saved_at > CHECKPOINT_SECONDS and state.step not in self.evaluate_at:
                self._save()
        self._finish()

    def _step(self) -> None:
        """One optimizer step. A pause abandons it half-way without a trace: the checkpoint is of the step before."""
        began, model, config, state = time.monotonic(), self.model, self.config, self.state
        examples, rows = self.inputs.train.examples, data.step_rows(len(self.lengths), config, state.step)
        carrying_loss = sum(examples[row].targets for row in rows)
        rng = rng_tensors(model.device)

        def one_pass(batch: list[int]) -> tuple[float, Sequence[torch.Tensor]] | None:
            if self.stop.pause and self.group.size == 1:
                return None
            # Divided by the tokens of the whole step, so that the loss of each token weighs the same in any grouping.
            part = model.loss([examples[row] for row in batch]) / carrying_loss
            return part.item(), model.gradients_of(part)

        loss = 0.0
        batches = passes.group(rows, self.lengths, config, accelerator=model.device.type != "cpu")
        for found in self.lanes.map(one_pass, self.group.share(batches)):
            if found is None:
                self.optimizer.zero_grad()
                restore_rng(model.device, rng)
                return
            loss += found[0]
            model.add_gradients(found[1])
        loss = self.group.total(loss, model.device)
        self.group.add_up(model.gradients())
        norm = float(torch.nn.utils.clip_grad_norm_(model.masters.values(), config.max_grad_norm or math.inf))
        state.watch(loss, norm)
        rate = learning_rate(config, state.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        model.publish()
        state.step += 1
        self._report_step(loss, rate, norm, sum(self.lengths[row] for row in rows), time.monotonic() - began)

    def _report_step(self, loss: float, rate: float, norm: float, tokens: int, seconds: float) -> None:
        state = self.state
        state.tokens += tokens
        state.seconds += seconds
        self.speeds.append((tokens, seconds))
        spent = sum(seconds for _, seconds in self.speeds)
        evaluations_ahead = sum(step > state.step for step in self.evaluate_at)
        ahead = spent / len(self.speeds) * (self.total - state.step) + self.evaluation_seconds * evaluations_ahead
        self.emit(
            "step",
            step=state.step,
            epoch=round(state.step / self.inputs.steps_per_epoch, 4),
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            tokens=state.tokens,
            tokens_per_second=round(sum(tokens for tokens, _ in self.speeds) / spent, 2),
            memory_bytes=self.model.memory_used(),
            eta_seconds=round(ahead, 1),
        )

    def _evaluate(self) -> None:
        """Loss, answers and a checkpoint. A pause leaves it undone, to be done on resume."""
        began, state = time.monotonic(), self.state
        if state.step == 0:
            self.emit("status", message="Evaluating the base first, to compare with.")
        loss = evaluation.validation_loss(self.model, self.inputs, self.lanes, self.group, self.stop)
        answers = evaluation.answers(self.model, self.inputs, self.stop) if self.group.main else []
        if self._asked("pause"):
            return
        folder = checkpoint.folder_for(self.run_dir, self.attempt, state.step)
        better = state.note_evaluation(loss, str(folder.relative_to(self.run_dir)))
        self.evaluation_seconds = time.monotonic() - began
        state.seconds += self.evaluation_seconds
        if loss is not None:
            self.emit("eval", step=state.step, loss=loss, best=better)
        for index, text in enumerate(answers):
            self.emit("sample", step=state.step, index=index, text=text)
        if state.step > 0:
            self._save(loss, better)

    def _save(self, loss: float | None = None, better: bool = False) -> None:
        state = self.state
        folder = checkpoint.folder_for(self.run_dir, self.attempt, state.step)
        if self.group.main:
            sha256 = checkpoint.save(
                folder,
                adapter=dict(self.model.masters),
                adapter_config=self.model.adapter_config(),
                optimizer=optimizer_tensors(self.optimizer, self.model.masters) | rng_tensors(self.model.device),
                state=dataclasses.asdict(state),
                facts={"step": state.step, **self.inputs.facts},
            )
            path = str(folder.relative_to(self.run_dir))
            self.emit("checkpoint", step=state.step, path=path, sha256=sha256, eval_loss=loss, best=better)
            checkpoint.prune(self.run_dir, self.attempt, state.best_path)
        self.group.wait()
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def _resume(self, candidates: Sequence[Path]) -> int | None:
        """Take over the first whole checkpoint; None means that the run starts from scratch."""
        for folder in candidates:
            try:
                found = checkpoint.load(folder, self.inputs.facts)
            except checkpoint.CheckpointDamaged as error:
                self.emit("status", message=f"A checkpoint cannot be used: {error} Looking for an older one.")
                continue
            threads, self.state = self.state.threads, State(**found.state)
            if self.state.threads != threads:
                was, self.state.threads = self.state.threads, threads
                message = f"Resuming with {threads} threads, not {was}: equal within rounding, if not bit for bit."
                self.emit("status", message=message)
            self.model.load(found.adapter)
            restore_optimizer(self.optimizer, self.model.masters, found.optimizer)
            restore_rng(self.model.device, found.optimizer)
            return self.state.step
        return None

    def _finish(self) -> None:
        """The best weights, as a folder that other programs load."""
        state, inputs = self.state, self.inputs
        adapter = dict(self.model.masters)
        if state.best_path and state.best_step != state.step:
            adapter = checkpoint.load(self.run_dir / state.best_path, inputs.facts).adapter
        metrics: dict[str, Any] = {
            "train_loss": sum(state.recent_losses) / len(state.recent_losses),
            "eval_loss": state.best_loss,
            "best_step": state.best_step or state.step,
            "trained_tokens": state.tokens,
            "seconds": round(state.seconds, 1),
            "peak_memory_bytes": max(memory.peak(), self.model.memory_peak()),
            "skipped_rows": inputs.train.skipped,
            "truncated_rows": inputs.train.truncated,
        }
        provenance: dict[str, Any] = {
            "base_model": inputs.config.base_model,
            **inputs.facts,
            "data_sha256": inputs.config.data_sha256 or inputs.facts["data_sha256"],
            "seed": self.config.seed,
            "versions": checkpoint.versions(),
            "device": self.model.device.type,
        }
        if self.group.main:
            target = self.run_dir / f"attempt-{self.attempt}" / "adapter"
            config = self.model.adapter_config()
            sha256 = artefact.write(target, inputs.config, adapter, config, metrics=metrics, provenance=provenance)
            self.emit(
                "done",
                step=state.step,
                path=str(target.relative_to(self.run_dir)),
                sha256=sha256,
                metrics=metrics,
                stopped_early=state.step < self.total,
                provenance=provenance,
            )
        self.group.wait()

    def _asked(self, what: str) -> bool:
        """Whether any process of the group was asked to "pause", or to "finish"."""
        return self.group.total(float(getattr(self.stop, what)), self.model.device) > 0
