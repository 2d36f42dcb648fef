# Written by `make stub` from the table in __init__.py.

from astrogate.actions.again import again as again
from astrogate.core.basis import Basis as Basis
from astrogate.core.direction import Direction as Direction
from astrogate.core.edit import Edit as Edit
from astrogate.core.errors import AstrogateError as AstrogateError
from astrogate.core.errors import AstrogateWarning as AstrogateWarning
from astrogate.core.parts import Guide as Guide
from astrogate.core.parts import Hold as Hold
from astrogate.core.parts import Moment as Moment
from astrogate.core.parts import Parts as Parts
from astrogate.core.parts import Steer as Steer
from astrogate.core.path import Path as Path
from astrogate.core.point import Point as Point
from astrogate.core.protocols import Distance as Distance
from astrogate.core.protocols import Model as Model
from astrogate.core.protocols import Predictor as Predictor
from astrogate.core.protocols import Reader as Reader
from astrogate.core.protocols import Readings as Readings
from astrogate.core.recipe import Frame as Frame
from astrogate.core.recipe import Recipe as Recipe
from astrogate.core.segment import Segment as Segment
from astrogate.measure.clip import Clip as Clip
from astrogate.measure.clip import clip_for as clip_for
from astrogate.measure.zero_shot import ZeroShot as ZeroShot
from astrogate.menagerie.oracle import Oracle as Oracle
from astrogate.menagerie.oracle import load_oracle as load_oracle
from astrogate.methods.concept.bias import Balanced as Balanced
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
from astrogate.methods.concept.vocabulary import Vocabulary as Vocabulary
from astrogate.methods.concept.vocabulary import vocabulary as vocabulary
from astrogate.methods.edit.calibrate import calibrate as calibrate
from astrogate.methods.edit.clip_guided import Stage as Stage
from astrogate.methods.edit.clip_guided import clip_guided as clip_guided
from astrogate.methods.edit.contrast import contrast as contrast
from astrogate.methods.edit.export import save_condelta as save_condelta
from astrogate.methods.edit.guidance import guide as guide
from astrogate.methods.edit.guidance import toward as toward
from astrogate.methods.edit.insert import insert as insert
from astrogate.methods.edit.style import style as style
from astrogate.methods.edit.textual_inversion import TextualInversion as TextualInversion
from astrogate.methods.edit.textual_inversion import textual_inversion as textual_inversion
from astrogate.methods.image.blend import blend as blend
from astrogate.methods.image.diff import diff as diff
from astrogate.methods.image.encode import encode as encode
from astrogate.methods.image.imagine import imagine as imagine
from astrogate.methods.image.probe import probe as probe
from astrogate.methods.image.vary import vary as vary
from astrogate.methods.path.neighbourhood import neighbourhood as neighbourhood
from astrogate.methods.path.pace import Pace as Pace
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
from astrogate.models.registry import AbilityError as AbilityError
from astrogate.models.sampler.fast import fast as fast
from astrogate.models.text.pseudo_word import save_pseudo_word as save_pseudo_word
from astrogate.models.unclip.adapter import UnCLIP as UnCLIP
from astrogate.ops.interpolate import lerp as lerp
from astrogate.ops.interpolate import mix as mix
from astrogate.ops.interpolate import nlerp as nlerp
from astrogate.ops.interpolate import slerp as slerp
from astrogate.ops.quantise import Codebook as Codebook
from astrogate.ops.quantise import fit_codebook as fit_codebook
from astrogate.rendering.cache import FrameCache as FrameCache
from astrogate.rendering.effects import Effect as Effect
from astrogate.rendering.effects import effects as effects
from astrogate.rendering.invert import invert as invert
from astrogate.rendering.pixels import fitted as fitted
from astrogate.rendering.pixels import read_picture as read_picture
from astrogate.rendering.pixels import to_tensor as to_tensor
from astrogate.rendering.record import save_png as save_png
from astrogate.rendering.render import render as render
from astrogate.rendering.sheet import sheet as sheet
from astrogate.rendering.strip import Strip as Strip
from astrogate.rendering.strip import grid as grid
from astrogate.rendering.strip import strip as strip
from astrogate.rendering.upscale import upscale as upscale
from astrogate.rendering.video import side_by_side as side_by_side
from astrogate.rendering.video import video as video

__version__: str
__all__ = [
    "AbilityError",
    "AstrogateError",
    "AstrogateWarning",
    "Balanced",
    "Basis",
    "Clip",
    "Codebook",
    "Direction",
    "Distance",
    "Edit",
    "Effect",
    "Frame",
    "FrameCache",
    "Guide",
    "Hold",
    "Model",
    "Moment",
    "Oracle",
    "Pace",
    "Parts",
    "Path",
    "Plan",
    "Point",
    "Predictor",
    "Reader",
    "Readings",
    "Recipe",
    "Response",
    "Segment",
    "Stage",
    "Steer",
    "Strip",
    "TextualInversion",
    "UnCLIP",
    "Vocabulary",
    "ZeroShot",
    "again",
    "balance",
    "basis_points",
    "blend",
    "calibrate",
    "clip_for",
    "clip_guided",
    "concepts",
    "contrast",
    "crop_views",
    "diff",
    "direction_of",
    "effects",
    "encode",
    "explain",
    "explain_image",
    "fast",
    "fit_codebook",
    "fitted",
    "grid",
    "guide",
    "imagine",
    "insert",
    "invert",
    "lerp",
    "load",
    "load_oracle",
    "manipulate",
    "mix",
    "mixtures",
    "neighbourhood",
    "nlerp",
    "pace",
    "pan",
    "picture_shares",
    "probe",
    "read_picture",
    "render",
    "response_to",
    "retimed",
    "save_condelta",
    "save_png",
    "save_pseudo_word",
    "sheet",
    "side_by_side",
    "slerp",
    "strip",
    "style",
    "textual_inversion",
    "to_tensor",
    "toward",
    "upscale",
    "vary",
    "video",
    "vocabulary",
    "walk",
    "walk_circle",
    "with_control",
    "with_image",
    "word_shares",
    "wrap",
]
