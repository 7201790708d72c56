"""The LightningModule: loss, held-out measures, clipping, and the seed of every step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vitladder.config import Config
from vitladder.data.draws import SHARE, draws
from vitladder.layout import pieces, share
from vitladder.train.averaging import average_weights, averaged
from vitladder.train.clipping import clip_shared, copies_of
from vitladder.train.compression import CompressingDDP
from vitladder.train.fully_sharded import gather_no_more
from vitladder.train.model import PlacedTransformer, build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.parallel import share_model
from vitladder.train.pipeline import Pipeline
from vitladder.train.precision import LossScaling
from vitladder.train.schedule import factor
from vitladder.train.step import accumulate_gradient, comparable
from vitladder.train.world import World

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

    def __init__(self, config: Config, steps: int, world: World) -> None:
        """Build the whole model from the run's seed."""
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.steps = steps
        self.world = world
        torch.manual_seed(config.seed)
        self.model: PlacedTransformer = build_model(config)
        self.grad_norm = torch.zeros(())
        self.learning_rate = 0.0
        self.held_out: HeldOut | None = None
        self._sums: list[Tensor] = []
        self._pipeline: Pipeline | None = None
        self._held_out = ExitStack()
        self._optimizer: Optimizer
        self._shared = False
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._own = slice(*share(config.data.batch_size, world.data_rank, world.layout.data))

    def configure_model(self) -> None:
        """Leave on this device what is its own; Lightning calls it whenever a fit begins."""
        if self._shared:
            return
        self._shared = True
        layout, batch = self.world.layout, self.config.data.batch_size
        if layout.stages > 1:
            self._pipeline = Pipeline(
                self.model, self.world.rank, layout.stages, batch, pieces(self.config)
            )
        elif layout.splits_model:
            assert self.device_mesh is not None  # noqa: S101  # for the type checker
            share_model(self.model, self.config, self.device_mesh)
        if self.config.compile and layout.splits_model:
            self.model.compile_each_block(self.config.compile)
        elif self.config.compile:
            self.model.compile_blocks(self.config.compile)
        self._trained = [p for p in self.model.parameters() if p.requires_grad]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, classes] of images [B, channels, size, size]."""
        logits: Tensor = self.model(images)
        return logits

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed what is drawn from (seed, step), so that a resumed run draws the same."""
        del batch, batch_idx
        self._seed(0)

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
        loss = self._gradient(images, labels)
        plugin = self.trainer.precision_plugin
        skipped = 0
        if isinstance(plugin, LossScaling):
            plugin.unscale(optimizer.optimizer)
            skipped = plugin.skipped
        self.grad_norm = self._clipped()
        self.learning_rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        taken = not isinstance(plugin, LossScaling) or plugin.skipped == skipped
        if self.config.optim.ema is not None and taken:
            average_weights(optimizer.optimizer, self.config.optim.ema, self.global_step)
        return loss

    def _gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Add the gradient of this device's share; the mean over devices is the batch's loss."""
        # Drawn for the whole batch: an image's factors are the same on any number of devices.
        kept = self.model.draw_kept(self.config.data.batch_size)
        if self.world.data_rank:
            self._seed(self.world.data_rank)
        if self._pipeline is not None:
            return self._pipeline.gradient(images, labels, kept)
        return accumulate_gradient(
            self.model,
            images,
            labels,
            None if kept is None else kept[:, self._own],
            pieces=pieces(self.config),
            of=self.config.data.batch_size / self.world.layout.data,
            backward=self._backward,
        )

    def _backward(self, loss: Tensor, last: bool) -> None:
        """Gradients are sent when the last micro-batch has added its own."""
        layout = self.world.layout
        if layout.sharded:
            assert isinstance(self.model, FSDPModule)  # noqa: S101  # for the type checker
            self.model.set_requires_gradient_sync(last)
        if layout.devices == 1 and not isinstance(self.trainer.precision_plugin, LossScaling):
            # Lightning's own backward calls hooks that a step of 10 ms feels.
            torch.autograd.backward(loss)
            return
        strategy = self.trainer.strategy
        if isinstance(strategy, CompressingDDP) and not last:
            with strategy.block_backward_sync():
                self.manual_backward(loss)
        else:
            self.manual_backward(loss)

    def _clipped(self) -> Tensor:
        """Clip the gradient, and return the norm that it had."""
        layout, most = self.world.layout, self.config.optim.clip
        if layout.stages > 1:
            everywhere = {id(getattr(self.model, name)) for name in self.model.position_names}
            copies = [layout.stages if id(p) in everywhere else 1 for p in self._trained]
            return clip_shared(self._trained, copies, most)
        if layout.splits_model:
            copies = [copies_of(p, layout.devices) for p in self._trained]
            return clip_shared(self._trained, copies, most)
        return torch.nn.utils.clip_grad_norm_(self._trained, most)

    def _seed(self, share: int) -> None:
        """Seed the generators for this step; shares of a batch draw apart, parts of a layer alike.

        What a plugin draws for itself is meant; the first share draws as one process does.
        """
        seed = (self.config.seed << 32) + self.global_step
        if share:
            seed = int(draws(seed, SHARE, share)[0] >> 1)
        # torch.manual_seed would seed every kind of device there is, for half a millisecond.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_validation_epoch_start(self) -> None:
        """Start the sums anew; they are of the weights' average where there is one."""
        self._sums = []
        if self.config.optim.ema is not None:
            self._held_out.callback(gather_no_more, self.model)
            self._held_out.enter_context(averaged(self._optimizer))
            gather_no_more(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the sums: images, loss, top-1 hits, top-5 hits."""
        del batch_idx
        images, labels = batch
        logits = self.model(images) if self._pipeline is None else self._pipeline.logits(images)
        if logits is None:
            return  # the last stage of the pipeline has them
        logits = comparable(logits)
        loss = cross_entropy(logits, labels, reduction="sum")
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels.unsqueeze(1)
        hits = (best[:, 0].sum(), best.any(dim=1).sum())
        # In the loss's format, float32 or more, a batch's counts are exact.
        self._sums.append(
            torch.stack([loss, *(count.to(loss.dtype) for count in (*hits, (labels >= 0).sum()))])
        )

    def on_validation_epoch_end(self) -> None:
        """Turn the sums into means, and give the weights back."""
        self._held_out.close()
        mine = torch.zeros(4, dtype=torch.float64)
        if self._sums:
            mine = torch.stack(self._sums).cpu().double().sum(dim=0) / self.world.layout.tensor
        loss, top1, top5, count = self.world.sum(mine).tolist()
        few = (self.config.model.classes or 0) <= 5
        self.held_out = HeldOut(loss / count, 1 - top1 / count, None if few else 1 - top5 / count)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return timm's optimizer with the schedule applied at every step."""
        optimizer = self._optimizer = build_optimizer(self.config, self.model)
        scheduler = LambdaLR(optimizer, lambda step: factor(self.config.schedule, step, self.steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
