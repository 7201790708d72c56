"""What can be wrong in the Triton kernels, each as one change of plugins/attention/_flash_*.py."""

# ruff: noqa: E501 (a mutant is a line)
from __future__ import annotations

from mutants import Mutant

FORWARD, BACKWARD, BLOCKS = "_flash_forward.py", "_flash_backward.py", "_flash_blocks.py"
BIAS, LAUNCH, OPS, FLASH = "_flash_bias.py", "_flash_launch.py", "_flash_ops.py", "flash.py"

PROBLEM, LAUNCH_BIAS = "_flash_problem.py", "_flash_launch_bias.py"

_CASES = [
    # Scores, shared by all kernels
    (BLOCKS, "scale forgotten", "logits * (scale * LOG2E)", "logits * LOG2E", "error_o"),
    (BLOCKS, "bias before the scaling", "logits + added * LOG2E", "logits + added * (scale * LOG2E)", "error_o"),
    (BLOCKS, "bias in base 2", "logits + added * LOG2E", "logits + added", "error_o"),
    (BLOCKS, "keys beyond the end not masked", "seen = n < N", "seen = n < N + BLOCK_N", "error_o"),
    (BLOCKS, "one key too many at a block's edge", "seen = n < N", "seen = n <= N", "error_o"),
    (BLOCKS, "one key too few", "seen = n < N", "seen = n < N - 1", "error_o"),
    (BLOCKS, "causal from the top left", "(n <= m + (N - M))", "(n <= m)", "error_o"),
    (BLOCKS, "causal off by one", "(n <= m + (N - M))", "(n < m + (N - M))", "error_o"),
    (BLOCKS, "stride of the channels assumed 1", "cols[None, :] * strides[3]", "cols[None, :]", "error_o"),
    (BLOCKS, "a load without a mask's value", "ROWS, COLS), other=0.0)", "ROWS, COLS))", "error_o"),
    (BLOCKS, "columns of a tile not masked", "if D != COLS:", "if D > COLS:", "error_o"),
    (BLOCKS, "rows of a tile not masked", "[:, None] < length", "[:, None] < length + ROWS", "error_o"),
    (BLOCKS, "bias rows and columns exchanged", "m * strides[2] + n * strides[3]", "m * strides[3] + n * strides[2]", "error_o"),
    (BLOCKS, "NaN in the backward of masked rows", "tl.where(natural == float(\"-inf\"), float(\"inf\"), natural * LOG2E)", "natural * LOG2E", "masked_rows"),
    (BLOCKS, "lse taken for base 2 in the backward", "float(\"inf\"), natural * LOG2E)", "float(\"inf\"), natural)", "error_dv"),
    # Forward
    (FORWARD, "softmax without its maximum", "highest = tl.maximum(top, tl.max(logits, 1))", "highest = top * 0.0 + tl.where(tl.max(logits, 1) > float(\"-inf\"), 0.0, 0.0)", "error_o"),
    (FORWARD, "maximum of the last block", "highest = tl.maximum(top, tl.max(logits, 1))", "highest = tl.max(logits, 1)", "error_lse"),
    (FORWARD, "sum not rescaled", "total = total * rescale + tl.sum(weights, 1)", "total = total + tl.sum(weights, 1)", "error_o"),
    (FORWARD, "values not rescaled", "mixed = mixed * rescale[:, None]", "mixed = mixed * 1.0", "error_o"),
    (FORWARD, "NaN for rows that see nothing", "total = tl.where(masked, 1.0, total)", "total = total + 0.0", "masked_rows"),
    (FORWARD, "NaN from -inf - -inf", "tl.where(highest == float(\"-inf\"), 0.0, highest)", "highest", "error_o"),
    (FORWARD, "lse in base 2", "(top + tl.log2(total)) * LN2", "(top + tl.log2(total))", "error_lse"),
    (FORWARD, "lse of another head", "lse + tl.cast(pair, tl.int64) * M", "lse + tl.cast(batch, tl.int64) * M", "error_lse"),
    (FORWARD, "accumulator in 16 bits", "        top = highest\n", "        top = highest\n        mixed = mixed.to(queries.dtype).to(tl.float32)\n", "rms"),
    (FORWARD, "causal skips a block too many", "start_m + BLOCK_M + N - M)", "start_m + N - M)", "error_o"),
    (PROBLEM, "TF32 dots", "\"PRECISION\": \"ieee\"", "\"PRECISION\": \"tf32\"", "error_o"),
    (FORWARD, "lse written past the end", "mask=rows < M", "mask=rows < M + 8", "canaries"),
    # Backward
    (BACKWARD, "delta dropped", "result = tl.sum(outputs * gradients, 1)", "result = tl.sum(outputs * gradients, 1) * 0.0", "error_dq"),
    (BACKWARD, "lse gradient dropped", "result -= tl.load(pointers, mask=inside, other=0.0)", "result -= 0.0", "error_dq"),
    (BACKWARD, "lse gradient of the wrong sign", "result -= tl.load(pointers", "result += tl.load(pointers", "error_dq"),
    (BACKWARD, "stride of dlse assumed", "rows.to(tl.int64) * dlse_strides[2]", "rows.to(tl.int64)", "error_dq"),
    (BACKWARD, "dK without scale", "key_gradient * scale", "key_gradient", "error_dk"),
    (BACKWARD, "dQ without scale", "query_gradient * scale", "query_gradient", "error_dq"),
    (BACKWARD, "dV of dP", "weights.to(gradients.dtype), gradients, value_gradient", "(weights * 1.01).to(gradients.dtype), gradients, value_gradient", "error_dv"),
    (BACKWARD, "dK accumulated in 16 bits", "slope.to(queries.dtype), queries, key_gradient,", "slope.to(queries.dtype), queries, key_gradient.to(queries.dtype).to(tl.float32),", "rms"),
    (BACKWARD, "causal begins a block late", "tl.maximum(start_n + M - N, 0) // BLOCK_M * BLOCK_M", "tl.maximum(start_n + M - N + BLOCK_M, 0) // BLOCK_M * BLOCK_M", "error_dk"),
    (BACKWARD, "first block of queries dropped in dK", "    begin = 0\n", "    begin = tl.where(M > BLOCK_M, BLOCK_M, 0)\n", "error_dk"),
    # Bias
    (BIAS, "bias gradient of one head for all", "head = bias_head + rest % heads", "head = bias_head", "error_dbias"),
    (BIAS, "bias gradient of one image for all", "batch = bias_batch + rest // heads", "batch = bias_batch", "error_dbias"),
    (BIAS, "bias gradient scaled like the scores", "total += weights * (slope", "total += scale * weights * (slope", "error_dbias"),
    (BIAS, "bias gradient written past the end", "inside = (m < M) & (n < N)", "inside = (m < M + 1) & (n < N)", "canaries"),
    # Launch and ops
    (LAUNCH, "one program too few", "-(-queries // tile.block_m) * batch * heads,\n        tile,\n        *problem.inputs, out, lse,", "max(1, queries // tile.block_m) * batch * heads,\n        tile,\n        *problem.inputs, out, lse,", "error_o"),
    (LAUNCH_BIAS, "a chunk of partial sums forgotten", "partial.sum(dims, keepdim=True)", "partial.narrow(dims[0], 0, 1).sum(dims, keepdim=True)", "error_dbias"),
    (PROBLEM, "broadcast bias read as if whole", "0 if size == 1 else stride", "stride", "error_o"),
    (OPS, "dK and dV exchanged", "launch.key_value_gradients(problem, above)", "launch.key_value_gradients(problem, above)[::-1]", "error_dk"),
    (OPS, "no gradient without q's", "wanted = sum(", "wanted = 0 if not needed[0] else sum(", "partial_grad"),
    (OPS, "the scores are kept", "ctx.save_for_backward(q, k, v, bias, *output)", "ctx.save_for_backward(q, k, v, bias, output[0], output[1][..., None].repeat(1, 1, 1, k.shape[2])[..., 0])", "memory"),
    (FLASH, "bias without a gradient", "bias = bias[(None,)", "bias = bias.detach()[(None,)", "error_dbias"),
    (FLASH, "scale always 1/sqrt(D)", "scale = q.shape[-1] ** -0.5 if scale is None else float(scale)", "scale = q.shape[-1] ** -0.5", "error_o"),
]  # fmt: skip

_RAISE = {"no gradient without q's"}
"""The empty gradient that the op returns has a wrong shape, which autograd refuses."""

MUTANTS = [
    Mutant(name, file, old, new, rule, raises=name in _RAISE)
    for file, name, old, new, rule in _CASES
]
