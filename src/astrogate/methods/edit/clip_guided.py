"""CLIP-guided generation: the gradient of CLIP's cosine similarity drives the picture.

It is steps 1 to 7 of the post "Exploring CLIP latent space". At every step, with x0 the picture that the denoiser
expects and t the text's feature,

    eps' = eps - s |eps| g / |g|,   g = grad_x cos(CLIP(x0(x)), t)

so that `scale` s is a share of the noise's own norm. This is classifier guidance (Dhariwal & Nichol 2021) with CLIP in
the classifier's place (Crowson 2021), on DDIM's deterministic sampler. With `guidance_scale` 0 the denoiser sees the
negative prompt alone, and CLIP is all that knows the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Predictor
from astrogate.core.recipe import Frame, Recipe
from astrogate.core.state import usual
from astrogate.core.texts import check_said
from astrogate.core.values import real, several
from astrogate.measure.clip import Clip
from astrogate.models.registry import require
from astrogate.models.sampler.edits import with_bases
from astrogate.models.text.prompts import check_length
from astrogate.ops.ddim import clean, step
from astrogate.rendering.invert import by_ddim
from astrogate.rendering.pixels import to_images
from astrogate.rendering.render import check_size


@dataclass(frozen=True, slots=True)
class Stage:
    """The pictures that the denoiser expects after a step, and their cosines to the text; `u` is the share done."""

    u: float
    cosines: tuple[float, ...]
    frames: tuple[Frame, ...]


def clip_guided(
    model: Predictor,
    clip: Clip,
    points: Sequence[Point],
    text: str,
    *,
    scale: float = 0.1,
    recipe: Recipe | None = None,
) -> Iterator[Stage]:
    """Draw points in one batch, pulled towards `text`; one stage a step, the last with the finished pictures.

    Frames say in their recipe that DDIM draws them, in the model's own dtype. Raises AstrogateError for an empty text,
    an absurd scale, another scheduler or dtype, an eta, a size that is not the points', and a model that does not
    predict noise step by step.
    """
    recipe = by_ddim(recipe or model.recipe)
    if recipe.dtype not in (None, model.dtype):
        raise AstrogateError(f"dtype {recipe.dtype} on a model of {model.dtype}", "load the model in that dtype")
    check_said(text, "the text", 'say what to draw, e.g. "dog with a hat"')
    scale = real(scale, "scale", 0, 2, "use a share of the noise from 0 to 2")
    points = several(points, Point, "point", "make one by model.point(prompt)")
    require(model, "step")
    for point in points:
        check_size(model, point, recipe)
    check_length(text, clip.tokenizer)
    target = clip.texts([text]).to(clip.mean.device)
    settings = {"method": "clip_guided", "text": text, "scale": scale}
    drawn = [replace(point, origin={**point.origin, "clip_guided": settings}) for point in points]
    if recipe.guidance_scale == 0:
        drawn = [replace(point, tensors=_negative(point.tensors)) for point in drawn]
    levels = model.levels(recipe.num_inference_steps)
    count, drawn = len(drawn), with_bases(drawn)
    x = torch.stack([point.tensors["latents"] for point in drawn])
    for i, (timestep, a) in enumerate(levels[:-1]):
        u = i / (len(levels) - 1)
        with usual(), torch.set_grad_enabled(scale > 0):
            x = x.detach().clone().requires_grad_(scale > 0)
            eps = model.epsilon(drawn, x, timestep, guidance_scale=recipe.guidance_scale, u=u)
            if scale > 0:
                features = clip.images_with_gradient(model.picture(clean(x.to(eps), eps, a)))
                gradient = torch.autograd.grad((features @ target.T).sum(), x)[0].to(eps)
                eps = (eps - scale * _norm(eps) * gradient / _norm(gradient).clamp(min=1e-20)).detach()
        with usual():
            x0 = clean(x.detach().to(eps), eps, a)
            x = step(x.detach().to(eps), eps, a, levels[i + 1][1])
            expected = model.decode((x if i == len(levels) - 2 else x0)[:count])
            cosines = clip.images(expected) @ target.T.cpu()
        frames = tuple(Frame(image, point, recipe) for image, point in zip(to_images(expected), drawn, strict=False))
        yield Stage((i + 1) / (len(levels) - 1), tuple(float(c) for c in cosines[:, 0]), frames)


def _negative(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A point's tensors, those of the positive half replaced by the negative's."""
    return {space: tensors.get(f"negative_{space}", tensor) for space, tensor in tensors.items()}


def _norm(x: Tensor) -> Tensor:
    """The norm of each item [n, ...], with its axes kept."""
    return x.flatten(1).square().sum(1).sqrt().reshape(-1, *[1] * (x.ndim - 1))
