"""What a scene's caption says: varied natural English, always true of the scene."""

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.demo.scenes import Scene, Thing

# The first name is used mostly; the others now and then.
NAMES: dict[str, tuple[str, ...]] = {
    "house": ("house", "little house", "cottage"),
    "tree": ("tree", "leafy tree"),
    "car": ("car", "toy car", "automobile"),
    "boat": ("boat", "sailing boat", "sailboat"),
    "fish": ("fish", "little fish"),
    "star": ("star", "five-pointed star"),
    "heart": ("heart", "love heart"),
    "cup": ("cup", "coffee cup", "mug"),
    "flower": ("flower", "garden flower", "blossom"),
    "key": ("key", "door key"),
    "umbrella": ("umbrella", "open umbrella"),
    "balloon": ("balloon", "party balloon"),
    "moon": ("moon", "crescent moon"),
    "mushroom": ("mushroom", "spotted mushroom"),
    "cat": ("cat", "cat face", "kitten"),
    "clock": ("clock", "round clock", "wall clock"),
}

PLACES: dict[str, tuple[str, ...]] = {
    "plain": ("on a plain background", "in front of a plain wall", "on plain paper"),
    "gradient": ("on a gradient background", "against a soft shaded background"),
    "stripes": ("on a striped background", "in front of striped wallpaper"),
    "checker": ("on a checkered background", "on a checkered cloth"),
    "grass": ("on the grass", "on a green meadow", "in the green grass"),
    "sky": ("in the blue sky", "against a cloudy sky", "in front of the sky with clouds"),
    "sea": ("at the sea", "by the sea", "in front of the sea with waves"),
    "night": ("at night", "in the night sky", "under the stars at night"),
    "noise": ("on a blurry background", "in front of a blurred background"),
    "bricks": ("in front of a brick wall", "against a brick wall"),
    "sand": ("on the sand", "on a sandy beach"),
    "wood": ("on a wooden table", "on wooden boards", "on a wooden floor"),
}

_SIZE_WORDS = {"small": ("small", "little", "tiny"), "medium": ("",), "large": ("large", "big", "huge")}

# Most alt texts name the thing and not where it is.
_PLACE_SHARE = 0.4

_TEMPLATES = (
    "{a_thing}",
    "{a_thing}",
    "{a_thing}",
    "a photo of {a_thing}",
    "a picture of {a_thing}",
    "a drawing of {a_thing}",
    "an illustration of {a_thing}",
    "this is {a_thing}",
    "there is {a_thing}",
    "here you can see {a_thing}",
    "{the_thing} that we found",
    "my favourite: {a_thing}",
    "look at {the_thing}",
    "close-up of {a_thing}",
    "{a_thing} in the afternoon",
    "{a_thing}, drawn by hand",
)

_TEMPLATES_WITH_PLACE = (
    "{a_thing} {place}",
    "{a_thing} {place}",
    "{a_thing} {place}",
    "a photo of {a_thing} {place}",
    "a picture of {a_thing} {place}",
    "there is {a_thing} {place}",
    "{a_thing}, seen {place}",
    "{a_thing} standing out {place}",
    "{the_thing} {place}",
    "view of {a_thing} {place}",
    "{a_thing} {place} in the afternoon",
    "{a_thing} {place}, drawn by hand",
    "we made {a_thing} and put it {place}",
)

_WITH_SECOND = (" with {other} beside it", " and {other}", " next to {other}", " together with {other}")


def caption(scene: "Scene", rng: Random, place_share: float = _PLACE_SHARE) -> str:
    """One English caption of a scene, about 3 to 18 words; names the background in a share of cases."""
    described = _describe(scene, rng)
    templates = _TEMPLATES_WITH_PLACE if rng.random() < place_share else _TEMPLATES
    text = rng.choice(templates).format(
        a_thing=f"{article(described)} {described}", the_thing=f"the {described}", place=rng.choice(PLACES[scene.background])
    )
    if scene.second is not None and rng.random() < 0.8:
        text += rng.choice(_WITH_SECOND).format(other=_describe_second(scene.second))
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.25 else "")


def article(words: str) -> str:
    """`a` or `an`."""
    return "an" if words[0] in "aeiou" else "a"


def _describe(scene: "Scene", rng: Random) -> str:
    names = NAMES[scene.main.shape]
    name = names[0] if rng.random() < 0.75 else rng.choice(names)
    size = rng.choice(_SIZE_WORDS[scene.size]) if rng.random() < 0.4 else ""
    if name.startswith("little"):
        size = ""
    return " ".join(word for word in (size, scene.main.colour, name) if word)


def _describe_second(thing: "Thing") -> str:
    return f"a small {thing.colour} {NAMES[thing.shape][0]}"
