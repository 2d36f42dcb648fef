"""What a notebook prints of a value is one short line, without its tensors; frames and strips show their pictures."""

from __future__ import annotations

import io

import torch
from PIL import Image

import astrogate as ag
from astrogate.core.protocols import Model, Readings
from astrogate.measure.clip import Clip
from astrogate.methods.concept.vocabulary import Vocabulary
from astrogate.methods.edit.textual_inversion import TextualInversion


def test_values_say_what_they_are_in_one_line(tiny: Model, clip: Clip) -> None:
    point = tiny.point("a painting of a dog", seed=7)
    fat = ag.Direction({"end": torch.ones(32)}, tiny.fingerprint, "fat - thin")
    edit, table = fat.at(point), torch.rand(3, 8)
    guided = ag.guide(point, edit)
    basis = ag.Basis(("red", "dog", "snow"), torch.tensor([1.0, 3.0, 0.0]), {"a": table}, {"a": 1.0}, 2, "", "pet")
    frame = next(ag.render(tiny, point.apply(edit, 0.5), recipe=ag.Recipe(1)))
    words = Vocabulary(("red", "dog", "snow"), table, (table,), (1.0,), "", "", (0.9, 0.9, 0.9))
    readings = Readings({"subject": ("dog", "cat")}, {"subject": table[:, :2]}, {"build": table[:, 0]}, table)
    said = {
        repr(fat): "<Direction fat - thin, end>",
        repr(basis): "<Basis pet, dog 75%, red 25%, snow 0%>",
        repr(words): "<Vocabulary of 3 words>",
        repr(readings): "<Readings of 3 pictures, subject, build>",
    }
    assert [*said] == [*said.values()]
    assert repr(point).startswith('<Point "a painting of a dog" seed 7, ')
    values = [tiny, frame, edit, edit.above, guided.above, clip, ag.fit_codebook(torch.rand(9, 8), rank=2)]
    values += [TextualInversion((table,), 0.1), ag.walk(point, point.with_noise(1)), point.segments, ag.Recipe()]
    for text in map(repr, values):
        assert len(text) < 400, text
        assert "\n" not in text
        assert "tensor(" not in text


def test_frames_and_strips_show_their_pictures(tiny: Model) -> None:
    point = tiny.point("a painting of a dog")
    edit = ag.Direction({"end": torch.ones(32)}, tiny.fingerprint).at(point)
    strip = ag.strip(tiny, point, edit, n=3, recipe=ag.Recipe(1))
    for shown, size in ((strip.frames[0], (16, 16)), (strip, strip.image().size)):
        assert Image.open(io.BytesIO(shown._repr_png_())).size == size
