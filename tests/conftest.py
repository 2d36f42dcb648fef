"""Tiny random checkpoints in stock format; nothing here needs a network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
import torch

from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.image.encode import encode
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import shipped_folder
from astrogate.models.unclip.adapter import UnCLIP
from tests.checkpoints import FAMILIES, clip_model
from tests.unclip_checkpoints import ours


def made_once(
    makers: Mapping[str, Callable[[Path], object]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a checkpoint by its name in `makers`, made when it is first asked for."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        makers[name](folder)
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return made_once(FAMILIES, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_folder(tiny_folders: Callable[[str], Path]) -> Path:
    return tiny_folders("stable_diffusion")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Model:
    return load(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def menagerie() -> Model:
    assert shipped_folder().exists(), "the shipped weights are missing"
    return load("menagerie-64", device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    clip_model(folder)
    return Clip(folder)


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def tiny_models(tiny_folders: Callable[[str], Path]) -> Callable[[str], Model]:
    """A tiny checkpoint by its family, loaded when it is first asked for; a test leaves it as it was."""
    return cache(lambda family: load(str(tiny_folders(family)), device="cpu"))


@pytest.fixture
def model(tiny_models: Callable[[str], Model], family: str) -> Model:
    """A tiny checkpoint of every family in turn."""
    return tiny_models(family)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> UnCLIP:
    """A tiny stack of unCLIP in our own layout."""
    folder = tmp_path_factory.mktemp("unclip")
    ours(folder)
    model = load(str(folder), device="cpu")
    assert isinstance(model, UnCLIP)
    return model


@pytest.fixture(scope="session")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def encoded(stack: UnCLIP, pictures: torch.Tensor) -> list[Point]:
    """Two pictures as points of `stack`, by 25 steps."""
    return encode(stack, pictures, recipe=Recipe(25, 1.0), iterations=10)
