"""Which ways of training there are, and which may be tried from one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vitladder.compose import compose_config
from vitladder.compute.kernels import interchangeable
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.train import candidates
from vitladder.train.candidates import Choice, Here, Kernels, applied, asked

START = Choice("naive", "fp32", False, None, 2)
DATA = DataShape(train_images=100, val_images=10, image_size=8, channels=1, classes=10)


def config(*overrides: str) -> Config:
    return resolve(compose_config(["model=micro-8", *overrides]), DATA)


def kernels(precision: str) -> Kernels:
    return {"naive": None, "sdpa": None, "flash": f"no {precision} here"}


HERE = Here("cpu", threads=[1, 2], batch_size=12, kernels=kernels)


def test_a_choice_and_the_config_that_asks_for_it_are_the_same() -> None:
    choice = Choice("naive", "bf16", True, 16, 1)
    given = applied(config(), choice)
    assert asked(given, threads=4) == choice
    assert given.attention == {"name": "naive", "products": "wide"}
    assert str(choice) == "naive, bf16, compiled, micro-batch 16, 1 thread"
    assert asked(config(), threads=4) == Choice("sdpa", "fp32", False, None, 4)


def test_the_options_of_the_asked_kernel_stay() -> None:
    given = config("attention=sdpa", "attention.backend=math")
    assert applied(given, asked(given, 1)).attention == {"name": "sdpa", "backend": "math"}


def test_a_kernel_is_written_with_the_options_that_are_not_its_defaults() -> None:
    given = applied(config(), replace(START, attention="naive products=input", keep_memory=True))
    assert given.attention == {"name": "naive", "products": "input"}
    assert given.keep_memory
    assert asked(given, 2) == replace(START, keep_memory=True)
    assert str(replace(START, keep_memory=True)) == "naive, fp32, memory kept, 2 threads"


def test_variants_are_tried_in_16_bits_alone() -> None:
    names = ["sdpa", "naive", "naive products=input"]
    assert list(candidates.serving(config(), "cpu", names, "fp32")) == ["sdpa", "naive"]
    assert candidates.serving(config(), "cpu", names, "bf16") == dict.fromkeys(names)


def test_a_kernel_that_cannot_serve_is_left_out_with_its_reason() -> None:
    sdpa, flash = candidates.attention_steps(START, HERE)
    assert sdpa.choice == replace(START, attention="sdpa")
    assert (flash.choice, flash.reason) == (None, "no fp32 here")


def test_precision_and_compilation_are_tried_with_every_kernel_that_serves() -> None:
    tried = [step.choice for step in candidates.precision_steps(START, HERE)]
    assert tried == [replace(START, precision="bf16", attention=name) for name in ("naive", "sdpa")]
    assert candidates.precision_steps(replace(START, precision="bf16"), HERE) == []
    tried = [step.choice for step in candidates.compile_steps(START, HERE)]
    assert tried == [replace(START, compile=True, attention=name) for name in ("naive", "sdpa")]


def test_without_a_compiler_there_is_a_reason_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    [step] = candidates.compile_steps(START, HERE)
    assert step.choice is None
    assert step.reason is not None
    assert "no-such-compiler" in step.reason


def test_memory_is_kept_where_a_cpus_allocator_can() -> None:
    [step] = candidates.memory_steps(START, HERE)
    assert step.choice == replace(START, keep_memory=True)
    assert candidates.memory_steps(replace(START, keep_memory=True), HERE) == []
    [step] = candidates.memory_steps(START, replace(HERE, device="cuda"))
    assert (step.choice, step.reason) == (
        None,
        "needs a CPU: torch keeps the memory of cuda by itself",
    )


@pytest.mark.parametrize(("now", "half"), [(None, 6), (6, 3), (3, None), (1, None)])
def test_a_piece_is_halved_while_that_divides_the_batch(now: int | None, half: int | None) -> None:
    [step] = candidates.micro_batch_steps(replace(START, micro_batch=now), HERE)
    assert (step.choice.micro_batch if step.choice else None) == half
    assert (step.reason is None) == (half is not None)


def test_other_threads_are_tried_on_a_cpu_alone() -> None:
    [step] = candidates.thread_steps(START, HERE)
    assert step.choice == replace(START, threads=1)
    [step] = candidates.thread_steps(START, replace(HERE, device="cuda"))
    assert step.choice is None
    [step] = candidates.thread_steps(START, replace(HERE, threads=[2]))
    assert step.reason == "threads=2 is all that may be used"


def test_only_kernels_that_compute_the_same_may_stand_for_each_other() -> None:
    variant = "naive products=input"
    assert set(interchangeable(config())) == {"naive", variant, "sdpa", "flash", "flex"}
    assert variant in interchangeable(config("attention=naive"))
    chosen = config("attention=naive", "attention.products=input")
    assert sorted(interchangeable(chosen)) == ["flash", "flex", "naive", "sdpa"]
    assert interchangeable(config("attention=linear")) == ["linear"]
    local = ["attention=window", "attention.radius=1", "model.patch=1"]
    assert interchangeable(config(*local)) == ["window"]


def test_an_exact_kernel_of_ones_own_is_one_of_them() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from vitladder.extend.attention import AttentionKernel\n"
        "@dataclass(frozen=True)\n"
        "class Mine(AttentionKernel):\n"
        "    def __call__(self, q, k, v, **rest):\n"
        "        return v\n"
    )
    assert "mine" in interchangeable(config())
