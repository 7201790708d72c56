"""An exported run in plain timm: the same logits, or a line that says why not; and the errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from checkpoints import last_saved, save_instead
from omegaconf import DictConfig, OmegaConf
from timm.layers import SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitladder.compose import compose_config, from_hydra
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.train.checkpoint_files import saved_checkpoints
from vitladder.train.model import build_model, timm_arguments

Here = Callable[..., CompletedProcess[str]]
DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=3, classes=10)
MODEL = ["model.width=24", "model.depth=2", "model.heads=2", "model.patch=2", "model.pool=token"]
MODEL += ["model.registers=2", "model.qk_norm=false"]
FILE = Path("weights.pth")


def written_run(*overrides: str) -> tuple[Path, Config]:
    """A run's folder as a run would leave it, its weights far from the initial ones."""
    config = resolve(compose_config([*MODEL, *overrides]), DATA)
    run = Path("outputs/study/run")
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(config))))
    state = {f"model.{name}": p.data for name, p in build_model(config).named_parameters()}
    save_instead(run, {"global_step": 7, "state_dict": state})
    move_weights(run)
    return run, config


def trained_run(here: Here, *overrides: str) -> tuple[Path, Config]:
    """A run of three steps, its weights moved far from the initial ones."""
    settings = ["model=micro-8", "logger=csv", "compute.steps=3", *overrides]
    assert here("train", *settings).returncode == 0
    (file,) = Path("outputs").glob("*/*/checkpoints/*.ckpt")
    run = file.parents[1]
    move_weights(run)
    loaded = OmegaConf.load(run / "config.yaml")
    assert isinstance(loaded, DictConfig)
    return run, from_hydra(loaded)


def move_weights(run: Path) -> None:
    saved = last_saved(run)
    generator = torch.Generator().manual_seed(0)
    for value in saved["state_dict"].values():
        value.add_(0.3 * torch.randn(value.shape, generator=generator))
    save_instead(run, saved)


def images(config: Config) -> Tensor:
    size = config.model.image_size or 0
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, config.model.channels or 0, size, size, generator=generator)


@torch.no_grad()
def our_logits(run: Path, config: Config) -> Tensor:
    model = build_model(config).eval()
    saved = last_saved(run)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): v for name, v in saved.items()})
    return model(images(config))


@torch.no_grad()
def plain_logits(config: Config, **arguments: Any) -> Tensor:
    plain = VisionTransformer(**arguments).eval()
    plain.load_state_dict(torch.load(FILE, weights_only=True), strict=True)
    logits: Tensor = plain(images(config))
    return logits


def said_arguments(said: str) -> dict[str, Any]:
    """The constructor's arguments that the command printed."""
    call = said.splitlines()[0].partition("; timm: ")[2]
    found: dict[str, Any] = eval(call, {"VisionTransformer": dict, "SwiGLU": SwiGLU})  # noqa: S307
    return found


@pytest.mark.parametrize("position", ["learned", "sincos2d"])
def test_plain_timm_computes_the_logits_of_a_trained_run(here: Here, position: str) -> None:
    run, config = trained_run(here, f"position={position}")
    done = here("export", str(run), str(FILE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FILE}: 1,178 parameters, step 3; timm: VisionTransformer(")
    ours = our_logits(run, config)
    assert ours.std() > 0.1
    for arguments in (timm_arguments(config.model), said_arguments(done.stdout)):
        torch.testing.assert_close(plain_logits(config, **arguments), ours, rtol=0, atol=1e-5)
    weights = torch.load(FILE, weights_only=True)
    assert type(weights) is dict
    assert {value.dtype for value in weights.values()} == {torch.float32}
    weights["pos_embed"].zero_()
    torch.save(weights, FILE)
    bag = plain_logits(config, **timm_arguments(config.model))
    assert (bag - ours).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        (["position=learned"], []),
        (["position=learned", "model.pool=avg", "model.qk_norm=true"], []),
        (["position=sincos2d"], ["pos_embed is the table of position=sincos2d, 456 fixed numbers"]),
        (["position=none", "model.mlp=relu", "model.norm=rmsnorm", "model.drop_path=0.1"], []),
        (
            ["position=learned", "model.layer_scale=0.1", "attention=window", "attention.radius=4"],
            [],
        ),
        (
            ["position=learned", "model.mlp=swiglu", "model.mlp_ratio=2.3"],
            ["SwiGLU is timm.layers.SwiGLU, here 36 wide inside"],
        ),
        (
            ["position=learned", "model.kv_heads=1", "model.heads=4", "model.qk_norm=true"],
            ["model.kv_heads=1 of 4 heads: timm shares none"],
        ),
        (["position=learned", "precision=fp64"], []),
    ],
)
def test_every_shape_gives_the_same_logits(
    here: Here, settings: list[str], notes: list[str]
) -> None:
    run, config = written_run(*settings)
    done = here("export", str(run), str(FILE))
    assert done.returncode == 0, done.stderr
    ours, plain = our_logits(run, config), plain_logits(config, **said_arguments(done.stdout))
    assert ours.std() > 0.1
    torch.testing.assert_close(plain, ours, rtol=1e-5, atol=1e-5)
    first, *rest = done.stdout.splitlines()
    assert ", step 7; timm: " in first
    assert len(rest) == len(notes)
    for line, note in zip(rest, notes, strict=True):
        assert line.startswith(note)


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        (["position=rope_axial"], "position=rope_axial is computed by vitladder and is not in"),
        (["position=alibi2d"], "position=alibi2d is computed by vitladder"),
        (["position=rope_mixed"], "its logits differ; left out: rope_frequencies"),
        (["position=relative_bias"], "its logits differ; left out: relative_bias"),
        (["position=learned", "attention=linear"], "attention=linear is computed by vitladder"),
        (["position=learned", "attention=window"], "attention=window is computed by vitladder"),
    ],
)
def test_what_timm_lacks_is_said_and_all_else_is_written(
    here: Here, settings: list[str], note: str
) -> None:
    run, config = written_run(*settings)
    done = here("export", str(run), str(FILE))
    assert done.returncode == 0, done.stderr
    first, line = done.stdout.splitlines()
    assert note in line
    plain = plain_logits(config, **said_arguments(first))
    assert (plain - our_logits(run, config)).abs().max() > 1e-3


def assert_refused(done: CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert list(Path.cwd().glob("**/*.pth")) in ([], [Path.cwd() / "here.pth"])


def test_bad_input_is_one_line_and_writes_nothing(here: Here) -> None:
    run, _ = written_run("position=learned")
    Path("here.pth").write_text("mine")
    assert_refused(here("export", "nowhere", "new.pth"), "there is no folder nowhere")
    assert_refused(here("export", str(run.parent), "new.pth"), "has not saved a checkpoint")
    assert_refused(here("export", str(run), "no/new.pth"), "there is no folder no to write new.pth")
    assert_refused(here("export", str(run), "here.pth"), "here.pth exists and is not overwritten")
    assert_refused(here("export", str(run), "a.safetensors"), "call it a.pth")
    assert_refused(here("export", str(run)), "the following arguments are required: file")
    assert Path("here.pth").read_text() == "mine"


def test_a_damaged_run_is_one_line(here: Here) -> None:
    run, _ = written_run("position=learned")
    config, saved = run / "config.yaml", last_saved(run)
    for name in ("model.pos_embed", "model.head.bias"):
        left = {key: value for key, value in saved["state_dict"].items() if key != name}
        save_instead(run, {**saved, "state_dict": left})
        assert_refused(here("export", str(run), "new.pth"), "its checkpoint is not of its config")
    save_instead(run, saved)
    saved_checkpoints(run)[0].file.write_text("no checkpoint")
    assert_refused(here("export", str(run), "new.pth"), "is damaged: its bytes have changed since")
    save_instead(run, saved)
    config.write_text("model: {width: 24}")
    assert_refused(here("export", str(run), "new.pth"), "config.yaml: ")
    config.unlink()
    assert_refused(here("export", str(run), "new.pth"), "the run's config, cannot be read")
