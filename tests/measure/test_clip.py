"""Which CLIP sees a model's pictures: the one in the model's own folder, or the one that is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.measure.clip import clip_for, own_part
from astrogate.models.loading.locate import shipped_folder
from tests.checkpoints import clip_model


def test_the_shipped_folder_has_its_own_clip_however_it_is_named() -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    by_name = clip_for("menagerie", None).images(picture)
    assert torch.equal(clip_for(str(shipped_folder()), None).images(picture), by_name)
    assert torch.equal(clip_for("menagerie-unclip", None).images(picture), by_name)


def test_a_folder_that_holds_a_clip_is_seen_by_it(tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match=r"has no CLIP to see .*: name a CLIPModel folder or hub id \(clip\)"):
        clip_for(str(tmp_path), None)
    clip_model(tmp_path / "clip")
    assert clip_for(str(tmp_path), None).side == clip_for("anything", tmp_path / "clip").side
    assert own_part(str(tmp_path), "oracle") is None
    shutil.copytree(shipped_folder() / "oracle", tmp_path / "oracle")
    assert own_part(str(tmp_path), "oracle") == tmp_path / "oracle"
