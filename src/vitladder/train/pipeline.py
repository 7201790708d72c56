"""Pipeline parallelism: every device has some of the blocks, and micro-batches pass through."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.distributed.pipelining.microbatch import TensorChunkSpec
from torch.nn.functional import cross_entropy

from vitladder.layout import share
from vitladder.train.model import PlacedTransformer
from vitladder.train.step import comparable


class Stage(nn.Module):
    """The part of a model that one device has: tokens or images in, tokens or logits out."""

    def __init__(self, model: PlacedTransformer, number: int, count: int) -> None:
        """Take stage `number` of `count`; what other stages have leaves the model."""
        super().__init__()
        self.model = model
        self.first, self.last = number == 0, number == count - 1
        keep_stage(model, number, count)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return tokens [B, seq, width], and on the last stage logits [B, classes].

        x are images [B, channels, rows, columns] on the first stage, elsewhere tokens; `kept` are
        drop-path's factors of all blocks, [2 * depth, B, 1, 1].
        """
        grid = self.model.grid_of_training
        if self.first:
            x, grid = self.model.embedded(x)
        tokens = self.model.through_blocks(x, grid, kept)
        return cast(Tensor, self.model.forward_head(tokens)) if self.last else tokens


class Pipeline:
    """One stage of several, with PyTorch's 1F1B schedule (Narayanan et al. 2019, section 3.2)."""

    def __init__(
        self, model: PlacedTransformer, number: int, count: int, batch: int, pieces: int
    ) -> None:
        """Cut the model's stage out of it, for batches of so many images in so many pieces."""
        self.stage = Stage(model, number, count)
        self._model = model
        self._number = number
        self._count = count
        self._batch = batch
        self._pieces = pieces
        self._schedule: Schedule1F1B | None = None

    def gradient(self, images: Tensor, labels: Tensor, kept: Tensor | None) -> Tensor:
        """Add the gradient of the batch's mean cross-entropy; return that mean x stages.

        Only the last stage has a loss; the others return 0, so that the mean over the stages is
        the batch's.
        """
        if self._schedule is None:
            self._schedule = self._new_schedule(images, kept)
        inputs = (images,) if self.stage.first else ()
        drawn: dict[str, Any] = {} if kept is None else {"kept": kept}
        losses: list[Tensor] = []
        target = labels if self.stage.last else None
        self._schedule.step(*inputs, target=target, losses=losses, **drawn)
        self._sum_shared_gradients()
        if not losses:
            return torch.zeros((), dtype=torch.float32, device=images.device)
        return torch.stack([loss.detach() for loss in losses]).sum() * self._count

    def logits(self, images: Tensor) -> Tensor | None:
        """Return logits [B, classes] on the last stage, None on the others."""
        if self.stage.first:
            x = images
        else:
            x = self._tokens_like(images)
            dist.recv(x, src=self._number - 1)
        out = cast(Tensor, self.stage(x))
        if self.stage.last:
            return out
        dist.send(out.contiguous(), dst=self._number + 1)
        return None

    def _new_schedule(self, images: Tensor, kept: Tensor | None) -> Schedule1F1B:
        # The first collective of a group lets NCCL connect all of it, which sends alone do not.
        dist.all_reduce(torch.zeros(1, device=images.device))
        piece = images[: self._batch // self._pieces]
        # That they need a gradient tells each stage to send it back.
        tokens = self._tokens_like(piece).requires_grad_()
        stage = PipelineStage(
            self.stage,
            self._number,
            self._count,
            images.device,
            input_args=piece if self.stage.first else tokens,
            output_args=self._logits_like(piece) if self.stage.last else tokens,
        )
        return Schedule1F1B(
            stage,
            self._pieces,
            loss_fn=self._share_of_loss,
            kwargs_chunk_spec=None if kept is None else {"kept": _of_images(1)},
            scale_grads=False,
        )

    def _share_of_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(comparable(logits), labels, reduction="sum") / self._batch

    def _sum_shared_gradients(self) -> None:
        """All stages have the encoding's parameters: their gradients are the sums over them."""
        for name in self._model.position_names:
            parameter = getattr(self._model, name)
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def _tokens_like(self, images: Tensor) -> Tensor:
        weight = next(self._model.parameters())
        rows, columns = self._model.grid_of_training
        seq = self._model.num_prefix_tokens + rows * columns
        return torch.empty(
            len(images), seq, self._model.embed_dim, dtype=weight.dtype, device=weight.device
        )

    def _logits_like(self, images: Tensor) -> Tensor:
        dtype = next(self._model.parameters()).dtype
        if torch.is_autocast_enabled(images.device.type):
            dtype = torch.get_autocast_dtype(images.device.type)
        return torch.empty(len(images), self._model.num_classes, dtype=dtype, device=images.device)


def _of_images(dim: int) -> TensorChunkSpec:
    return TensorChunkSpec(dim)  # type: ignore[no-untyped-call]


def keep_stage(model: PlacedTransformer, number: int, count: int) -> None:
    """Leave one stage of a model in place, in its own names; the encoding stays everywhere."""
    first, end = share(len(model.blocks), number, count)
    for block in range(len(model.blocks)):
        if not first <= block < end:
            model.blocks[block] = nn.Identity()
    if number > 0:
        model.patch_embed, model.norm_pre = nn.Identity(), nn.Identity()
        for token in ("cls_token", "reg_token"):
            if getattr(model, token) is not None and token not in model.position_names:
                delattr(model, token)
                setattr(model, token, None)
    if number < count - 1:
        model.norm, model.fc_norm, model.head = nn.Identity(), nn.Identity(), nn.Identity()
