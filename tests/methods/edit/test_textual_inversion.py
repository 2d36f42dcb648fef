"""A pseudo-word does what the direction does, as far as its loss says, and diffusers loads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.textual_inversion import textual_inversion
from astrogate.models.loading.load import load
from astrogate.models.text.pseudo_word import keyed, save_pseudo_word
from tests.app.test_cli import run

GRID: dict[str, Any] = {"media": ("painting", "photo"), "subjects": ("dog", "cat", "horse")}


def found(model: Model) -> Direction:
    return contrast(model, "fat", "thin", **GRID, roles=("subject", "end"))


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_fitting_lowers_the_loss_and_leaves_no_trace(model: Model, family: str) -> None:
    direction = found(model)
    start, end = (textual_inversion(model, direction, fit_steps=n, rate=0.05, **GRID) for n in (0, 60))
    assert end.loss < 0.9 * start.loss
    assert list(keyed(end.vectors)) == (["emb_params"] if family == "stable_diffusion" else ["clip_l", "clip_g"])
    again = textual_inversion(model, direction, fit_steps=60, rate=0.05, **GRID)
    assert all(torch.equal(a, b) for a, b in zip(end.vectors, again.vectors, strict=True))
    table = model.module("text_encoder").get_input_embeddings()
    assert not table._forward_hooks
    assert all(p.grad is None or not p.grad.any() for p in [table.weight])


def test_a_scale_means_what_it_means_in_an_edit(tiny: Model) -> None:
    direction = found(tiny)
    for scale, strength in ((1.0, 2.0), (-0.5, -1.5)):
        turned = textual_inversion(tiny, replace(direction, calibration=(-3.0, 2.0)), scale=scale, fit_steps=3, **GRID)
        plain = textual_inversion(tiny, direction, scale=strength, fit_steps=3, **GRID)
        assert turned.loss == plain.loss
        assert torch.equal(turned.vectors[0], plain.vectors[0])


def test_the_loss_is_what_diffusers_would_see(tiny_folder: Path, tmp_path: Path) -> None:
    """Loaded as a token by diffusers, the embedding gives states that miss the move by the stated share."""
    model: Any = load(str(tiny_folder), device="cpu")
    direction = found(model)
    inverted = textual_inversion(model, direction, fit_steps=40, rate=0.05, **GRID)
    path = tmp_path / "fat.safetensors"
    save_pseudo_word(inverted.vectors, path)
    goals = {
        m: model.encode([f"a {m} of a horse"])["prompt_embeds"][0, 5:7]
        + torch.stack([direction.vectors["subject"], direction.vectors["end"]])
        for m in GRID["media"]
    }
    model.pipe.load_textual_inversion(str(path), token="<fat>")
    moves = torch.stack([direction.vectors["subject"], direction.vectors["end"]]).square().sum(1)
    shares = []
    for m in GRID["media"]:
        states = model.encode([f"a {m} of a <fat> horse"])["prompt_embeds"][0, 6:8]
        shares.append(((states - goals[m]).square().sum(1) / moves).mean())
    assert float(torch.stack(shares).mean().sqrt()) == pytest.approx(inverted.loss, rel=1e-3)


def test_the_command_line_prints_the_loss(tiny_folder: Path, tmp_path: Path) -> None:
    loading: tuple[str, ...] = ("--model", str(tiny_folder), "--device", "cpu")
    few = ("--media", "photo,painting", "--subjects", "dog,cat,horse")
    direction, target = tmp_path / "fat.safetensors", tmp_path / "token.safetensors"
    assert run("direction", "fit", "--toward", "fat", "--away", "thin", *few, "-o", str(direction), *loading)[0] == 0
    code, out, err = run(
        "direction", "export", str(direction), "--to", "textual-inversion", "-o", str(target), *loading
    )
    assert (code, err) == (0, "")
    assert "emb_params (1, 32)" in out
    assert "misses by" in out
    assert target.exists()


def test_what_cannot_be_inverted_is_refused(tiny: Model, tiny_folders: Any) -> None:
    with pytest.raises(AstrogateError, match="which word"):
        textual_inversion(tiny, Direction({"end": torch.ones(32)}, tiny.fingerprint))
    other = load(str(tiny_folders("flux")), device="cpu")
    with pytest.raises(AstrogateError, match="can't read pseudo-words"):
        textual_inversion(other, Direction({"end": torch.ones(32)}, other.fingerprint, origin={"toward": "fat"}))
    with pytest.raises(AstrogateError, match="another model"):
        textual_inversion(tiny, Direction({"end": torch.ones(32)}, other.fingerprint, origin={"toward": "fat"}))
    turned = replace(found(tiny), calibration=(-3.0, 2.0))
    for direction, scale, match in (
        (turned, 0.0, "scale 0 has nothing to fit"),
        (turned, float("nan"), "scale nan of fat - thin"),
        (turned, 1.5, "is calibrated from -1 to 1"),
        (found(tiny), 51.0, "goes from -50 to 50"),
    ):
        with pytest.raises(AstrogateError, match=match):
            textual_inversion(tiny, direction, scale=scale)
    with pytest.raises(AstrogateError, match="two or more"):
        textual_inversion(tiny, found(tiny), subjects=("dog",))
