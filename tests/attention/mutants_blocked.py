"""What can be wrong in a FlashAttention-2, each as one change of blocked.py."""

# ruff: noqa: E501 (a mutant is a line)
from __future__ import annotations

from mutants import Mutant

_CASES = [
    # Forward
    ("scale forgotten", "s = q @ k.T * self.scale", "s = q @ k.T", "error_o"),
    ("scale is 1/sqrt(D), whatever is asked", "q @ k.T * self.scale", "q @ k.T * q.shape[1] ** -0.5", "error_o"),
    ("bias before the scaling", "s = q @ k.T * self.scale\n", "s = q @ k.T\n", "error_o"),
    ("bias forgotten", "s = s + load(self.bias, b, h, rows, keys)", "pass", "error_o"),
    ("bias of the first head for all", "load(self.bias, b, h, rows, keys)", "load(self.bias, b, 0, rows, keys)", "error_o"),
    ("keys beyond the end not masked", "keys[None, :] >= self.k.shape[2]", "keys[None, :] >= 2**20", "error_o"),
    ("one key too few", "keys[None, :] >= self.k.shape[2]", "keys[None, :] >= self.k.shape[2] - 1", "error_o"),
    ("one key too many at a block's edge", ">= self.k.shape[2], -INF", "> self.k.shape[2], -INF", "error_o"),
    ("last partial block dropped", "return range(0, length, BLOCK)", "return range(0, max(BLOCK, length // BLOCK * BLOCK), BLOCK)", "error_o"),
    ("causal from the top left", "offset = self.k.shape[2] - self.q.shape[2]", "offset = 0", "error_o"),
    ("causal off by one", "> rows[:, None] + offset", ">= rows[:, None] + offset", "error_o"),
    ("causal sees one key of the future", "> rows[:, None] + offset", "> rows[:, None] + offset + 1", "causality"),
    ("softmax without its maximum", "highest = torch.maximum(top, s.amax(1))", "highest = torch.zeros_like(top)", "error_o"),
    ("sum not rescaled", "total = total * rescale + p.sum(1)", "total = total + p.sum(1)", "error_o"),
    ("values not rescaled", "mixed = mixed * rescale[:, None] + ", "mixed = mixed + ", "error_o"),
    ("NaN for rows that see nothing", "torch.where(masked, 1.0, total)[:, None]", "total[:, None]", "masked_rows"),
    ("masked rows: NaN from -inf - -inf", "shift = torch.where(highest == -INF, 0.0, highest)", "shift = highest", "error_o"),
    ("lse in base 2", "(top + torch.log2(total)) * LN2", "top + torch.log2(total)", "error_lse"),
    ("lse without the maximum", "(top + torch.log2(total)) * LN2", "torch.log2(total) * LN2", "error_lse"),
    ("lse of a masked row is 0", "torch.where(masked, -INF, (top", "torch.where(masked, 0.0, (top", "masked_rows"),
    ("lse in the dtype of q", "return out, lse\n\n\ndef backward", "return out, lse.to(call.q.dtype)\n\n\ndef backward", "contract"),
    ("output in bf16 between blocks", "                top = highest\n", "                top, mixed = highest, mixed.to(call.q.dtype).float()\n", "rms"),
    ("output truncated", "store(out, b, h, rows, cols, mixed)", "if out.dtype == torch.bfloat16:\n                mixed = (mixed.view(torch.int32) & -65536).view(torch.float32)\n            store(out, b, h, rows, cols, mixed)", "signed"),
    # Memory
    ("stride of the rows assumed", "rows[:, None] * sm", "rows[:, None] * x.shape[3]", "error_o"),
    ("stride of the channels assumed 1", "cols[None, :] * sd", "cols[None, :]", "error_o"),
    ("storage offset forgotten", "return x.storage_offset() + b * sb", "return b * sb", "error_o"),
    ("columns of a load not masked", "inside = (rows < x.shape[2])[:, None] & (cols < x.shape[3])[None, :]\n    where", "inside = (rows < x.shape[2])[:, None] & (cols >= 0)[None, :]\n    where", "error_o"),
    ("rows of a load not masked", "inside = (rows < x.shape[2])[:, None] & (cols < x.shape[3])[None, :]\n    where", "inside = (rows >= 0)[:, None] & (cols < x.shape[3])[None, :]\n    where", "error_o"),
    ("writes a row past the end", "    storage(x)[pointers", "    inside = (rows <= x.shape[2])[:, None] & (cols < x.shape[3])[None, :]\n    storage(x)[pointers", "canaries"),
    ("writes columns past the end", "    storage(x)[pointers", "    inside = (rows < x.shape[2])[:, None] & (cols >= 0)[None, :]\n    storage(x)[pointers", "canaries"),
    ("first row of the output not written", "store(out, b, h, rows, cols, mixed)", "store(out, b, h, rows[1:], cols, mixed[1:])", "error_o"),
    ("writes into q", "    q, k, v, bias, causal, scale = args\n", "    q, k, v, bias, causal, scale = args\n        q.data.mul_(1.0001)\n", "untouched"),
    ("state kept between calls", "def forward(call: Call) -> tuple[Tensor, Tensor]:\n", "SEEN: list[int] = []\n\n\ndef forward(call: Call) -> tuple[Tensor, Tensor]:\n    SEEN.append(1)\n    call = Call(call.q * (1 + len(SEEN) * 1e-7), *(call.k, call.v, call.bias, call.causal, call.scale))\n", "repeatable"),
    ("keeps the scores", "ctx.save_for_backward(q, k, v, bias, out, lse)", "ctx.save_for_backward(q, k, v, bias, out, lse, q @ k.mT)", "memory"),
    ("keeps the scores as an attribute", "ctx.options = (causal, scale)", "ctx.options = (causal, scale)\n        ctx.kept = q @ k.mT", "memory"),
    ("lets autocast round the factors", "torch.autocast(q.device.type, enabled=False)", "torch.autocast(q.device.type, enabled=torch.is_autocast_enabled(q.device.type))", "autocast"),
    # Backward
    ("wrong scale in dQ", "ds @ k * call.scale)", "ds @ k * call.q.shape[3] ** -0.5)", "error_dq"),
    ("dK without scale", "store(dk, b, h, keys, cols, dk_block * call.scale)", "store(dk, b, h, keys, cols, dk_block)", "error_dk"),
    ("dV of weights that are not normalised", "p = torch.exp(s - torch.where(row_lse == -INF, 0.0, row_lse))", "p = torch.exp(s - s.amax(1, keepdim=True).clamp(-1e30))", "error_dv"),
    ("delta dropped", "delta = (out.float() * do.float()).sum(-1)", "delta = torch.zeros(lse.shape)", "error_dq"),
    ("delta of v instead of the output", "ds = p * (g @ v.T - row_delta)", "ds = p * (g @ v.T)", "error_dq"),
    ("lse gradient dropped", "delta = delta - dlse", "delta = delta + 0 * dlse", "one_output"),
    ("lse gradient with the wrong sign", "delta = delta - dlse", "delta = delta + dlse", "error_dq"),
    ("lse not differentiable", "        return out, lse\n\n    @staticmethod\n    def backward", "        ctx.mark_non_differentiable(lse)\n        return out, lse\n\n    @staticmethod\n    def backward", "error_dq"),
    ("rows beyond the end in dK and dV", "p = torch.where((rows < call.q.shape[2])[:, None], p, 0.0)", "p = p * (1 + 0 * row_lse)", "error_dbias"),
    ("bias gradient averaged over the batch", "ds.sum_to_size(bias.shape)", "(ds / ds.shape[0]).sum_to_size(bias.shape)", "error_dbias"),
    ("bias gradient reduced over the other axis", "ds.sum_to_size(bias.shape)", "(ds.mT if ds.shape[-1] == ds.shape[-2] else ds).sum_to_size(bias.shape)", "error_dbias"),
    ("bias gradient scaled like the scores", "store(ds_all, b, h, rows, keys, ds)", "store(ds_all, b, h, rows, keys, ds * call.scale)", "error_dbias"),
    ("bias gradient summed in 16 bits", "ds.sum_to_size(bias.shape)", "sum(x.to(bias.dtype) for x in ds.unbind(2)).unsqueeze(2) if bias.shape[-2:-1] == (1,) else ds.sum_to_size(bias.shape)", "rms"),
    ("dQ summed in 16 bits", "dq = torch.zeros(call.q.shape, dtype=torch.float32)", "dq = torch.zeros(call.q.shape, dtype=call.q.dtype)", "rms"),
    ("dK summed in 16 bits", "dk_block = dk_block + ds.T @ q\n", "dk_block = (dk_block + ds.T @ q).to(call.q.dtype).float()\n", "rms"),
    ("dK and dV exchanged", "return dq.to(call.q.dtype), dk, dv, ds_all", "return dq.to(call.q.dtype), dv, dk, ds_all", "error_dk"),
    ("backward forgets causal", "call = Call(q, k, v, whole, *ctx.options)", "call = Call(q, k, v, whole, False, ctx.options[1])", "error_dq"),
    ("gradient needs all inputs", "q, k, v, bias, out, lse, *_ = ctx.saved_tensors\n", "q, k, v, bias, out, lse, *_ = ctx.saved_tensors\n        assert all(ctx.needs_input_grad[:3])\n", "partial_grad"),
    ("backward consumes what it kept", "call = Call(q, k, v, whole, *ctx.options)", "call = Call(q, k, v, whole, *ctx.options)\n        lse.data.add_(0.01)", "backward_twice"),
    ("heads mixed up", "k, v = load(call.k, b, h, keys, cols), load(call.v, b, h, keys, cols)\n                s =", "k, v = load(call.k, b, h, keys, cols), load(call.v, b, 0, keys, cols)\n                s =", "independent"),
    ("an empty batch fails", "out = torch.empty(call.q.shape", "assert call.q.numel()\n    out = torch.empty(call.q.shape", "empty_batch"),
    ("a gradient under no_grad", "out, lse = _Function.apply(q, k, v, bias, causal, scale)", "out, lse = torch.enable_grad()(_Function.apply)(q, k, v, bias, causal, scale)", "no_grad"),
    ("a tuple without return_lse", "return (out, lse) if return_lse else out", "return (out, lse)", "contract"),
    ("dropout claimed", "    def saved_bytes", "    def supports(self, spec):\n        return None\n\n    def saved_bytes", "supports"),
    ("order of the keys matters", "p = torch.exp2(s - shift[:, None])", "p = torch.exp2(s - shift[:, None]) * (1 + 1e-3 * (keys == 0))", "equivariant"),
]  # fmt: skip

_RAISE = {
    "lse not differentiable",
    "gradient needs all inputs",
    "an empty batch fails",
    "a tuple without return_lse",
}

MUTANTS = [
    Mutant(name, "blocked.py", old, new, rule, raises=name in _RAISE)
    for name, old, new, rule in _CASES
]
