"""Menagerie: a procedural world with known factors, its captions, its oracle, and the weights trained on it."""

from astrogate.menagerie.captions import Caption as Caption
from astrogate.menagerie.captions import caption as caption
from astrogate.menagerie.drawing import draw as draw
from astrogate.menagerie.drawing import draw_with_mask as draw_with_mask
from astrogate.menagerie.facts import FACTS as FACTS
from astrogate.menagerie.world import Scene as Scene
from astrogate.menagerie.world import sample_scene as sample_scene
from astrogate.menagerie.world import visible as visible
