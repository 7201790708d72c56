"""Memory of training as closed forms: what lives from step to step, and the peak of a step.

Bytes of tensors on the device, as an allocator counts them: on a CPU the interpreter and its
libraries, about half a gigabyte, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from vitladder.compute.activations import Layer, activations, block_activations
from vitladder.compute.parameters import Parameters

# Numbers that timm's optimizers keep for each parameter: the moments, a momentum.
_KEPT = {
    1: "lion sgd sgdw momentum nesterov nesterovw signum",
    2: "adam adamw adamwlegacy nadam nadamw radam radamw adabelief adopt adoptw lamb lambw laprop",
    3: "mars adanw",
}


@dataclass(frozen=True)
class State:
    """Bytes that live from step to step."""

    parameters: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All bytes that live from step to step."""
        return sum(int(getattr(self, part.name)) for part in fields(self))


@dataclass(frozen=True)
class Batches:
    """Images in one step, at once in its forward, and at once in the held-out pass."""

    step: int
    micro: int
    held_out: int
    remat: bool = False


def optimizer_numbers(name: str, count: Parameters) -> int | None:
    """Return how many numbers an optimizer of timm keeps, or None where that is not known here.

    Muon keeps one momentum for matrices and Adam's two moments for the rest (Jordan et al. 2024).
    """
    if name in ("muon", "nmuon"):
        return 2 * count.total - count.matmul
    for kept, names in _KEPT.items():
        if name in names.split():
            return kept * count.total
    return None


def state(count: Parameters, optimizer: str, element: int, shards: int = 1) -> State | None:
    """Return parameters, gradients and optimizer state, each split over `shards` devices.

    None where the optimizer's state is not known.
    """
    numbers = optimizer_numbers(optimizer, count)
    if numbers is None:
        return None
    parameters = -(-count.total * element // shards)
    return State(parameters, parameters, -(-numbers * 4 // shards))


def peak(layer: Layer, count: Parameters, optimizer: str, batches: Batches) -> int | None:
    """Return the peak in bytes over training steps and held-out passes; None if not known.

    torch.compile keeps less than the eager step that this counts.
    """
    held = state(count, optimizer, layer.format.weight)
    if held is None:
        return None
    image = layer.shape.pixels * 4 + 8
    inputs = batches.step * image
    evaluation = held.total + batches.held_out * image + _forward(layer, batches)
    return max(held.total + inputs, evaluation, inputs + _step(layer, count, held, batches))


def _step(layer: Layer, count: Parameters, held: State, batches: Batches) -> int:
    """State and activations where they are highest: as the backward begins, or as it ends.

    In between, every block takes what it kept away and leaves its gradients. Those of a later
    micro-batch are added to the ones that are there already.
    """
    kept = activations(layer, batches.micro)
    # In float32 the images that are kept are the batch itself.
    outside = kept.bias + (kept.images if layer.mixed else 0)
    one_block = kept.block.total + _working(layer, batches.micro)
    copies = kept.weight_copies // kept.depth
    last = outside + one_block + copies
    if batches.remat:
        stream = batches.micro * layer.shape.tokens.seq * layer.shape.width * layer.format.weight
        begin, end = last + kept.ends + kept.depth * stream, last + stream
    else:
        begin, end = last + kept.ends + (kept.depth - 1) * (kept.block.total + copies), last
    if batches.micro < batches.step:
        return held.total + max(begin, end)
    own = count.hidden_matrices // kept.depth * layer.format.weight
    return held.parameters + held.optimizer + max(begin, held.gradients - own + end)


def _working(layer: Layer, batch: int) -> int:
    """What the backward of one block has alive beside what was kept.

    In the perceptron: the gradient of its output and of a hidden tensor. In attention, when what
    lies behind it is gone: the residual's gradient, dq, dk, dv, and what the kernel makes.
    """
    shape, numbers = layer.shape, layer.format
    tokens = batch * shape.tokens.seq
    row = tokens * shape.width
    perceptron = row * numbers.weight + tokens * shape.hidden * numbers.activation
    block = block_activations(layer, batch)
    own = layer.kernel.working_bytes(layer.call(batch), numbers.activation)
    gone = block.mlp + block.norms // 2 + block.projection + block.layer_scale
    attention = row * (numbers.weight + 3 * numbers.activation) + own - gone
    return max(perceptron, attention)


def _forward(layer: Layer, batches: Batches) -> int:
    """What a forward that keeps nothing has alive at once, in its perceptron or its attention."""
    shape, numbers = layer.shape, layer.format
    tokens = batches.held_out * shape.tokens.seq
    row = tokens * shape.width
    hidden = shape.mlp_products * tokens * shape.hidden * numbers.activation
    own = layer.kernel.working_bytes(layer.call(batches.held_out), numbers.activation)
    # Beside the packed queries, keys and values: changed or scaled ones, and the output.
    attention = tokens * (shape.qkv_width + 4 * shape.width) * numbers.activation + own
    # The embedded tokens, a block's input and what attention made of it.
    stream = 3 * row * numbers.weight + row * numbers.activation
    return stream + max(hidden, attention - row * numbers.weight)
