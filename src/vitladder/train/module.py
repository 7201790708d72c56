"""The LightningModule: loss, held-out measures, clipping, and the seed of every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from vitladder.config import Config
from vitladder.train.model import PlacedTransformer, build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.schedule import factor
from vitladder.train.step import accumulate_gradient

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class HeldOut:
    """Means over the whole held-out split: cross-entropy, and top-1 and top-5 error rates."""

    loss: float
    error: float
    top5_error: float | None


class Classifier(lightning.LightningModule):
    """Trains a Vision Transformer to classify images.

    The step is written out (Lightning calls that manual optimization): Lightning's own costs twice
    as many hooks, which a step of 10 ms feels.
    """

    def __init__(self, config: Config, steps: int) -> None:
        """Build the model from the run's seed."""
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.steps = steps
        torch.manual_seed(config.seed)
        self.model: PlacedTransformer = build_model(config)
        self.grad_norm = torch.zeros(())
        self.learning_rate = 0.0
        self.held_out: HeldOut | None = None
        self._sums: list[Tensor] = []
        self._clip = config.optim.clip
        self._micro_batch = config.parallel.micro_batch
        if config.compile:
            self.model.compile_blocks()
        self._trained = [p for p in self.model.parameters() if p.requires_grad]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, classes] of images [B, channels, size, size]."""
        logits: Tensor = self.model(images)
        return logits

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and drop-path from (seed, step), so that a resumed run draws the same."""
        del batch, batch_idx
        seed = (self.config.seed << 32) + self.global_step
        # torch.manual_seed would seed every kind of device there is, for half a millisecond.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move images and labels to the device."""
        del dataloader_idx
        images, labels = batch
        return images.to(device), labels.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take one step and return its cross-entropy; labels are classes [B] or probabilities."""
        del batch_idx
        images, labels = batch
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)  # noqa: S101  # for the type checker
        assert isinstance(scheduler, LambdaLR)  # noqa: S101  # for the type checker
        optimizer.zero_grad()
        loss = accumulate_gradient(self.model, images, labels, self._micro_batch)
        self.grad_norm = torch.nn.utils.clip_grad_norm_(self._trained, self._clip)
        self.learning_rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start the sums anew."""
        self._sums = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the sums: images, loss, top-1 hits, top-5 hits."""
        del batch_idx
        images, labels = batch
        logits = self.model(images).float()
        loss = cross_entropy(logits, labels, reduction="sum")
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)
        hits = torch.stack([best[:, 0].sum(), best.any(dim=1).sum()])
        # In float32, which an Apple GPU has, a batch's loss and counts are exact enough.
        self._sums.append(
            torch.cat([loss.reshape(1), hits.float(), loss.new_tensor([len(labels)])])
        )

    def on_validation_epoch_end(self) -> None:
        """Turn the sums into means."""
        loss, top1, top5, count = torch.stack(self._sums).cpu().double().sum(dim=0).tolist()
        few = (self.config.model.classes or 0) <= 5
        self.held_out = HeldOut(loss / count, 1 - top1 / count, None if few else 1 - top5 / count)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return timm's optimizer with the schedule applied at every step."""
        optimizer = build_optimizer(self.config, self.model)
        scheduler = LambdaLR(optimizer, lambda step: factor(self.config.schedule, step, self.steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
