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
    from astrogate.measure.features import Clip as Clip
    from astrogate.methods.bias import Response as Response
    from astrogate.methods.bias import balance as balance
    from astrogate.methods.bias import mixtures as mixtures
    from astrogate.methods.bias import picture_shares as picture_shares
    from astrogate.methods.bias import response_to as response_to
    from astrogate.methods.bias import word_shares as word_shares
    from astrogate.methods.blend import blend as blend
    from astrogate.methods.calibrate import calibrate as calibrate
    from astrogate.methods.clip_guided import clip_guided as clip_guided
    from astrogate.methods.conceptor import concepts as concepts
    from astrogate.methods.conceptor import explain as explain
    from astrogate.methods.concepts.plan import Plan as Plan
    from astrogate.methods.concepts.point import basis_points as basis_points
    from astrogate.methods.contrast import contrast as contrast
    from astrogate.methods.encode import encode as encode
    from astrogate.methods.explain_image import explain_image as explain_image
    from astrogate.methods.guidance import guide as guide
    from astrogate.methods.guidance import toward as toward
    from astrogate.methods.insert import insert as insert
    from astrogate.methods.insert import inserted as inserted
    from astrogate.methods.manipulate import direction_of as direction_of
    from astrogate.methods.manipulate import manipulate as manipulate
    from astrogate.methods.neighbourhood import neighbourhood as neighbourhood
    from astrogate.methods.pace import pace as pace
    from astrogate.methods.pace import retimed as retimed
    from astrogate.methods.pan import pan as pan
    from astrogate.methods.pan import views as views
    from astrogate.methods.pan import wipe as wipe
    from astrogate.methods.phrase import between as between
    from astrogate.methods.phrase import phrase as phrase
    from astrogate.methods.prior import prior as prior
    from astrogate.methods.probe import probe as probe
    from astrogate.methods.slide import grid as grid
    from astrogate.methods.slide import slide as slide
    from astrogate.methods.textdiff import textdiff as textdiff
    from astrogate.methods.vary import vary as vary
    from astrogate.methods.vocabulary import vocabulary as vocabulary
    from astrogate.methods.walk import loop as loop
    from astrogate.methods.walk import redrawn as redrawn
    from astrogate.methods.walk import walk as walk
    from astrogate.models.extras import with_control as with_control
    from astrogate.models.extras import with_image as with_image
    from astrogate.models.fast import fast as fast
    from astrogate.models.load import load as load
    from astrogate.models.load import wrap as wrap
    from astrogate.models.pseudo_word import save_pseudo_word as save_pseudo_word
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
    "Clip": "measure.features",
    "Direction": "core.direction",
    "Frame": "core.recipe",
    "FrameCache": "rendering.cache",
    "Model": "core.protocols",
    "Path": "core.path",
    "Plan": "methods.concepts.plan",
    "Point": "core.point",
    "Reader": "core.protocols",
    "Readings": "core.protocols",
    "Recipe": "core.recipe",
    "Response": "methods.bias",
    "Steer": "core.point",
    "balance": "methods.bias",
    "basis_points": "methods.concepts.point",
    "between": "methods.phrase",
    "blend": "methods.blend",
    "calibrate": "methods.calibrate",
    "clip_guided": "methods.clip_guided",
    "concepts": "methods.conceptor",
    "contrast": "methods.contrast",
    "direction_of": "methods.manipulate",
    "eased": "ops.timing",
    "encode": "methods.encode",
    "explain": "methods.conceptor",
    "explain_image": "methods.explain_image",
    "fast": "models.fast",
    "grid": "methods.slide",
    "guide": "methods.guidance",
    "insert": "methods.insert",
    "inserted": "methods.insert",
    "invert": "rendering.invert",
    "lerp": "ops.interpolate",
    "load": "models.load",
    "load_basis": "core.basis",
    "load_direction": "core.direction_file",
    "loop": "methods.walk",
    "manipulate": "methods.manipulate",
    "mix": "ops.interpolate",
    "mixtures": "methods.bias",
    "neighbourhood": "methods.neighbourhood",
    "nlerp": "ops.interpolate",
    "pace": "methods.pace",
    "pan": "methods.pan",
    "phrase": "methods.phrase",
    "picture_shares": "methods.bias",
    "place": "core.direction",
    "prior": "methods.prior",
    "probe": "methods.probe",
    "redrawn": "methods.walk",
    "render": "rendering.render",
    "response_to": "methods.bias",
    "retimed": "methods.pace",
    "sample": "ops.timing",
    "save_basis": "core.basis",
    "save_direction": "core.direction_file",
    "save_png": "rendering.png",
    "save_pseudo_word": "models.pseudo_word",
    "sheet": "rendering.sheet",
    "side_by_side": "rendering.video",
    "slerp": "ops.interpolate",
    "slide": "methods.slide",
    "textdiff": "methods.textdiff",
    "to_tensor": "rendering.render",
    "toward": "methods.guidance",
    "uniform": "ops.timing",
    "upscale": "rendering.upscale",
    "vary": "methods.vary",
    "video": "rendering.video",
    "views": "methods.pan",
    "vocabulary": "methods.vocabulary",
    "walk": "methods.walk",
    "wipe": "methods.pan",
    "with_control": "models.extras",
    "with_image": "models.extras",
    "word_shares": "methods.bias",
    "wrap": "models.load",
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
