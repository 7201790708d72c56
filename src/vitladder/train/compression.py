"""DDP whose gradients may be compressed on their way, on any device."""

# Without `annotations` of the future: DDP compares those of a hook with types, not with strings.
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch._C._distributed_c10d import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from vitladder.config import ParallelConfig

Hook = Callable[[Any, GradBucket], torch.futures.Future[torch.Tensor]]


class CompressingDDP(DDPStrategy):
    """DDP with PyTorch's communication hooks; `hook_calls` counts the buckets that they sent.

    Lightning registers hooks on CUDA alone and leaves them out elsewhere without a word.
    """

    def __init__(self, parallel: ParallelConfig) -> None:
        """Compress as the config says."""
        super().__init__()
        self._parallel = parallel
        self.hook_calls = 0

    def _register_ddp_hooks(self) -> None:
        if self._parallel.compress == "none":
            return
        assert isinstance(self.model, DistributedDataParallel)  # noqa: S101  # for the type checker
        state, hook = compression_hook(self._parallel)

        def counted(state: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
            self.hook_calls += 1
            return hook(state, bucket)

        self.model.register_comm_hook(state, counted)


def compression_hook(parallel: ParallelConfig) -> tuple[Any, Hook]:
    """Return PyTorch's hook and its state.

    Gradients in 16 bits, or matrices of low rank with the error fed back (PowerSGD, Vogels et al.
    2019, algorithm 2).
    """
    if parallel.compress == "fp16":
        return None, default_hooks.fp16_compress_hook
    if parallel.compress == "bf16":
        return None, default_hooks.bf16_compress_hook
    state = powerSGD_hook.PowerSGDState(
        process_group=None,
        matrix_approximation_rank=parallel.compress_rank,
        start_powerSGD_iter=parallel.compress_from,
    )
    return state, powerSGD_hook.powerSGD_hook
