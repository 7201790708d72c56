"""Many compiled runs in one process, as a study's worker trains them."""

from __future__ import annotations

import pytest
import torch

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import DataShape
from vitladder.train.model import build_model

DATA = DataShape(train_images=10, val_images=10, image_size=8, channels=1, classes=10)


# torch looks at gradients of what it traces, and warns of what it does itself.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.slow
def test_more_shapes_than_torch_would_compile_for_one_code(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without making machine code, which takes seconds for each shape.
    compiler = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda code, **options: compiler(code, backend="eager", **options)
    )
    for width in range(8, 8 * 11, 8):
        config = resolve(compose_config([f"model.width={width}", "model.depth=1"]), DATA)
        model = build_model(config).train()
        model.compile_blocks()
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
