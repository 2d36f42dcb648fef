"""Astrogate: navigate, steer and explain the latent spaces of text-to-image diffusion models.

    import astrogate as ag

    model = ag.load("menagerie")
    point = ag.slide(model.point("a painting of a dog", seed=7), ag.contrast(model, "fat", "thin"))
    ag.sheet(ag.render(model, point)).save("fat.png")

The public API is what `__all__` names; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrogate.core.basis import Basis as Basis
    from astrogate.core.basis import load_basis as load_basis
    from astrogate.core.basis import save_basis as save_basis
    from astrogate.core.direction import Direction as Direction
    from astrogate.core.direction import place as place
    from astrogate.core.direction_file import load_direction as load_direction
    from astrogate.core.direction_file import save_direction as save_direction
    from astrogate.core.errors import AstrogateError as AstrogateError
    from astrogate.core.errors import AstrogateWarning as AstrogateWarning
    from astrogate.core.path import Path as Path
    from astrogate.core.point import Point as Point
    from astrogate.core.point import Steer as Steer
    from astrogate.core.protocols import Model as Model
    from astrogate.core.protocols import Reader as Reader
    from astrogate.core.protocols import Readings as Readings
    from astrogate.core.recipe import Frame as Frame
    from astrogate.core.recipe import Recipe as Recipe
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
    from astrogate.methods.edit.insert import inserted as inserted
    from astrogate.methods.edit.phrase import between as between
    from astrogate.methods.edit.phrase import phrase as phrase
    from astrogate.methods.edit.slide import grid as grid
    from astrogate.methods.edit.slide import slide as slide
    from astrogate.methods.image.blend import blend as blend
    from astrogate.methods.image.encode import encode as encode
    from astrogate.methods.image.prior import prior as prior
    from astrogate.methods.image.probe import probe as probe
    from astrogate.methods.image.textdiff import textdiff as textdiff
    from astrogate.methods.image.vary import vary as vary
    from astrogate.methods.path.neighbourhood import neighbourhood as neighbourhood
    from astrogate.methods.path.pace import pace as pace
    from astrogate.methods.path.pace import retimed as retimed
    from astrogate.methods.path.pan import pan as pan
    from astrogate.methods.path.pan import views as views
    from astrogate.methods.path.pan import wipe as wipe
    from astrogate.methods.path.walk import loop as loop
    from astrogate.methods.path.walk import redrawn as redrawn
    from astrogate.methods.path.walk import walk as walk
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
    from astrogate.ops.timing import eased as eased
    from astrogate.ops.timing import sample as sample
    from astrogate.ops.timing import uniform as uniform
    from astrogate.rendering.cache import FrameCache as FrameCache
    from astrogate.rendering.invert import invert as invert
    from astrogate.rendering.png import save_png as save_png
    from astrogate.rendering.render import render as render
    from astrogate.rendering.render import to_tensor as to_tensor
    from astrogate.rendering.sheet import sheet as sheet
    from astrogate.rendering.upscale import upscale as upscale
    from astrogate.rendering.video import side_by_side as side_by_side
    from astrogate.rendering.video import video as video

_HOME = {
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
    "Steer": "core.point",
    "balance": "methods.concept.bias",
    "basis_points": "methods.concept.pseudo_point",
    "between": "methods.edit.phrase",
    "blend": "methods.image.blend",
    "calibrate": "methods.edit.calibrate",
    "clip_guided": "methods.edit.clip_guided",
    "concepts": "methods.concept.explain",
    "contrast": "methods.edit.contrast",
    "direction_of": "methods.concept.manipulate",
    "eased": "ops.timing",
    "encode": "methods.image.encode",
    "explain": "methods.concept.explain",
    "explain_image": "methods.concept.explain_image",
    "fast": "models.sampler.fast",
    "grid": "methods.edit.slide",
    "guide": "methods.edit.guidance",
    "insert": "methods.edit.insert",
    "inserted": "methods.edit.insert",
    "invert": "rendering.invert",
    "lerp": "ops.interpolate",
    "load": "models.loading.load",
    "load_basis": "core.basis",
    "load_direction": "core.direction_file",
    "loop": "methods.path.walk",
    "manipulate": "methods.concept.manipulate",
    "mix": "ops.interpolate",
    "mixtures": "methods.concept.bias",
    "neighbourhood": "methods.path.neighbourhood",
    "nlerp": "ops.interpolate",
    "pace": "methods.path.pace",
    "pan": "methods.path.pan",
    "phrase": "methods.edit.phrase",
    "picture_shares": "methods.concept.bias",
    "place": "core.direction",
    "prior": "methods.image.prior",
    "probe": "methods.image.probe",
    "redrawn": "methods.path.walk",
    "render": "rendering.render",
    "response_to": "methods.concept.bias",
    "retimed": "methods.path.pace",
    "sample": "ops.timing",
    "save_basis": "core.basis",
    "save_direction": "core.direction_file",
    "save_png": "rendering.png",
    "save_pseudo_word": "models.text.pseudo_word",
    "sheet": "rendering.sheet",
    "side_by_side": "rendering.video",
    "slerp": "ops.interpolate",
    "slide": "methods.edit.slide",
    "textdiff": "methods.image.textdiff",
    "to_tensor": "rendering.render",
    "toward": "methods.edit.guidance",
    "uniform": "ops.timing",
    "upscale": "rendering.upscale",
    "vary": "methods.image.vary",
    "video": "rendering.video",
    "views": "methods.path.pan",
    "vocabulary": "methods.concept.vocabulary",
    "walk": "methods.path.walk",
    "wipe": "methods.path.pan",
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
