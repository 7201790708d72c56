"""Layout: how the devices of a run share its work."""

from __future__ import annotations

from dataclasses import dataclass

from vitladder.config import Config, ParallelConfig

KINDS = ("single", "ddp", "fsdp", "tp", "fsdp_tp", "pipeline")


@dataclass(frozen=True)
class Layout:
    """Devices = data x tensor x stages; ranks count tensor devices first, then data, as a mesh.

    `data` groups have a share of the batch each, `tensor` devices share each layer, `stages` have
    some of the blocks each. `sharded`: weights and optimizer state are split over the data groups.
    """

    data: int = 1
    tensor: int = 1
    stages: int = 1
    sharded: bool = False

    @property
    def devices(self) -> int:
        """All devices of the run."""
        return self.data * self.tensor * self.stages

    @property
    def splits_model(self) -> bool:
        """Whether a device has only a part of the weights."""
        return self.sharded or self.tensor > 1 or self.stages > 1

    def data_rank(self, rank: int) -> int:
        """Return which share of the batch a rank has."""
        return rank // self.tensor % self.data

    def tensor_rank(self, rank: int) -> int:
        """Return which part of each layer a rank has."""
        return rank % self.tensor


def layout_of(parallel: ParallelConfig) -> Layout:
    """Return the layout of a validated config."""
    world = parallel.devices * parallel.nodes
    tensor = parallel.tensor or 1
    return {
        "single": Layout(),
        "ddp": Layout(data=world),
        "fsdp": Layout(data=world, sharded=True),
        "tp": Layout(tensor=world),
        "fsdp_tp": Layout(data=world // tensor, tensor=tensor, sharded=True),
        "pipeline": Layout(stages=world),
    }[parallel.name]


def share(count: int, rank: int, of: int) -> tuple[int, int]:
    """Return the first and one past the last of `count` things that a rank has.

    The shares lie one after the other; where they cannot be equal, the first have one more.
    """
    each, more = divmod(count, of)
    first = rank * each + min(rank, more)
    return first, first + each + (rank < more)


def pieces(config: Config) -> int:
    """Return into how many micro-batches a device's share of the batch goes.

    A pipeline is filled by many small ones: unless parallel.micro_batch says otherwise, the most
    equal ones up to four for each of its stages (the bubble is (P - 1) / (pieces + P - 1) of the
    time; Narayanan et al. 2021, section 2.2).
    """
    layout = layout_of(config.parallel)
    batch, micro_batch = config.data.batch_size, config.parallel.micro_batch
    if layout.stages > 1 and micro_batch is None:
        return next(n for n in range(4 * layout.stages, 0, -1) if batch % n == 0)
    most = -(-batch // layout.data)
    return -(-most // (micro_batch or most))
