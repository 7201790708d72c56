"""Rules on manners: shapes and dtypes, buffers, gradients asked for, memory kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vitladder.extend.attention import AttentionKernel, AttentionSpec
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.numeric import ERROR_LIMIT, difference_units, worst_units
from vitladder.extend.conformance.probe import Probe, gradients, interpreted, watched
from vitladder.extend.conformance.rule import Rule, exact_only

_SMALL = 64
"""Bytes that saved_bytes may leave out, such as the state of a random number generator."""


def contract(probe: Probe, case: Case) -> Iterator[Finding]:
    """Outputs and gradients have the shapes, dtypes and device of the contract."""
    run = probe.run(case)
    inputs = run.inputs
    like = {"o": inputs.q, "dq": inputs.q, "dk": inputs.k, "dv": inputs.v, "dbias": inputs.bias}
    for name, result in run.results.items():
        given = like.get(name)
        shape = inputs.q.shape[:-1] if given is None else given.shape
        dtype = torch.float32 if given is None else given.dtype
        have = f"{list(result.shape)} {result.dtype} {result.device.type}"
        want = f"{list(shape)} {dtype} {inputs.q.device.type}"
        if have != want:
            yield Finding("contract", str(case), f"{name} is {have}", want)


def supports(probe: Probe, case: Case) -> Iterator[Finding]:
    """supports() answers every spec with None or a reason, and dropout with a reason."""
    for dtype in ("float32", "float64", "int8"):
        spec = AttentionSpec(probe.device, dtype, case.head_dim)
        answer = probe.kernel.supports(spec)
        if not (answer is None or (isinstance(answer, str) and answer)):
            yield Finding("supports", dtype, repr(answer), "None or a reason")
    if not probe.kernel.supports(replace(case.spec(probe.device), dropout=True)):
        yield Finding("supports", "dropout", "says it can", "a reason; no kernel has dropout")


def untouched(probe: Probe, case: Case) -> Iterator[Finding]:
    """No input is written to, nor anything around one."""
    for name in probe.run(case).touched:
        yield Finding("untouched", str(case), f"the buffer of {name} is changed", "as it was")


def canaries(probe: Probe, case: Case) -> Iterator[Finding]:
    """Nothing is written beside what the kernel allocates."""
    if probe.run(case).dead_canary:
        yield Finding("canaries", str(case), "a canary beside a result is dead", "alive")


def partial_grad(probe: Probe, case: Case) -> Iterator[Finding]:
    """Any part of q, k, v and bias may require a gradient; each is then what it is with all."""
    run, exact = probe.run(case), probe.exact(case)
    subsets: list[tuple[str, ...]] = [("q",), ("k",), ("v",), ("bias",), ("q", "k", "v")]
    for needs in subsets:
        if not any(f"d{name}" in run.results for name in needs):
            continue
        results = probe.execute(case, run.inputs, needs)
        for name in (f"d{name}" for name in needs if f"d{name}" in run.results):
            if name not in results:
                yield Finding("partial_grad", f"{case}, of {needs}", f"no {name}", "a gradient")
                continue
            units = difference_units(results[name], run.results[name], exact[name])
            yield from probe.within("partial_grad", case, units, ERROR_LIMIT, f"{name} of {needs}")


def no_grad(probe: Probe, case: Case) -> Iterator[Finding]:
    """Without gradients, and under no_grad, the outputs are the same and require none."""
    run, exact = probe.run(case), probe.exact(case)
    for needs, enabled in (((), True), (case.needs, False)):
        with torch.set_grad_enabled(enabled), watched():
            outputs = probe.call(case, probe.leaves(run.inputs, needs))
        for name, output in outputs.items():
            if output.requires_grad:
                yield Finding("no_grad", str(case), f"{name} requires a gradient", "none")
            units = difference_units(output, run.results[name], exact[name])
            yield from probe.within("no_grad", case, units, ERROR_LIMIT, name)


def one_output(probe: Probe, case: Case) -> Iterator[Finding]:
    """With return_lse, a loss on o alone or on lse alone has the gradient of that loss."""
    inputs = probe.run(case).inputs
    for name, other in (("o", "d_lse"), ("lse", "d_output")):
        zeros: dict[str, Any] = {other: torch.zeros_like(getattr(inputs, other))}
        alone = replace(inputs, **zeros)
        exact, leaves = probe.closed_form(case, alone), probe.leaves(inputs, case.needs)
        wanted = {key: leaf for key, leaf in leaves.items() if leaf.requires_grad}
        with watched():
            have = gradients({name: probe.call(case, leaves)[name]}, wanted, inputs)
        for key in wanted:
            zero = torch.zeros_like(leaves[key])
            units = worst_units(have.get(f"d{key}", zero), exact[f"d{key}"])
            yield from probe.within("one_output", case, units, ERROR_LIMIT, f"d{key} of {name}")


def backward_twice(probe: Probe, case: Case) -> Iterator[Finding]:
    """A second backward through a retained graph gives the same bits as the first."""
    inputs = probe.run(case).inputs
    leaves = probe.leaves(inputs, case.needs)
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    with watched():
        outputs = probe.call(case, leaves)
        first = gradients(outputs, wanted, inputs, retain=True)
        second = gradients(outputs, wanted, inputs)
    for name, left in first.items():
        if not torch.equal(left, second[name]):
            yield Finding("backward_twice", str(case), f"{name} differs", "equal")


def empty_batch(probe: Probe, case: Case) -> Iterator[Finding]:
    """A batch of 0 images gives empty results, forward and backward."""
    results = probe.execute(case, probe.run(case).inputs)
    for name, result in results.items():
        if name != "dbias" and result.numel():
            yield Finding("empty_batch", str(case), f"{name} is {list(result.shape)}", "empty")
        if name == "dbias" and bool(result.any()):
            yield Finding("empty_batch", str(case), "dbias is not 0", "0")


def memory(probe: Probe, case: Case) -> Iterator[Finding]:
    """What is kept for the backward is what saved_bytes says, and linear in seq where claimed.

    A kernel that does not state it is held to nothing: the planner then takes the usual weights.
    """
    kept = _kept_bytes(probe, case)
    if probe.kernel.linear_memory:
        seq = 65 if case.placed else case.keys // 2
        less = _kept_bytes(probe, replace(case, queries=seq, keys=seq))
        growth = kept * seq / (less * case.keys) if less else 0.0
        yield from probe.within("memory", case, growth, 1.1, "growth, over that of seq,")
    said = probe.kernel_of(case).saved_bytes(case.shape, probe.run(case).inputs.q.element_size())
    stated = type(probe.kernel).saved_bytes is not AttentionKernel.saved_bytes
    plain = case.bias is None and not (case.causal or case.lse)
    if stated and plain and abs(kept - said) > max(0.01 * kept, _SMALL):
        yield Finding("memory", str(case), f"keeps {kept} bytes", f"saved_bytes: {said}")


def _kept_bytes(probe: Probe, case: Case) -> int:
    """Return the bytes kept for the backward in storages other than those of q, k, v, bias, o."""
    leaves, kept = probe.leaves(probe.run(case).inputs, case.needs), list[Tensor]()

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with interpreted(), hooks:
        outputs = probe.call(case, leaves)
    kept += _on_nodes(outputs.values())
    known = {x.untyped_storage().data_ptr() for x in (*leaves.values(), outputs["o"])}
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    return sum(size for pointer, size in storages.items() if pointer not in known)


def _on_nodes(outputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors that are attributes of a ctx: the hooks of saved tensors see none."""
    todo, seen = [output.grad_fn for output in outputs], set[Any]()
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [earlier for earlier, _ in node.next_functions]
            # Only the nodes of Python functions have attributes.
            yield from _inside(getattr(node, "__dict__", {}))


def _inside(value: Any) -> Iterator[Tensor]:
    """Yield a tensor, or all that a container or dataclass holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _inside(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _inside(part)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _inside([getattr(value, part.name) for part in fields(value)])


FORM = (
    Rule("supports", supports, "tiny"),
    Rule("contract", contract, "every"),
    Rule("untouched", untouched, "every"),
    Rule("canaries", canaries, "every"),
)
"""What a result must be like before its values mean anything."""

MANNERS = (
    Rule("empty_batch", empty_batch, "empty", calls=1),
    Rule("no_grad", no_grad, "small", calls=2),
    Rule("partial_grad", partial_grad, "small", calls=6),
    Rule("one_output", one_output, "small", calls=4, applies=exact_only),
    Rule("backward_twice", backward_twice, "small", calls=3),
    Rule("memory", memory, "memory", calls=1),
)
