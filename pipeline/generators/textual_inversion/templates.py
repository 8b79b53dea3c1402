"""Texts that learned vectors are trained in; * is their place."""

PHOTOS = (
    "a photo of a *",
    "a rendering of a *",
    "a cropped photo of the *",
    "the photo of a *",
    "a photo of a clean *",
    "a photo of a dirty *",
    "a dark photo of the *",
    "a photo of my *",
    "a photo of the cool *",
    "a close-up photo of a *",
    "a bright photo of the *",
    "a cropped photo of a *",
    "a photo of the *",
    "a good photo of the *",
    "a photo of one *",
    "a close-up photo of the *",
    "a rendition of the *",
    "a photo of the clean *",
    "a rendition of a *",
    "a photo of a nice *",
    "a good photo of a *",
    "a photo of the nice *",
    "a photo of the small *",
    "a photo of the weird *",
    "a photo of the large *",
    "a photo of a cool *",
    "a photo of a small *",
)
"""The 27 texts of textual inversion on photographs, from CLIP's templates."""
TEMPLATES = {
    "photos": PHOTOS,
    "all": tuple(
        text.replace("a photo of", f"{what} of")
        for what in ("a photo", "an illustration", "a depiction")
        for text in PHOTOS
    ),
}
"""Name in the config -> texts. "all" are the 81 of the first code of textual inversion (Gal et al. 2022), some of them more than once."""
