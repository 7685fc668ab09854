"""Towers: whatever the batch, the order and the length that texts are cut to, the embedding is open_clip's own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.clip import Clip, load_clip, open_clip
from pipeline.score.decoding.pixels import picture_of, recipe_of
from pipeline.score.towers import Towers, cosines, stored

TEXTS = ["a", "", "a dog on the grass " * 10, "two words", "née 東京", "the longest of all of these is this one here", "b"] * 3
KINDS = {
    "plain": {},
    "custom-text": {"custom_text": True},
    "eos": {"text_cfg": {"pool_type": "eos", "eos_id": 49407}},
    # As SigLIP's: each token sees all, and the last one is taken.
    "unmasked-last": {"custom_text": True, "text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
    "coca": {
        "multimodal_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
        "vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {"embed_cls": True, "output_tokens": True},
        "custom_text": True,
    },
}
TRIMMED = {"plain", "custom-text", "eos"}


@pytest.fixture(scope="module", params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def clip(kind: str, tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    config = dict(tiny_config)
    for name, value in KINDS[kind].items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    path = tmp_path_factory.mktemp(kind) / f"towers-{kind}.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return load_clip(f"towers-{kind}", None)


@torch.inference_mode()
def open_clips(clip: Clip, tokens: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(clip.model.encode_text(tokens), dim=-1).numpy()


@pytest.mark.parametrize("size", [1, 4, 100])
def test_texts_of_any_length_in_any_batch_have_open_clips_embeddings(clip: Clip, kind: str, size: int):
    towers = Towers(clip)
    tokens = clip.tokenizer(TEXTS)
    found = towers.texts(tokens.numpy().astype(np.int32), size).numpy()
    assert np.abs(found - open_clips(clip, tokens)).max() < 1e-5
    assert (towers._causal is not None) == (kind in TRIMMED)


def test_a_tower_that_was_shortened_is_as_before(clip: Clip):
    tokens = clip.tokenizer(TEXTS)
    before = open_clips(clip, tokens)
    state = {name: value.numpy().tobytes() for name, value in clip.model.state_dict().items()}
    Towers(clip).texts(tokens.numpy().astype(np.int32), 2)
    assert np.array_equal(open_clips(clip, tokens), before)
    assert {name: value.numpy().tobytes() for name, value in clip.model.state_dict().items()} == state


def test_short_texts_are_computed_short(tiny):
    clip = load_clip(tiny.name, tiny.checkpoint)
    lengths = []
    clip.model.token_embedding.register_forward_hook(lambda _, inputs, __: lengths.append(tuple(inputs[0].shape)))
    Towers(clip).texts(clip.tokenizer(["a b c d e f", "a", "a b c d e", "a", "a"]).numpy(), 2)
    assert lengths == [(2, 3), (1, 3), (2, 8)]


def test_images_have_open_clips_embeddings_bit_for_bit(tiny, picture):
    import io

    clip = load_clip(tiny.name, tiny.checkpoint)
    recipe = recipe_of(clip.model.visual.preprocess_cfg, exact=True)
    encoded = [picture(i, size=(60 + i, 50)) for i in range(5)]
    pixels = np.stack([picture_of(each, [recipe]).seen[0] for each in encoded])
    with torch.inference_mode():
        plain = torch.stack([clip.preprocess(Image.open(io.BytesIO(each))) for each in encoded])
        expected = torch.nn.functional.normalize(clip.model.encode_image(plain), dim=-1)
    assert torch.equal(Towers(clip).images(pixels), expected)


def test_nothing_has_no_embeddings_of_the_right_width(tiny):
    towers = Towers(load_clip(tiny.name, tiny.checkpoint))
    assert towers.texts(np.empty((0, 16), np.int32), 4).shape == (0, towers.width) == (0, 32)


def test_cosines_are_of_what_is_not_rounded_yet():
    image, text = (torch.nn.functional.normalize(torch.randn(50, 64, generator=torch.manual_seed(i)), dim=-1) for i in (0, 1))
    assert np.array_equal(cosines(image, text), (image * text).sum(dim=1).numpy())
    assert stored(image).dtype == np.float16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_scores_do_not_depend_on_batch_or_order(tiny, picture, precision: str):
    clip = load_clip(tiny.name, tiny.checkpoint, precision=precision)
    towers, recipe = Towers(clip), recipe_of(clip.model.visual.preprocess_cfg, exact=False)
    pixels = np.stack([picture_of(picture(i), [recipe]).seen[0] for i in range(len(TEXTS))])
    tokens = clip.tokenizer(TEXTS).numpy().astype(np.int32)
    order = np.random.default_rng(0).permutation(len(TEXTS))

    def scores(size: int, order: np.ndarray) -> np.ndarray:
        images = torch.cat([towers.images(pixels[order][at : at + size]) for at in range(0, len(order), size)])
        return cosines(images, towers.texts(tokens[order], size))[np.argsort(order)]

    reference = scores(1, np.arange(len(TEXTS)))
    for size in (2, 5, 21):
        assert np.abs(scores(size, order) - reference).max() < 1e-3
