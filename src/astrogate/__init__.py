"""Astrogate: navigate, steer and explain the latent spaces of text-to-image diffusion models.

    import astrogate as ag

    model = ag.load("menagerie")
    point = model.point("a painting of a dog", seed=7)
    fat = ag.insert(model, point, "fat", before="dog", against="thin")
    ag.strip(model, point, fat).save("fat.png")

The public API is the table below; each name is imported when it is first used. `make stub` tells type checkers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: Public names by the module that they live in, floor by floor.
_PUBLIC = {
    "core.basis": "Basis",
    "core.direction": "Direction",
    "core.edit": "Edit",
    "core.errors": "AstrogateError AstrogateWarning",
    "core.parts": "Guide Hold Moment Parts Steer",
    "core.path": "Path",
    "core.point": "Point",
    "core.protocols": "Distance Model Predictor Reader Readings",
    "core.recipe": "Frame Recipe",
    "core.segment": "Segment",
    "ops.interpolate": "lerp mix nlerp slerp",
    "ops.quantise": "Codebook fit_codebook",
    "models.extras": "with_control with_image",
    "models.loading.load": "load wrap",
    "models.registry": "AbilityError",
    "models.sampler.fast": "fast",
    "models.text.pseudo_word": "save_pseudo_word",
    "models.unclip.adapter": "UnCLIP",
    "rendering.cache": "FrameCache",
    "rendering.invert": "invert",
    "rendering.pixels": "fitted read_picture to_tensor",
    "rendering.record": "save_png",
    "rendering.render": "render",
    "rendering.sheet": "sheet",
    "rendering.effects": "Effect effects",
    "rendering.strip": "Strip grid strip",
    "rendering.upscale": "upscale",
    "rendering.video": "side_by_side video",
    "measure.clip": "Clip clip_for",
    "measure.zero_shot": "ZeroShot",
    "menagerie.oracle": "Oracle load_oracle",
    "methods.concept.bias": "Balanced Response balance mixtures picture_shares response_to word_shares",
    "methods.concept.explain": "concepts explain",
    "methods.concept.explain_image": "explain_image",
    "methods.concept.manipulate": "direction_of manipulate",
    "methods.concept.plan": "Plan",
    "methods.concept.pseudo_point": "basis_points",
    "methods.concept.vocabulary": "Vocabulary vocabulary",
    "methods.edit.calibrate": "calibrate",
    "methods.edit.clip_guided": "Stage clip_guided",
    "methods.edit.contrast": "contrast",
    "methods.edit.export": "save_condelta",
    "methods.edit.guidance": "guide toward",
    "methods.edit.insert": "insert",
    "methods.edit.style": "style",
    "methods.edit.textual_inversion": "TextualInversion textual_inversion",
    "methods.image.blend": "blend",
    "methods.image.encode": "encode",
    "methods.image.imagine": "imagine",
    "methods.image.probe": "probe",
    "methods.image.diff": "diff",
    "methods.image.vary": "vary",
    "methods.path.neighbourhood": "neighbourhood",
    "methods.path.pace": "Pace pace retimed",
    "methods.path.pan": "crop_views pan",
    "methods.path.walk": "walk walk_circle",
    "actions.again": "again",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("astrogate")
    if name not in _HOME:
        raise AttributeError(f"module 'astrogate' has no attribute {name!r}")
    return getattr(import_module(f"astrogate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
