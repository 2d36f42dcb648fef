"""An exported file, read by the key layout that its program publishes, gives the same conditioning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from astrogate.core.direction import Direction
from astrogate.core.protocols import Model
from astrogate.methods.edit.export import mismatch, save_condelta
from tests.checkpoints import made, steered


def direction(model: Model, family: str) -> Direction:
    """One that moves every role by a vector of its own."""
    point, g = made(model, family), torch.Generator().manual_seed(0)
    vectors = {
        role: torch.randn(point.tensors["prompt_embeds"].shape[-1], generator=g)
        for segment in point.segments
        for role in ([f"{segment.name}.end", f"{segment.name}.subject"] if segment.name else ["end", "subject"])
    }
    if "pooled_prompt_embeds" in model.spaces:
        vectors["pooled"] = torch.randn(point.tensors["pooled_prompt_embeds"].shape, generator=g)
    return Direction(vectors, model.fingerprint, "random")


def test_a_condelta_file_moves_states_as_the_denoiser_sees_them(model: Model, family: str, tmp_path: Path) -> None:
    """ComfyUI adds strength * delta; our hook adds the same to what the denoiser receives, whatever else is there."""
    point = made(model, family)
    edit = direction(model, family).at(point)
    other = point.apply(steered(model, point))
    save_condelta(edit, other, tmp_path / "x.safetensors", scale=1.5)
    file = load_file(tmp_path / "x.safetensors")
    assert set(file) == {"conditioning_delta", "pooled_output"}
    for key, space in (("conditioning_delta", "prompt_embeds"), ("pooled_output", "pooled_prompt_embeds")):
        if space not in point.tensors:
            assert not file[key].any()
            continue
        states = point.tensors[space]
        assert file[key].shape == (1, *states.shape)
        ours = states + 1.5 * edit.above.steers[0].vectors[space]
        assert (states[None] + file[key] - ours).abs().max() <= 1e-6


def test_the_mismatch_on_other_prompts_is_measured(tiny: Model) -> None:
    everywhere = Direction({"end": torch.ones(32)}, tiny.fingerprint)
    by_role = Direction({"end": torch.ones(32), "subject": -torch.ones(32)}, tiny.fingerprint)
    point, others = tiny.point("a dog"), [tiny.point("a cat"), tiny.point("a painting of a cat")]
    assert mismatch(everywhere, point, others) == 0
    assert mismatch(by_role, point, others[:1]) == 0
    assert mismatch(by_role, point, others[1:]) == pytest.approx((3 * 4 / 15) ** 0.5)
