"""The LightningModule: what a training step, a validation and a checkpoint are."""

import math
import random
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from seq2seq import checkpoint
from seq2seq.attention import record_attention
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.search import Search
from seq2seq.errors import UserError
from seq2seq.evaluation.evaluator import Evaluation, Evaluator
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import Site
from seq2seq.training.coverage import CoverageLoss
from seq2seq.training.guidance import Guidance
from seq2seq.training.learning import optimizer_and_schedule
from seq2seq.training.loss import token_loss

SEEN = ("entropy", "saturation", "sink_mass", "nowhere")
"""Statistics of each layer, the mean over its heads, that are logged at every validation."""


class TranslationModule(lightning.LightningModule):
    """Trains an encoder-decoder with label-smoothed cross-entropy over real target tokens.

    Args:
        model: what is trained.
        tokenizers: stored in its checkpoints.
        search: finds translations at validation.
        evaluator: called with a split's name, and whose weights are the alignment where that is chosen; scores it.
        optimizer: called with the named parameters.
        scheduler: Lightning's scheduler options, whose `scheduler` is called with the optimizer.
        label_smoothing: share of the uniform distribution mixed into the targets, 0 to 1.
        r_drop: weight of the divergence between two passes with different dropout (Liang et al. 2021); 0 for one pass.
        guidance: trains one head on gold links, which batches must then have; None for no such loss.
        coverage: punishes looking at a source word again; None for no such loss.
        compiled: whether torch.compile makes the loss's kernels; the model's parts are compiled by themselves.
        config: the run's composed configuration as plain data, stored in its checkpoints.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        *,
        tokenizers: Tokenizers,
        search: Search,
        evaluator: Callable[..., Evaluator],
        optimizer: Callable[..., Optimizer],
        scheduler: Mapping[str, Any],
        label_smoothing: float,
        r_drop: float = 0.0,
        guidance: Guidance | None = None,
        coverage: CoverageLoss | None = None,
        compiled: bool = False,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(f"training.label_smoothing={label_smoothing} must be from 0 to below 1, such as 0.1")
        if not 0 <= r_drop < math.inf:
            raise UserError(f"training.r_drop={r_drop} must be 0 (off) or above, such as 5")
        if compiled and (guidance or coverage):
            name = "guided_alignment" if guidance else "coverage"
            raise UserError(
                f"training.{name} reads attention weights, which a compiled model does not show; "
                f"leave out training.compile or training.{name}"
            )
        self.model = model
        self.tokenizers = tokenizers
        self.search = search
        self.make_evaluator = evaluator
        self.make_optimizer = optimizer
        self.scheduler = scheduler
        self.label_smoothing = label_smoothing
        self.r_drop = r_drop
        self.passes = 2 if r_drop else 1  # of a training step through the model
        self.guidance = guidance
        self.coverage = coverage
        self.compiled = compiled
        self.config = config
        self.alignment: AlignmentChoice | None = None
        self.evaluation: Evaluation | None = None  # of the latest validation or test
        self.batch: Batch | None = None  # the latest of training, for messages
        self._evaluator: Evaluator | None = None
        self._step = _Step()

    def on_train_batch_start(self, _: Batch, batch_index: int) -> None:
        """Let this step's random numbers follow from seed, epoch, step and process alone.

        So a resumed run draws what it would have drawn, and there is no random state to keep.
        """
        place = (self.config["seed"], self.trainer.current_epoch, batch_index, self.global_rank)
        seed = int(np.random.SeedSequence(place).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        # `torch.manual_seed` would write down a stack for each kind of device that is not here: a part of a small step.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss, summed over real target tokens. Nothing in here waits for the device."""
        self.batch = batch
        seen = batch.twice() if self.passes == 2 else batch
        watched = {self.guidance.name} if self.guidance else set()
        watched.update(self.coverage.names if self.coverage else ())
        with torch.compiler.set_stance("default") if self.compiled else nullcontext():
            with record_attention(self.model, names=watched, detach=False) as record:
                features = self._features(seen)
            loss = token_loss(
                features.unflatten(0, (self.passes, -1)),
                self.model.output.weight,
                batch.target_output,
                bias=self.model.output.bias,
                label_smoothing=self.label_smoothing,
                r_drop=self.r_drop,
                compiled=self.compiled,
            )
        objective, sums = loss.objective, {"loss": loss.objective, "perplexity": loss.negative_log_likelihood}
        if self.passes == 2:
            sums["divergence"] = loss.divergence
        if self.guidance and seen.link_weights is not None:
            sums["guidance"] = self.guidance.loss(record, seen.link_weights) / self.passes
            objective = objective + self.guidance.weight * sums["guidance"]
        if self.coverage:
            sums["coverage"] = self.coverage.loss(record, seen.target_indices) / self.passes
            objective = objective + self.coverage.weight * sums["coverage"]
        self._step.add(batch, sums)
        # Of a plain number Lightning makes a tensor on the device, and waits for it.
        self.log("train/padding_share", torch.tensor(batch.padding_share), batch_size=batch.num_tokens)
        return objective

    def _features(self, batch: Batch) -> Tensor:
        return self.model.features(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule, as Lightning wants them."""
        learning = ((name, x) for name, x in self.model.named_parameters() if x.requires_grad)  # the rest is frozen
        return optimizer_and_schedule(learning, self.make_optimizer, self.scheduler, self.trainer)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Turn the gradient of a sum into that of the mean over a step's tokens, clip its norm, and log.

        The tokens of all processes and all accumulated batches count alike, so two processes learn what one would from
        both their batches.
        """
        step, self._step = self._step, _Step()
        processes = self.trainer.world_size
        totals = step.totals(self.device)
        if processes > 1:
            totals = self.trainer.strategy.reduce(totals, reduce_op="sum")
        # Lightning divides the loss by the batches that are accumulated, and the gradient by the processes.
        scale = self.trainer.accumulate_grad_batches * processes / totals[0]
        gradients = [x.grad for group in optimizer.param_groups for x in group["params"] if x.grad is not None]
        # In float16 the square of a sum over a batch's tokens is soon infinite.
        exact = [gradient.to(torch.promote_types(gradient.dtype, torch.float32)) for gradient in gradients]
        norm = torch.nn.utils.get_total_norm(exact) * scale
        if isinstance(self.trainer.strategy, FSDPStrategy):  # each process has a part of every gradient
            norm = self.trainer.strategy.reduce(norm.square(), reduce_op="sum").sqrt()
        if gradient_clip_val is not None:
            scale = scale * (gradient_clip_val / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, scale)
        self.log("train/gradient_norm", norm)
        means = dict(zip(step.names, (totals[1:] / totals[0]).unbind(), strict=True))
        means["perplexity"] = means["perplexity"].exp()
        self.log_dict({f"train/{name}": mean for name, mean in means.items()})

    def on_validation_epoch_start(self) -> None:
        """Begin to score the validation set."""
        self._evaluator = self.make_evaluator("val")

    def validation_step(self, batch: Batch, _: int) -> None:
        """Score one batch."""
        assert self._evaluator is not None
        self._evaluator.update(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the scores, of what all processes have validated, and keep whose weights align best."""
        assert self._evaluator is not None
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, self._evaluator.collected())
            self._evaluator = self.make_evaluator("val")
            for part in parts:  # in the same order everywhere, so that all come to the same figures
                self._evaluator.merge(*part)
        self.evaluation = self._evaluator.compute()
        self._evaluator = None
        self.alignment = self.evaluation.alignment
        self.log_dict({f"val/{name}": value for name, value in self.evaluation.metrics.items()})
        for row in self.evaluation.heads:
            if row["head"] is None:
                site = Site(row["kind"], row["layer"])
                self.log_dict({f"attention/{name}/{site}": row[name] for name in SEEN})

    def on_save_checkpoint(self, content: dict[str, Any]) -> None:
        """Add what makes the checkpoint self-contained."""
        content[checkpoint.KEY] = checkpoint.pack(self.config, self._tokenizer_models(), self.alignment)

    def on_load_checkpoint(self, content: dict[str, Any]) -> None:
        """Take back the choice of the alignment.

        Raises:
            UserError: the checkpoint's vocabulary is another, so that its weights would mean other words.
        """
        if content[checkpoint.KEY]["tokenizers"] != self._tokenizer_models():
            raise UserError("the vocabulary is not that of the checkpoint: its tokenizers were trained on other data")
        stored = content[checkpoint.KEY]["alignment"]
        self.alignment = None if stored is None else AlignmentChoice(*stored)

    def _tokenizer_models(self) -> list[bytes]:
        source, target = self.tokenizers
        return [tokenizer.model_proto for tokenizer in ((source,) if source is target else (source, target))]


class _Step:
    """What one step of the optimizer has seen: on this process, over the batches that are accumulated."""

    def __init__(self) -> None:
        self.names: list[str] = []  # of the sums
        self._tokens = 0
        self._sums: list[Tensor] = []

    def add(self, batch: Batch, sums: Mapping[str, Tensor]) -> None:
        """Add a batch, and what its tokens' losses sum up to."""
        self.names = list(sums)
        self._tokens += batch.num_tokens
        self._sums.append(torch.stack(list(sums.values())).detach())

    def totals(self, device: torch.device) -> Tensor:
        """Return the number of tokens and the sums, in one tensor."""
        tokens = torch.full((1,), self._tokens, dtype=torch.float32, device=device)
        return torch.cat((tokens, torch.stack(self._sums).sum(0).float()))
