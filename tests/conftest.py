"""Tiny random checkpoints in stock format; nothing here needs a network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from astrogate.core.protocols import Model
from astrogate.measure.features import Clip
from astrogate.models.load import load, shipped_folder
from tests.checkpoints import FAMILIES, clip_model


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's checkpoint, made when it is first asked for."""

    @cache
    def made(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        FAMILIES[family](folder)
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_folder(tiny_folders: Callable[[str], Path]) -> Path:
    return tiny_folders("sd")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Model:
    return load(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def menagerie() -> Model:
    assert shipped_folder().exists(), "the shipped weights are missing"
    return load(device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    clip_model(folder)
    return Clip(folder)


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(tiny_folders: Callable[[str], Path], family: str) -> Model:
    """A tiny checkpoint of every family in turn."""
    return load(str(tiny_folders(family)), device="cpu")
