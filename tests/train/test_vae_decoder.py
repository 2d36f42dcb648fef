"""What teaches the large decoder: features of squares, and a discriminator that leaves it alone."""

from __future__ import annotations

import numpy as np
import torch

from astrogate.measure.clip import clip_for
from astrogate.menagerie.drawing import draw
from astrogate.menagerie.world import scene_at
from astrogate.rendering.pixels import to_tensor
from astrogate.train.parts.vae_decoder import Patches, Weights, adversarial, crops, perceived, squares, vision_layers


def test_squares_are_cut_row_by_row() -> None:
    pictures = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    cut = squares(pictures, 2)
    assert cut.shape == (8, 3, 2, 2)
    assert torch.equal(cut[1], pictures[0, :, :2, 2:])
    assert torch.equal(cut[6], pictures[1, :, 2:, :2])


def test_what_clip_sees_of_squares_is_its_perceptual_distance() -> None:
    clip = clip_for("menagerie", None)
    a, b = (to_tensor([draw(scene_at(3, i), 128)]) for i in (0, 1))
    layers = vision_layers(clip.model.vision_model)
    with torch.no_grad():
        far = perceived(layers, 2 * a - 1, 2 * b - 1)
        assert perceived(layers, a, a) == 0
    expected = clip.between(squares(a, 64), squares(b, 64)).mean()
    assert torch.allclose(far, expected, atol=1e-4)
    assert all(f.shape == (4, 128, 8, 8) for f in layers(a))


def test_decoder_and_discriminator_learn_apart() -> None:
    torch.manual_seed(0)
    judge = Patches((4, 4, 4)).eval()  # its spectral norms stay as they are
    drawn, real = torch.randn(3, 6, 32, 32, requires_grad=True), torch.randn(2, 6, 32, 32)
    adversarial(judge, drawn, real, Weights()).backward()
    assert drawn.grad is not None
    of_both, of_judge = drawn.grad.clone(), [p.grad.clone() for p in judge.parameters() if p.grad is not None]
    drawn.grad = None
    judge.zero_grad()
    free = Weights(adversarial=0.0, features=0.0)
    adversarial(judge, drawn, real, free).backward()
    assert of_both.abs().sum() > 0
    assert drawn.grad is None or not drawn.grad.any()
    assert all(torch.equal(a, p.grad) for a, p in zip(of_judge, judge.parameters(), strict=True) if p.grad is not None)


def test_crops_are_taken_where_asked() -> None:
    arrays = np.arange(2 * 1 * 6 * 6).reshape(2, 1, 6, 6)
    cut = crops(arrays, np.array([0, 2]), np.array([3, 1]), 2)
    assert torch.equal(cut[1, 0], torch.from_numpy(arrays[1, 0, 2:4, 1:3]).float())
