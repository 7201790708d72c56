"""The rule on autocast, under which a model trains in mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vitladder.extend.conformance.approximate import own_exact
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.inputs import Inputs
from vitladder.extend.conformance.numeric import ERROR_LIMIT, worst_units
from vitladder.extend.conformance.probe import Probe, gradients, watched
from vitladder.extend.conformance.rule import Rule


def autocast(probe: Probe, case: Case) -> Iterator[Finding]:
    """Under autocast errors are those of its dtype, and the log-sum-exp is still float32.

    There torch rounds the factors of every product to 16 bits, those that a kernel widened too.
    Inputs are of autocast's dtype, as a projection gives them, or of float32, as a norm does; for
    those a kernel may return either dtype.
    """
    inputs = probe.run(case).inputs
    # Equal numbers in another dtype: the exact results, and what 16 bits explain, stay the same.
    exact = probe.exact(case) if probe.kernel.exact else own_exact(probe, case, inputs)
    for given in (inputs, _in_float32(inputs)):
        if given is not inputs and not probe.serves(replace(case, dtype="float32")):
            continue
        what = str(given.q.dtype).removeprefix("torch.")
        results = _under_autocast(probe, case, given, inputs.q.dtype)
        allowed = {"o": {given.q.dtype, inputs.q.dtype}, "lse": {torch.float32}}
        for name, want in exact.items():
            result = results.get(name)
            if result is None and name == "dbias" and not case.bias_grad:
                continue
            if result is None:
                yield Finding("autocast", str(case), f"no {name} of {what} inputs", "there")
                continue
            if result.dtype not in allowed.get(name, {result.dtype}):
                words = f"{name} of {what} inputs is {result.dtype}"
                dtypes = " or ".join(sorted(map(str, allowed[name])))
                yield Finding("autocast", str(case), words, dtypes)
            units = worst_units(result, want)
            yield from probe.within("autocast", case, units, ERROR_LIMIT, f"{name} of {what}")


def _in_float32(inputs: Inputs) -> Inputs:
    return replace(inputs, q=inputs.q.float(), k=inputs.k.float(), v=inputs.v.float())


def _under_autocast(
    probe: Probe, case: Case, inputs: Inputs, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Call the kernel under autocast, and its backward outside of it, as training does."""
    leaves = probe.leaves(inputs, case.needs)
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    with watched():
        with torch.autocast(probe.device, dtype):
            outputs = probe.call(case, leaves)
        d_output = inputs.d_output.to(outputs["o"].dtype)
        d_lse = inputs.d_lse.to(outputs["lse"].dtype)
        found = gradients(outputs, wanted, replace(inputs, d_output=d_output, d_lse=d_lse))
    return {name: tensor.detach() for name, tensor in (outputs | found).items()}


RULES = [Rule("autocast", autocast, "autocast", calls=2)]
