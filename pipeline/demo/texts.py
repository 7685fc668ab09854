"""Alt texts that say nothing of their picture: file names, boilerplate, icons, advertisements, spam, unrelated sentences."""

from random import Random

from pipeline.demo.captions import NAMES
from pipeline.demo.scenes import COLOURS, SHAPES, Scene

_BOILERPLATE = (
    "click to enlarge",
    "Click to enlarge image",
    "logo",
    "Logo of our site",
    "image",
    "Image may contain an advertisement",
    "Read more »",
    "placeholder image",
    "Share on social media",
    "No description available",
    "product image 1",
    "featured image",
    "Home & Garden",
    'Best of "the web"',
    "photo credit: <unknown>",
    "loading...",
    "Next page >>",
    "view larger image",
    "default alt text for this image",
    "thumbnail",
)
_ICONS = (
    "shopping cart icon",
    "search",
    "menu",
    "arrow right",
    "print this page icon",
    "RSS feed icon",
    "close",
    "five stars rating",
    "external link icon",
    "user account icon",
)
_OFFERS = ("summer sale", "winter sale", "free shipping", "new arrivals", "our newsletter", "gift cards", "a free trial")
_CALLS = (
    "Save up to {n} percent with {offer} this week only",
    "Do not miss {offer}: {n} days left until the end of the month",
    "Sign up today for {offer} and get {n} dollars back",
    "Advertisement for {offer} at one of {n} partner shops",
)
_SUBJECTS = ("Our team", "The committee", "A local reader", "The museum", "Your doctor", "This recipe", "The new law", "Everyone")
_DEEDS = (
    "talks about the opening hours of the library",
    "explains how to pay for the tickets in advance",
    "answers questions on better sleep and exercise",
    "meets on the first Monday of every month",
    "thanks all of the sponsors for their support",
    "was updated after the annual general meeting",
    "needs about forty minutes and two large eggs",
    "will be discussed in the next episode of the show",
    "recommends reading the terms and conditions first",
    "has been moved to the archive of last year",
)


def boilerplate(rng: Random) -> str:
    """What a template put there."""
    return rng.choice(_BOILERPLATE)


def icon(rng: Random) -> str:
    """What an ornament of the page is called."""
    return rng.choice(_ICONS)


def advertisement(rng: Random) -> str:
    """What a banner says."""
    return rng.choice(_CALLS).format(offer=rng.choice(_OFFERS), n=rng.randint(3, 70))


def unrelated(rng: Random) -> str:
    """An English sentence that has nothing to do with any scene."""
    ending = rng.choice(("", ".", f", said the report of {rng.randint(1998, 2024)}", f" ({rng.randint(2, 90)} comments)"))
    return f"{rng.choice(_SUBJECTS)} {rng.choice(_DEEDS)}{ending}"


def file_name(scene: Scene, rng: Random) -> str:
    """A camera's or an editor's file name."""
    number = rng.randint(1, 9999)
    return rng.choice(
        (
            f"IMG_{number:04d}.jpg",
            f"DSC{number:05d}.JPG",
            f"img_{rng.randint(2009, 2024)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}_{number:06d}",
            f"{scene.main.shape}-{number}.png",
            f"Screenshot {rng.randint(2015, 2024)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} at {number % 12}.png",
            f"{rng.getrandbits(64):016x}.jpg",
        )
    )


def short(scene: Scene, rng: Random) -> str:
    """A true caption of one or two words."""
    name = rng.choice(NAMES[scene.main.shape][:1])
    return rng.choice((name, f"{scene.main.colour} {name}", name.title()))


def spam(length: int, rng: Random) -> str:
    """Keywords for a search engine, about `length` characters of them."""
    return ", ".join(f"buy cheap {rng.choice(COLOURS)} {rng.choice(SHAPES)} online" for _ in range(length // 31))
