"""What a training step keeps from the forward to the backward, as closed forms by part.

The bytes are those of the storages that eager autograd saves, each counted once: a test holds the
sum equal to what torch saves. Drop-path's masks, one number an image, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from vitladder.compute.formats import Format
from vitladder.compute.parameters import parameters
from vitladder.compute.shape import Shape, attention_shape
from vitladder.extend.attention import AttentionKernel, AttentionShape
from vitladder.extend.position import PositionEncoding


@dataclass(frozen=True)
class BlockActivations:
    """Bytes that one block keeps, by part."""

    norms: int
    qkv: int
    attention: int
    projection: int
    mlp: int
    layer_scale: int

    @property
    def total(self) -> int:
        """All bytes that one block keeps."""
        return sum(int(getattr(self, part.name)) for part in fields(self))


@dataclass(frozen=True)
class Activations:
    """Bytes kept for one micro-batch: `images` and `ends` lie before and behind the blocks.

    `bias` is the position bias that all blocks share, `weight_copies` are autocast's.
    """

    images: int
    block: BlockActivations
    depth: int
    bias: int
    ends: int
    weight_copies: int

    @property
    def total(self) -> int:
        """All bytes kept for the backward of one micro-batch."""
        outside = self.images + self.bias + self.ends + self.weight_copies
        return outside + self.depth * self.block.total


@dataclass(frozen=True)
class Layer:
    """What decides the memory of a block: sizes, kernel, encoding, and the number format.

    `tensor` devices have equal parts of its heads and hidden units; the rest of a block is whole
    on each of them.
    """

    shape: Shape
    kernel: AttentionKernel
    encoding: PositionEncoding
    format: Format
    tensor: int = 1

    @property
    def mixed(self) -> bool:
        """Whether products are in a narrower format than the weights."""
        return self.format.activation != self.format.weight

    @property
    def changes(self) -> bool:
        """Whether a norm or the encoding makes new queries and keys of the packed ones."""
        return self.shape.qk_norm or self.encoding.rotates

    @property
    def turns_inputs(self) -> bool:
        """Whether the encoding keeps the queries and keys that it is given."""
        return self.encoding.rotates and self.encoding.keeps_inputs

    @property
    def shares(self) -> bool:
        """Whether heads share keys and values, which are copied for them."""
        return self.shape.kv_heads != self.shape.heads

    def call(self, batch: int) -> AttentionShape:
        """Return the sizes of one layer's attention call."""
        bias, learns = self.encoding.biases, self.encoding.learns
        call = attention_shape(self.shape, batch)
        own = call.heads // self.tensor
        return replace(call, heads=own, bias=bias, bias_grad=bias and learns)


def activations(layer: Layer, batch: int) -> Activations:
    """Return what a forward of `batch` images keeps for its backward, in bytes."""
    shape, numbers = layer.shape, layer.format
    copies = numbers.activation if layer.mixed else 0
    return Activations(
        images=batch * shape.pixels * numbers.activation,
        block=block_activations(layer, batch),
        depth=shape.depth,
        bias=_bias(layer),
        ends=_ends(layer, batch),
        weight_copies=copies * parameters(shape, position=0, tensor=layer.tensor).matmul,
    )


def block_activations(layer: Layer, batch: int) -> BlockActivations:
    """Return what one block keeps for its backward, in bytes."""
    shape, element = layer.shape, layer.format.activation
    tokens = batch * shape.tokens.seq
    row = tokens * shape.width
    hidden = _hidden_kept(shape) * tokens * shape.hidden // layer.tensor
    return BlockActivations(
        norms=2 * _norm(shape, tokens, shape.width, layer.format.weight),
        qkv=row * element + _packed(layer, tokens) + _head_norms(layer, tokens),
        attention=_attention(layer, batch),
        projection=row // layer.tensor * element,
        mlp=(_inputs_kept(layer) * row + hidden) * element,
        layer_scale=2 * row * element if shape.layer_scale else 0,
    )


def _norm(shape: Shape, rows: int, width: int, element: int) -> int:
    """Input and statistics of norms of the stream, whose numbers have `element` bytes.

    A layer norm has two statistics a row, mean and deviation; an RMS norm has one, and torch's
    composite one keeps its normalised input too. (On a GPU statistics are float32 or wider.)
    """
    inputs = 1 if shape.norm_vectors == 2 else 2
    return (inputs * width + shape.norm_vectors) * rows * _of_norm(shape, element)


def _of_norm(shape: Shape, weight: int) -> int:
    """Bytes of a number in a norm with such weights: an RMS norm computes in float32 or wider."""
    return weight if shape.norm_vectors == 2 else max(4, weight)


def _head_norms(layer: Layer, tokens: int) -> int:
    """What the norms of queries and keys keep, beside the packed ones where these are the input."""
    shape = layer.shape
    if not shape.qk_norm:
        return 0
    rows = tokens * (shape.heads + shape.kv_heads) // layer.tensor
    # torch's RMS norm keeps 16-bit queries and keys widened, beside what it made of them.
    copies = (2 if layer.format.activation < 4 else 1) if shape.norm_vectors == 1 else 0
    kept = shape.norm_vectors + copies * shape.head_dim
    return kept * rows * _of_norm(shape, layer.format.weight)


def _packed(layer: Layer, tokens: int) -> int:
    """Return the bytes of queries, keys and values in one storage, kept if any view of it is."""
    shape = layer.shape
    read = layer.kernel.kept_inputs(layer.call(1), layer.format.activation) == 3
    views = not layer.changes or not layer.shares
    normed = shape.qk_norm and not (shape.norm_vectors == 1 and layer.format.activation < 4)
    if not (normed or (layer.turns_inputs and not shape.qk_norm) or (read and views)):
        return 0
    return tokens * shape.qkv_width // layer.tensor * layer.format.activation


def _attention(layer: Layer, batch: int) -> int:
    """Queries, keys and values that are not views of the packed ones, and what the kernel keeps.

    A kernel that reads them in place keeps its output too, laid out as its queries: unless these
    are views, that is not the projection's input.
    """
    shape, element = layer.shape, layer.format.activation
    call = layer.call(batch)
    rows = layer.kernel.kept_inputs(call, element)
    if rows == 3:
        rows = 2 * layer.changes + (layer.changes or layer.shares) + layer.shares
    if layer.turns_inputs:
        rows += shape.qk_norm + (shape.qk_norm or layer.shares)
    own = layer.kernel.saved_bytes(call, element)
    tokens = replace(shape.tokens, heads=call.heads)
    own += layer.encoding.saved_bytes(tokens, batch, element)
    return rows * batch * shape.tokens.seq * shape.width // layer.tensor * element + own


def _inputs_kept(layer: Layer) -> int:
    """How many copies of the perceptron's input are kept: autocast casts it for each product."""
    return 2 if layer.mixed and layer.shape.mlp_products == 3 else 1


def _hidden_kept(shape: Shape) -> int:
    """How many tensors as wide as the perceptron are kept."""
    if shape.mlp_products == 3:
        return 4
    return 1 if shape.activation == "relu" else 2


def _bias(layer: Layer) -> int:
    if not layer.encoding.biases:
        return 0
    return layer.shape.heads * layer.shape.tokens.seq**2 * layer.format.weight


def _ends(layer: Layer, batch: int) -> int:
    """The last norm, the head's input and the loss.

    With a class token all tokens are normalised, and in the weights' format the head keeps all of
    them; average pooling comes before the norm.
    """
    shape, numbers = layer.shape, layer.format
    rows = batch * shape.tokens.seq if shape.pool == "token" else batch
    head = (batch if layer.mixed else rows) * shape.width
    wide = max(4, numbers.activation)
    logits = batch * shape.classes * wide + batch * 8 + wide
    return _norm(shape, rows, shape.width, numbers.weight) + head * numbers.activation + logits
