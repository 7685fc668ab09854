from dataclasses import replace
from random import Random

import numpy as np
import pytest

from pipeline.demo import translations
from pipeline.demo.captions import NAMES, PLACES, caption
from pipeline.demo.scenes import BACKDROPS, COLOURS, SHAPES, SIZES, draw, sample_scene


def scene_of(**changes):
    scene = sample_scene(Random(1))
    main = replace(
        scene.main, x=0.5, y=0.5, turn_deg=0, side=0.8, **{k: v for k, v in changes.items() if k in ("shape", "colour")}
    )
    return replace(scene, main=main, second=None, **{k: v for k, v in changes.items() if k == "background"})


def test_there_are_at_least_twelve_shapes_and_eight_colours_each_with_a_name():
    assert len(SHAPES) >= 12
    assert len(COLOURS) >= 8
    assert set(NAMES) == set(SHAPES)
    assert set(PLACES) == set(BACKDROPS)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_drawn_within_the_picture_in_its_colour(shape):
    red = np.asarray(draw(scene_of(shape=shape, colour="red", background="plain"), 96), dtype=int)
    reddish = (red[..., 0] > 110) & (red[..., 1] < 90) & (red[..., 2] < 90)
    assert 0.01 < reddish.mean() < 0.75


@pytest.mark.parametrize("background", BACKDROPS)
def test_a_background_fills_any_aspect(background):
    for width, height in ((64, 48), (48, 120), (300, 40)):
        assert draw(scene_of(background=background), width, height).size == (width, height)


def test_the_same_scene_gives_the_same_pixels_and_another_seed_another_scene():
    first, again, other = (sample_scene(Random(seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert draw(first, 128).tobytes() == draw(again, 128).tobytes()


def test_sixteen_shapes_look_different():
    pictures = [np.asarray(draw(scene_of(shape=shape, colour="blue", background="plain"), 48), dtype=float) for shape in SHAPES]
    distances = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(distances) > 4


def test_a_caption_names_the_colour_and_the_thing():
    rng = Random(5)
    for _ in range(300):
        scene = sample_scene(rng)
        text = caption(scene, rng).lower()
        assert scene.main.colour in text
        assert any(name in text for name in NAMES[scene.main.shape])
        assert len(text.split()) > 2


def test_captions_hardly_repeat():
    rng = Random(6)
    assert len({caption(sample_scene(rng), rng) for _ in range(1000)}) > 970


def test_every_size_is_drawn():
    rng = Random(8)
    assert {sample_scene(rng).size for _ in range(100)} == set(SIZES)


@pytest.mark.parametrize("language", translations.LANGUAGES, ids=lambda language: language.code)
def test_a_language_has_a_word_for_every_thing_colour_and_place(language):
    lengths = [len(words.split("|")) for words in (language.things, language.colours, language.places)]
    assert lengths == [len(SHAPES), len(COLOURS), len(BACKDROPS)]


def test_translated_captions_say_the_thing_in_that_language():
    german = translations.LANGUAGES[0]
    text = translations.caption_in(german, scene_of(shape="car", colour="red", background="sea"), Random(0))
    assert "ein Auto in Rot am Meer" in text


def test_the_words_of_translations_stand_in_the_order_of_the_scenes():
    assert translations._THINGS == SHAPES
    assert translations._COLOURS == COLOURS
    assert translations._PLACES == BACKDROPS
