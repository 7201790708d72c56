"""What devices send each other: collectives, and one training step under each parallelism.

Bytes are those that one device sends. Seconds follow the latency-bandwidth model of Thakur et al.
2005: every round costs the link's latency, every byte 1 / bandwidth; nothing overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitladder.compute.shape import Shape
from vitladder.errors import UserError


@dataclass(frozen=True)
class Link:
    """What one device sends over: `bandwidth` in bytes/s, and seconds of `latency` a round."""

    bandwidth: float
    latency: float = 0.0

    def seconds(self, sent: float, rounds: int) -> float:
        """Return how long so many bytes in so many rounds take."""
        return sent / self.bandwidth + rounds * self.latency


def reduce_scatter_bytes(size: float, world: int) -> float:
    """Return (P - 1) / P x size: all parts but one pass through every device of the ring."""
    return size * (_checked(world) - 1) / world


def all_gather_bytes(size: float, world: int) -> float:
    """Return (P - 1) / P x size; `size` is that of the whole that every device ends up with."""
    return reduce_scatter_bytes(size, world)


def all_reduce_bytes(size: float, world: int) -> float:
    """Return 2 (P - 1) / P x size: a ring's reduce-scatter and all-gather."""
    return reduce_scatter_bytes(size, world) + all_gather_bytes(size, world)


def reduce_scatter_seconds(size: float, world: int, link: Link) -> float:
    """Return the time of a ring's P - 1 rounds; an all-gather takes as long."""
    return link.seconds(reduce_scatter_bytes(size, world), world - 1)


def ring_all_reduce_seconds(size: float, world: int, link: Link) -> float:
    """Return 2 (P - 1) / P x size / bandwidth + 2 (P - 1) x latency (Patarasuk and Yuan 2009)."""
    return link.seconds(all_reduce_bytes(size, world), 2 * (world - 1))


def tree_rounds(world: int) -> int:
    """Return ceil(log2 P), the rounds in which every device can hear of every other."""
    return (_checked(world) - 1).bit_length()


def tree_all_reduce_seconds(size: float, world: int, link: Link) -> float:
    """Return ceil(log2 P) x (size / bandwidth + latency): all of it is sent in every round.

    By recursive doubling (Thakur et al. 2005, section 4.4): faster than a ring where latency rules.
    """
    rounds = tree_rounds(world)
    return link.seconds(rounds * size, rounds)


def data_parallel_bytes(n_params: int, world: int, element_size: int = 4) -> float:
    """Return what DDP sends in a step: one all-reduce of the gradients."""
    return all_reduce_bytes(n_params * element_size, world)


def fully_sharded_bytes(
    n_params: int, world: int, element_size: int = 4, gradient_size: int = 4
) -> float:
    """Return what FSDP2 sends in a step (Rajbhandari et al. 2020, ZeRO stage 3).

    Parameters of `element_size` are gathered for the forward and, having been freed, again for
    the backward; gradients of `gradient_size` are reduced and scattered.
    """
    gathered = 2 * all_gather_bytes(n_params * element_size, world)
    return gathered + reduce_scatter_bytes(n_params * gradient_size, world)


def tensor_parallel_bytes(
    shape: Shape, batch: int, world: int, element_size: int, gradient_size: int | None = None
) -> float:
    """Return what tensor parallelism sends in a step (Shoeybi et al. 2019, figure 4).

    Two all-reduces of the tokens [batch, seq, width] a block and direction: one for attention,
    one for the perceptron. Their gradients may have another size. Patch embedding and head are
    computed by every device.
    """
    both = element_size + (element_size if gradient_size is None else gradient_size)
    return 2 * shape.depth * all_reduce_bytes(_tokens(shape, batch) * both, world)


def pipeline_bytes(shape: Shape, batch: int, world: int, element_size: int) -> float:
    """Return what the busiest stage of a pipeline sends in a step of `batch` images.

    A stage in the middle sends tokens forward and their gradients backward; with two stages each
    sends one of both. Micro-batches change the number of messages, not the bytes.
    """
    directions = min(_checked(world) - 1, 2)
    return float(directions * _tokens(shape, batch) * element_size)


def _tokens(shape: Shape, batch: int) -> int:
    return batch * shape.tokens.seq * shape.width


def _checked(world: int) -> int:
    if world < 1:
        raise UserError(f"there must be at least 1 device, not {world}")
    return world
