"""What no parallel run could be: refused in one line that says what would be right."""

from __future__ import annotations

from vitladder.config import Config, ModelConfig, hidden_width
from vitladder.errors import UserError
from vitladder.layout import Layout, layout_of, pieces

# GradScaler's state and its checks for overflow are of one device's whole gradients.
_NO_LOSS_SCALING = ("fsdp", "tp", "fsdp_tp", "pipeline")


def check_parallel(config: Config) -> None:
    """Raise UserError where the config's devices cannot share its work."""
    _check_devices(config)
    layout = layout_of(config.parallel)
    # The ladder chooses width and depth, and with them the heads, when the data are known.
    sized = config.ladder.relative is None or config.model.kv_heads is not None
    if sized:
        _check_tensor(config.model, layout)
    if sized and layout.stages > config.model.depth:
        raise UserError(
            f"parallel=pipeline over {layout.stages} devices needs as many blocks; "
            f"model.depth={config.model.depth}"
        )
    _check_batch(config, layout)
    _check_options(config)


def _check_devices(config: Config) -> None:
    parallel = config.parallel
    world = parallel.devices * parallel.nodes
    if parallel.name == "single" and world != 1:
        raise UserError(
            "parallel=single trains on one device of one node; for more, give parallel=ddp, fsdp, "
            "tp, fsdp_tp or pipeline"
        )
    if parallel.name != "single" and world == 1:
        raise UserError(
            f"parallel={parallel.name} shares the work of two devices or more; one is "
            f"parallel=single"
        )
    if parallel.name != "fsdp_tp":
        if parallel.tensor is not None:
            raise UserError(
                f"parallel.tensor={parallel.tensor} is of parallel=fsdp_tp; with "
                f"parallel={parallel.name} leave it out"
            )
        return
    tensor = parallel.tensor or 1
    if world % tensor or not 1 < tensor < world:
        raise UserError(
            f"parallel=fsdp_tp makes groups of parallel.tensor={tensor} out of {world} devices; "
            f"give a divisor of {world} between 1 and {world}, or parallel=fsdp or tp alone"
        )


def _check_tensor(model: ModelConfig, layout: Layout) -> None:
    """Heads and hidden units must be equal on all devices that share a layer."""
    counts = {
        "model.heads": model.heads,
        "model.kv_heads": model.kv_heads,
        "the hidden width (by model.mlp_ratio)": hidden_width(model),
    }
    for name, count in counts.items():
        if count is not None and count % layout.tensor:
            raise UserError(
                f"{name}={count} cannot be split over the {layout.tensor} devices that share a "
                f"layer; change it, or give a number of devices that divides it"
            )


def _check_batch(config: Config, layout: Layout) -> None:
    batch, micro_batch = config.data.batch_size, config.parallel.micro_batch
    if batch < layout.data:
        raise UserError(
            f"data.batch_size={batch} is fewer than one image for each of {layout.data} devices"
        )
    share = -(-batch // layout.data)
    if micro_batch is not None and micro_batch > share:
        raise UserError(
            f"parallel.micro_batch={micro_batch} is more than "
            + (f"data.batch_size={batch}" if layout.data == 1 else f"a device's {share} images")
            + "; it is a part of the batch"
        )
    if layout.stages > 1:
        _check_pipeline(config, layout)
    elif batch // layout.data < pieces(config):
        raise UserError(
            f"data.batch_size={batch} over {layout.data} devices leaves some of them with too few "
            f"images for {pieces(config)} micro-batches; give a larger parallel.micro_batch, or "
            f"a batch that is a multiple of {layout.data}"
        )


def _check_pipeline(config: Config, layout: Layout) -> None:
    batch, micro_batch = config.data.batch_size, config.parallel.micro_batch
    if micro_batch is not None and batch % micro_batch:
        raise UserError(
            f"parallel=pipeline needs micro-batches of one size; "
            f"parallel.micro_batch={micro_batch} does not divide data.batch_size={batch}"
        )
    if pieces(config) < layout.stages:
        raise UserError(
            f"parallel=pipeline needs a micro-batch for each of its {layout.stages} devices, and "
            f"data.batch_size={batch} makes {pieces(config)}; give a batch that is a multiple of "
            f"{layout.stages}, and smaller micro-batches where parallel.micro_batch is given"
        )


def _check_options(config: Config) -> None:
    name, precision = config.parallel.name, config.precision.name
    if precision == "fp16" and name in _NO_LOSS_SCALING:
        raise UserError(
            f"precision=fp16 needs loss scaling, which parallel={name} does not have; use "
            f"precision=bf16, or parallel=ddp"
        )
    if config.parallel.compress != "none" and name != "ddp":
        raise UserError(
            f"parallel.compress={config.parallel.compress} compresses the gradients that "
            f"parallel=ddp sends; parallel={name} has none of them"
        )
    if config.parallel.compress == "powersgd" and precision == "fp16":
        raise UserError(
            "parallel.compress=powersgd feeds back the error of what it sent, which an overflow of "
            "precision=fp16 makes infinite for good; use precision=bf16, or compress=fp16"
        )
    if config.parallel.compress == "powersgd" and config.parallel.compress_from < 2:
        raise UserError(
            f"parallel.compress_from={config.parallel.compress_from} is too early: PowerSGD's "
            f"error feedback needs 2 steps or more before it"
        )
    if config.tune and (name != "single" or precision not in ("fp32", "bf16")):
        raise UserError(
            f"tune=true measures one device in fp32 or bf16, not parallel={name} with "
            f"precision={precision}; leave tune out"
        )
