"""What a Config refuses, and what it fills in."""

from __future__ import annotations

import pytest

from vitladder.compose import compose_config
from vitladder.errors import UserError
from vitladder.validation import DEFAULT_FLOPS


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.width=65", "model.width=65 is not a multiple of model.heads=2"),
        ("compute.flops=-1", "compute.flops=-1 is impossible"),
        ("compute.flops=nan", "compute.flops=nan is impossible"),
        ("compute.flops=inf", "compute.flops=inf is impossible"),
        ("compute.images=0", "compute.images=0 is impossible"),
        ("compute.steps=1.5", "compute.steps=1.5 must be a whole number"),
        ("data.batch_size=0", "data.batch_size=0 is impossible"),
        ("data.val_fraction=1.5", "data.val_fraction=1.5 is impossible"),
        ("model.drop_path=-0.1", "model.drop_path=-0.1 is impossible"),
        ("optim.weight_decay=-1", "optim.weight_decay=-1 is impossible"),
        ("model.pool=tokn", "no model.pool called 'tokn'; did you mean 'token'?"),
        ("on_error=halt", "no on_error called 'halt'"),
        ("data.on_error=ignore", "no data.on_error called 'ignore' (have: raise, skip)"),
        ("study=a/b", "study='a/b' is not a folder name"),
        ("study=..", "study='..' is not a folder name"),
        ("study='a:b'", "study='a:b' is not a folder name"),
        ("study=${nope}", "study refers to 'nope', and there is no such setting"),
        ("seed=4294967296", "seed=4294967296 is too large"),
        ("model.channels=2", "model.channels=2 is impossible; it is 1 (grey) or 3 (RGB)"),
        ("optim.width_power=nan", "optim.width_power=nan is impossible"),
        ("data=parquet", "data=parquet needs data.path"),
        ("parallel.devices=2", "parallel=single trains on one device"),
        ("parallel.micro_batch=0", "parallel.micro_batch=0 is impossible"),
        ("parallel.micro_batch=65", "parallel.micro_batch=65 is more than data.batch_size=64"),
        ("parallel.remat=blocks", "no parallel.remat called 'blocks'; did you mean 'block'?"),
        ("schedule.warmup=1.1", "schedule.warmup=1.1 is impossible"),
        ("threads=100000000", "threads=100000000 is too large; it must be at most 1024"),
        ("model.mlp_ratio=0.001", "model.mlp_ratio=0.001 is impossible; model.width=32 times"),
        (
            "optim.betas=[0.9]",
            "optim.betas=[0.9] is impossible; optim.name=adamw needs two numbers",
        ),
        ("optim.betas=[]", "optim.betas=[] is impossible; optim.name=adamw needs two numbers"),
        ("optim.betas=[0.9,1]", "each at least 0 and below 1"),
        ("optim.betas=[-0.1,0.9]", "each at least 0 and below 1"),
        ("optim.betas=[0.9,nan]", "each at least 0 and below 1"),
        ("optim.betas=[0.9,0.9,0.9]", "optim.name=adamw needs two numbers"),
        ("optim.name=adan", "optim.name=adan needs three numbers"),
    ],
)
def test_an_impossible_value_is_one_line_that_names_it(override: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config([override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_length_is_exactly_one_of_three() -> None:
    assert compose_config([]).compute.flops == DEFAULT_FLOPS
    steps = compose_config(["compute.steps=1e3"]).compute
    assert (steps.flops, steps.images, steps.steps) == (None, None, 1000)
    with pytest.raises(UserError, match=r"compute\.flops and compute\.images are both given"):
        compose_config(["compute.flops=1e9", "compute.images=5"])


def test_warm_up_and_cooldown_fit_into_the_run() -> None:
    with pytest.raises(UserError, match="together exceed the run"):
        compose_config(["schedule=wsd", "schedule.warmup=0.6", "schedule.cooldown=0.6"])


def test_threads_and_betas_at_their_limits_are_taken() -> None:
    assert compose_config(["threads=1024"]).threads == 1024
    assert compose_config(["optim.betas=[0,0.5]"]).optim.betas == [0, 0.5]
    three = ["optim.name=adan", "optim.betas=[0.98,0.92,0.99]"]
    assert compose_config(three).optim.betas == [0.98, 0.92, 0.99]
