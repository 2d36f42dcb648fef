"""Astrogate: navigate, steer and explain the latent spaces of text-to-image diffusion models.

    import astrogate as ag

    model = ag.load("menagerie")
    point = model.point("a painting of a dog", seed=7)
    fat = ag.insert(model, point, "fat", before="dog", against="thin")
    ag.strip(model, point, fat).save("fat.png")

The public API is what `__all__` names; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrogate.actions.again import again as again
    from astrogate.core.basis import Basis as Basis
    from astrogate.core.direction import Direction as Direction
    from astrogate.core.edit import Edit as Edit
    from astrogate.core.errors import AstrogateError as AstrogateError
    from astrogate.core.errors import AstrogateWarning as AstrogateWarning
    from astrogate.core.parts import Guide as Guide
    from astrogate.core.parts import Hold as Hold
    from astrogate.core.parts import Parts as Parts
    from astrogate.core.parts import Steer as Steer
    from astrogate.core.path import Path as Path
    from astrogate.core.point import Point as Point
    from astrogate.core.protocols import Model as Model
    from astrogate.core.protocols import Reader as Reader
    from astrogate.core.protocols import Readings as Readings
    from astrogate.core.recipe import Frame as Frame
    from astrogate.core.recipe import Recipe as Recipe
    from astrogate.core.segment import Segment as Segment
    from astrogate.measure.clip import Clip as Clip
    from astrogate.methods.concept.bias import Response as Response
    from astrogate.methods.concept.bias import balance as balance
    from astrogate.methods.concept.bias import mixtures as mixtures
    from astrogate.methods.concept.bias import picture_shares as picture_shares
    from astrogate.methods.concept.bias import response_to as response_to
    from astrogate.methods.concept.bias import word_shares as word_shares
    from astrogate.methods.concept.explain import concepts as concepts
    from astrogate.methods.concept.explain import explain as explain
    from astrogate.methods.concept.explain_image import explain_image as explain_image
    from astrogate.methods.concept.manipulate import direction_of as direction_of
    from astrogate.methods.concept.manipulate import manipulate as manipulate
    from astrogate.methods.concept.plan import Plan as Plan
    from astrogate.methods.concept.pseudo_point import basis_points as basis_points
    from astrogate.methods.concept.vocabulary import vocabulary as vocabulary
    from astrogate.methods.edit.calibrate import calibrate as calibrate
    from astrogate.methods.edit.clip_guided import clip_guided as clip_guided
    from astrogate.methods.edit.contrast import contrast as contrast
    from astrogate.methods.edit.guidance import guide as guide
    from astrogate.methods.edit.guidance import toward as toward
    from astrogate.methods.edit.insert import insert as insert
    from astrogate.methods.edit.phrase import phrase as phrase
    from astrogate.methods.image.blend import blend as blend
    from astrogate.methods.image.encode import encode as encode
    from astrogate.methods.image.prior import prior as prior
    from astrogate.methods.image.probe import probe as probe
    from astrogate.methods.image.textdiff import textdiff as textdiff
    from astrogate.methods.image.vary import vary as vary
    from astrogate.methods.path.neighbourhood import neighbourhood as neighbourhood
    from astrogate.methods.path.pace import pace as pace
    from astrogate.methods.path.pace import retimed as retimed
    from astrogate.methods.path.pan import crop_views as crop_views
    from astrogate.methods.path.pan import pan as pan
    from astrogate.methods.path.walk import walk as walk
    from astrogate.methods.path.walk import walk_circle as walk_circle
    from astrogate.models.extras import with_control as with_control
    from astrogate.models.extras import with_image as with_image
    from astrogate.models.loading.load import load as load
    from astrogate.models.loading.load import wrap as wrap
    from astrogate.models.sampler.fast import fast as fast
    from astrogate.models.text.pseudo_word import save_pseudo_word as save_pseudo_word
    from astrogate.ops.interpolate import lerp as lerp
    from astrogate.ops.interpolate import mix as mix
    from astrogate.ops.interpolate import nlerp as nlerp
    from astrogate.ops.interpolate import slerp as slerp
    from astrogate.rendering.cache import FrameCache as FrameCache
    from astrogate.rendering.invert import invert as invert
    from astrogate.rendering.record import save_png as save_png
    from astrogate.rendering.render import render as render
    from astrogate.rendering.sheet import sheet as sheet
    from astrogate.rendering.strip import Strip as Strip
    from astrogate.rendering.strip import grid as grid
    from astrogate.rendering.strip import strip as strip
    from astrogate.rendering.upscale import upscale as upscale
    from astrogate.rendering.video import side_by_side as side_by_side
    from astrogate.rendering.video import video as video

_HOME = {
    "Edit": "core.edit",
    "Guide": "core.parts",
    "Hold": "core.parts",
    "Parts": "core.parts",
    "Segment": "core.segment",
    "Strip": "rendering.strip",
    "strip": "rendering.strip",
    "walk_circle": "methods.path.walk",
    "crop_views": "methods.path.pan",
    "again": "actions.again",
    "AstrogateError": "core.errors",
    "AstrogateWarning": "core.errors",
    "Basis": "core.basis",
    "Clip": "measure.clip",
    "Direction": "core.direction",
    "Frame": "core.recipe",
    "FrameCache": "rendering.cache",
    "Model": "core.protocols",
    "Path": "core.path",
    "Plan": "methods.concept.plan",
    "Point": "core.point",
    "Reader": "core.protocols",
    "Readings": "core.protocols",
    "Recipe": "core.recipe",
    "Response": "methods.concept.bias",
    "Steer": "core.parts",
    "balance": "methods.concept.bias",
    "basis_points": "methods.concept.pseudo_point",
    "blend": "methods.image.blend",
    "calibrate": "methods.edit.calibrate",
    "clip_guided": "methods.edit.clip_guided",
    "concepts": "methods.concept.explain",
    "contrast": "methods.edit.contrast",
    "direction_of": "methods.concept.manipulate",
    "encode": "methods.image.encode",
    "explain": "methods.concept.explain",
    "explain_image": "methods.concept.explain_image",
    "fast": "models.sampler.fast",
    "grid": "rendering.strip",
    "guide": "methods.edit.guidance",
    "insert": "methods.edit.insert",
    "invert": "rendering.invert",
    "lerp": "ops.interpolate",
    "load": "models.loading.load",
    "manipulate": "methods.concept.manipulate",
    "mix": "ops.interpolate",
    "mixtures": "methods.concept.bias",
    "neighbourhood": "methods.path.neighbourhood",
    "nlerp": "ops.interpolate",
    "pace": "methods.path.pace",
    "pan": "methods.path.pan",
    "phrase": "methods.edit.phrase",
    "picture_shares": "methods.concept.bias",
    "prior": "methods.image.prior",
    "probe": "methods.image.probe",
    "render": "rendering.render",
    "response_to": "methods.concept.bias",
    "retimed": "methods.path.pace",
    "save_png": "rendering.record",
    "save_pseudo_word": "models.text.pseudo_word",
    "sheet": "rendering.sheet",
    "side_by_side": "rendering.video",
    "slerp": "ops.interpolate",
    "textdiff": "methods.image.textdiff",
    "to_tensor": "rendering.pixels",
    "toward": "methods.edit.guidance",
    "upscale": "rendering.upscale",
    "vary": "methods.image.vary",
    "video": "rendering.video",
    "vocabulary": "methods.concept.vocabulary",
    "walk": "methods.path.walk",
    "with_control": "models.extras",
    "with_image": "models.extras",
    "word_shares": "methods.concept.bias",
    "wrap": "models.loading.load",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("astrogate")
    if name not in _HOME:
        raise AttributeError(f"module 'astrogate' has no attribute {name!r}")
    return getattr(import_module(f"astrogate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
