"""The pages that reproduce seeds are whole, on a tiny model with a reader of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.cache import FrameCache
from astrogate.studies.edit import editors, leaderboard, styles
from astrogate.studies.edit import latent_directions as reproduce_directions
from astrogate.studies.edit import style_strength as reproduce_style
from astrogate.studies.path import latent_walks as reproduce_walks
from tests.app.test_cli import run

CLASSES = {
    "subject": ("dog", "cat"), "medium": ("photo",), "scene": ("night",), "colour": ("black", "white"),
    "style": ("none", "happy"),
}  # fmt: skip


class Stub:
    """Reads shares of red, green and blue as factors."""

    def read(self, pictures: Tensor) -> Readings:
        mean = pictures.mean((2, 3))
        pair = torch.stack([mean[:, 0], mean[:, 1]], 1).softmax(1)
        one = torch.ones(len(pictures), 1)
        probabilities = {k: pair if len(v) == 2 else one for k, v in CLASSES.items()}
        values = {"build": mean[:, 0], "height": mean[:, 1], "mood": mean[:, 2], "strength": mean[:, 0]}
        return Readings(CLASSES, probabilities, values, torch.zeros(len(pictures), *pictures.shape[-2:]))


def check(page: str, titles: tuple[str, ...]) -> None:
    assert page.startswith("<!doctype html>")
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page)
    for title in titles:
        assert title in page, title
    for source in re.findall(r'src="([^"]*)"', page):
        assert re.match(r"data:(image/png|image/svg\+xml|video/mp4);base64,", source)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny language has no other media, subjects and words."""
    media, subjects = ("painting", "photo"), ("dog", "cat", "horse")

    def small(model: Model, toward: str, away: str | None = None, **options: Any) -> Any:
        return contrast(model, toward, away, **{**options, "subjects": subjects, "media": media})

    for module in (reproduce_directions, styles):
        monkeypatch.setattr(module, "contrast", small)
    monkeypatch.setattr(editors, "MEDIA", media)
    monkeypatch.setattr(editors, "SUBJECTS", subjects)
    monkeypatch.setattr(reproduce_directions, "_PAIRS", (("fat", "thin", "build"), ("happy", "sad", "colour")))
    monkeypatch.setattr(reproduce_directions, "_PROMPT", "a photo of a dog")
    monkeypatch.setattr(reproduce_directions, "_HAT", "a happy dog")


@pytest.mark.usefixtures("few")
def test_latent_directions(tiny: Model, clip: Clip) -> None:
    page = reproduce_directions.latent_directions(tiny, Stub(), clip, recipe=Recipe(3))
    check(
        page,
        (
            "fat - thin: mean difference",
            "fat - thin: words put into",
            "happy - sad: words put into",
            "How sure",
            "Lifecycle",
        ),
    )
    assert page.count("data:image/png") == 5


@pytest.mark.usefixtures("few")
def test_style_strength(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = tuple(styles.Case(f"a {word} dog", word, "happy", "dog") for word in ("happy", "fat", "sad"))
    monkeypatch.setattr(reproduce_style, "CASES", cases)
    monkeypatch.setattr(reproduce_style, "full_strength", lambda model, reader: "0.813")
    page = reproduce_style.style_strength(tiny, Stub(), seeds=(1, 2), recipe=Recipe(2))
    check(page, ("Figure 5", "Figure 6", "Figure 8", "Figure 9", "breaks down", "slerp, late"))
    assert page.count("data:image/png") == 2 + 3 * 9


def test_the_worlds_own_full_strength(menagerie: Model) -> None:
    """What the oracle reads of drawings at strength 1 is what a style can reach; it is not 1."""
    found = styles.full_strength(menagerie, load_oracle(), count=6)
    assert 0.7 < found.low < found.value < found.high < 0.95


def test_latent_walks(tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PROMPT", "_SCORED"):
        monkeypatch.setattr(reproduce_walks, name, "a photo of a cat")
    given = {"recipe": Recipe(2, scheduler="DPMSolverMultistep"), "frames": 4, "cache": FrameCache(tmp_path)}
    page = reproduce_walks.latent_walks(tiny, clip, **given)
    check(page, ("another spread", "Three interpolations", "Trajectories", "Text interpolation", "Translation",
                 "Slice mixing", "InterpScore", "Side by side", "four prompts"))  # fmt: skip
    width = tiny.point("a dog").tensors["latents"].shape[-1]
    assert page.count("<figure") == 11 + 2 * (width + 1)
    assert page.count("data:video/mp4") == 1
    assert page == reproduce_walks.latent_walks(tiny, clip, **given)


def test_another_model_needs_a_clip(tiny_folder: Path, tmp_path: Path) -> None:
    for args in (
        ("bench", "leakage", "-o", str(tmp_path / "x.md")),
        ("reproduce", "latent-directions", "-o", str(tmp_path)),
    ):
        code, _, err = run(*args, "--model", str(tiny_folder))
        assert (code, len(err.splitlines())) == (2, 1)
        assert "CLIPModel folder or hub id (clip)" in err
    with pytest.raises(AstrogateError, match="CLIPModel folder"):
        leaderboard.readers("elsewhere", None)
