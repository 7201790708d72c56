"""Memory of training as closed forms: what lives from step to step, and the peak of a step.

Bytes of tensors on the device, as an allocator counts them: on a CPU the interpreter and its
libraries, about half a gigabyte, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from vitladder.compute.activations import Activations, Layer, activations, block_activations
from vitladder.compute.parameters import Parameters, parameters
from vitladder.compute.recompute import kept_bytes

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
    """Images in a device's step, at once in its forward, and at once in the held-out pass.

    Of a pipeline's micro-batches several are in flight: forward has been, backward not yet. It
    has a buffer for everything that it receives in a step: tokens of a micro-batch, or gradients.
    """

    step: int
    micro: int
    held_out: int
    remat: str = "none"
    in_flight: int = 1
    received: int = 0


@dataclass(frozen=True)
class Sharing:
    """How devices that train one model keep it: split over `shards`, or whole on each.

    `buckets` is how many further copies of the gradients each device has, to send them.
    """

    shards: int = 1
    buckets: int = 0


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


def state(
    count: Parameters, optimizer: str, element: int, shards: int = 1, averages: int = 0
) -> State | None:
    """Return parameters, gradients and optimizer state, each split over `shards` devices.

    The optimizer's numbers, and `averages` of the weights, have their format. None where they are
    not known.
    """
    numbers = optimizer_numbers(optimizer, count)
    if numbers is None:
        return None
    weights = -(-count.total * element // shards)
    numbers += averages * count.total
    return State(weights, weights, -(-numbers * element // shards))


def peak(
    layer: Layer,
    count: Parameters,
    optimizer: str,
    batches: Batches,
    sharing: Sharing = Sharing(),
    averages: int = 0,
) -> int | None:
    """Return the peak in bytes over training steps and held-out passes; None if not known.

    torch.compile keeps less than the eager step that this counts. Buffers of collectives are
    counted as FSDP's gathered blocks and DDP's buckets; what libraries of communication hold is
    not.
    """
    held = state(count, optimizer, layer.format.weight, sharing.shards, averages)
    if held is None:
        return None
    image = layer.shape.pixels * 4 + 8
    inputs = batches.step * image
    sharded = sharing.shards > 1
    step = (_sharded_step if sharded else _step)(layer, count, held, batches)
    evaluation = batches.held_out * image + _forward(layer, batches)
    evaluation += _gathered(layer, count) if sharded else 0
    # The weights are kept aside while their average is measured.
    evaluation += averages * held.parameters
    between = held.total + activations(layer, 1).weight_copies + max(inputs, evaluation)
    return sharing.buckets * held.gradients + max(between, inputs + step)


def _step(layer: Layer, count: Parameters, held: State, batches: Batches) -> int:
    """State and activations where they are highest: as the backward begins, or as it ends.

    In between, every block takes what it kept away and leaves its gradients. Those of a later
    micro-batch are added to the ones that are there already.
    """
    begin, end = _kept(layer, batches)
    if batches.micro < batches.step:
        return held.total + max(begin, end)
    own = count.hidden_matrices // layer.shape.depth * layer.format.weight
    return held.parameters + held.optimizer + max(begin, held.gradients - own + end)


def _sharded_step(layer: Layer, count: Parameters, held: State, batches: Batches) -> int:
    """As _step, where each device has a part of the weights and gathers what it computes with.

    Whole gradients are a block's for as long as it takes to reduce them; those of micro-batches
    are added up whole, and reduced after the last.
    """
    begin, end = _kept(layer, batches)
    gathered = _gathered(layer, count)
    if batches.micro < batches.step:
        gradients = count.total * layer.format.weight
        return held.parameters + held.optimizer + gradients + gathered + max(begin, end)
    reduced = held.gradients + gathered
    return held.parameters + held.optimizer + gathered + max(begin, reduced + end)


def _gathered(layer: Layer, count: Parameters) -> int:
    """What FSDP has whole at once: all that lies outside the blocks, a block, and the next one."""
    outside = parameters(replace(layer.shape, depth=0), count.position, layer.tensor).total
    blocks = (count.total - outside) * min(2, layer.shape.depth) // layer.shape.depth
    return (outside + blocks) * layer.format.weight


def _kept(layer: Layer, batches: Batches) -> tuple[int, int]:
    """Return the activations alive as the backward begins, and as it ends.

    Autocast is around the whole of a step, and keeps the weights that it casts for as long.
    """
    kept = activations(layer, batches.micro)
    # In float32 the images that are kept are the batch itself.
    outside = kept.bias + (kept.images if layer.format.activation != 4 else 0)
    last = outside + kept.block.total + _working(layer, batches.micro) + kept.weight_copies
    each = kept.block.total
    if batches.remat != "none":
        each = kept_bytes(layer, batches.micro, batches.remat)
        # What the last block kept is now among what it has computed again, or used up.
        last += kept_bytes(layer, batches.micro, "block")
    begin = last + kept.ends + (kept.depth - 1) * each
    # Made in the first micro-batch, the casts come last in the others' backward: until then the
    # narrow gradients of all weights wait.
    waiting = kept.weight_copies if batches.micro < batches.step else 0
    return begin + _piped(layer, kept, each, batches), last + waiting


def _piped(layer: Layer, kept: Activations, block: int, batches: Batches) -> int:
    """What a pipeline's other micro-batches keep, the tokens that were sent too, and its buffers.

    In float32 the images that are kept are the batch itself.
    """
    tokens = batches.micro * layer.shape.tokens.seq * layer.shape.width * layer.format.weight
    images = kept.images if layer.format.activation != 4 else 0
    each = images + kept.depth * block + tokens
    return (batches.in_flight - 1) * each + batches.received * tokens


def _working(layer: Layer, batch: int) -> int:
    """What the backward of one block has alive beside what was kept.

    In the perceptron: the gradient of its output and of a hidden tensor. In attention, when what
    lies behind it is gone: the residual's gradient, dq, dk, dv, and what the kernel makes.
    """
    shape, numbers = layer.shape, layer.format
    tokens = batch * shape.tokens.seq
    row = tokens * shape.width
    perceptron = row * numbers.weight + tokens * shape.hidden // layer.tensor * numbers.activation
    block = block_activations(layer, batch)
    own = layer.kernel.working_bytes(layer.call(batch), numbers.activation)
    gone = block.mlp + block.norms // 2 + block.projection + block.layer_scale
    gradients = row * numbers.weight + 3 * row // layer.tensor * numbers.activation
    attention = gradients + own - gone
    return max(perceptron, attention)


def _forward(layer: Layer, batches: Batches) -> int:
    """What a forward that keeps nothing has alive at once, in its perceptron or its attention."""
    shape, numbers = layer.shape, layer.format
    tokens = batches.held_out * shape.tokens.seq
    row = tokens * shape.width
    hidden = shape.mlp_products * tokens * shape.hidden // layer.tensor * numbers.activation
    own = layer.kernel.working_bytes(layer.call(batches.held_out), numbers.activation)
    # Beside the packed queries, keys and values: changed, scaled or widened ones, and the output.
    widened = layer.kernel.kept_inputs(layer.call(1), numbers.activation) == 0
    element = max(4, numbers.activation) if widened else numbers.activation
    made = shape.qkv_width * numbers.activation + 4 * shape.width * element
    attention = tokens * made // layer.tensor + own
    # The embedded tokens, a block's input and what attention made of it.
    stream = 3 * row * numbers.weight + row * numbers.activation
    return stream + max(hidden, attention - row * numbers.weight)
