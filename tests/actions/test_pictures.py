"""Requests from image embeddings: what can't be drawn is refused before the work, and frames come as they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from astrogate.actions.pictures import Blend, Imagine, Probe, Vary
from astrogate.core.errors import AstrogateError
from astrogate.methods.image.vary import vary
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.render import render


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16), "red").save(path)
    return path


def failing(what: str) -> Callable[..., Any]:
    return lambda *args, **options: pytest.fail(f"it {what}")


def test_variations_come_as_they_are_drawn(stack: UnCLIP, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row by row, to the bit what each share of noise gives by itself."""
    request = Vary.of(image=picture, n=3, seeds=2, steps=2, iterations=1, batch_size=1)
    points = vary(request.encoded(stack, picture)[0], 2)
    columns = [
        list(render(stack, points, recipe=replace(request.recipe(), eta=eta), batch_size=1)) for eta in (0, 0.5, 1)
    ]
    drawn: list[int] = []
    denoise = UnCLIP.denoise
    monkeypatch.setattr(
        UnCLIP, "denoise", lambda self, points, recipe: drawn.append(len(points)) or denoise(self, points, recipe)
    )
    frames = request.plan(stack).frames()
    assert drawn == []
    made = [next(frames)]
    assert drawn == [1]
    made += frames
    assert [frame.recipe.eta for frame in made] == [0, 0.5, 1] * 2
    wanted = [column[row] for row in range(2) for column in columns]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(made, wanted, strict=True))


def test_a_picture_is_not_blended_with_itself(picture: Path, tmp_path: Path) -> None:
    """Nor with its copy."""
    copy = tmp_path / "copy.png"
    copy.write_bytes(picture.read_bytes())
    for other in (picture, copy):
        with pytest.raises(AstrogateError, match="are the same picture: name two that differ"):
            Blend.of(first=picture, second=other).check()


def test_ranks_are_looked_at_before_the_inversion(
    stack: UnCLIP, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AstrogateError, match="ranks 2, 0: use numbers of 1 or more"):
        Probe.of(image=picture, ranks="2,0").check()
    with pytest.raises(AstrogateError, match="is no folder: name a folder of pictures"):
        Probe.of(image=picture, pictures=picture).check()
    with pytest.raises(AstrogateError, match="32 components of 1 picture: name a folder of more"):
        Probe.of(image=picture, pictures=picture.parent).check()
    monkeypatch.setattr(Probe, "encoded", failing("inverts"))
    with pytest.raises(AstrogateError, match="rank 99: choose from 1 to 6"):
        Probe.of(image=picture, ranks="1,99").plan(stack)


def test_a_noise_level_is_looked_at_before_the_prior_draws(stack: UnCLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnCLIP, "imagine", failing("draws"))
    with pytest.raises(AstrogateError, match="noise level 9999: choose 0 to"):
        Imagine.of(prompt="a dog", noise_level=9999).plan(stack)
