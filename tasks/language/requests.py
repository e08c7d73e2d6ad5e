"""The requests of the language tasks, and the step that each becomes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator

from config.catalogue import Model
from tasks.language.answers import Analysis, Answer, Asked, Captions, Matches, Outfits
from tasks.language.prompts import Prompt, analyse_prompt, caption_prompt, filter_prompt, style_prompt
from tasks.language.schema import schema_of
from worker.jobs.file_refs import Image, Images
from worker.jobs.job import Step
from worker.jobs.request import BaseRequest

MAX_IMAGES = 20
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z -]{1,40}$")]
Trigger = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\s\"]+( [^\s\"]+)*$", strip_whitespace=True)]
_MADE_HERE = frozenset({"prompt", "schema", "system"})  # with others in their place no answer could be checked


class LanguageRequest(BaseRequest):
    """The base of the requests whose prompt and answer are ours.

    `language` is that of the answer, by code or name: "en", "Portuguese".
    """

    language: Language = "en"
    max_tokens: int = Field(4096, ge=256, le=32_000)  # written; a model's thoughts count

    answer: ClassVar[type[Answer]]

    @field_validator("extra")
    @classmethod
    def _words_are_ours(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if ours := sorted(_MADE_HERE & extra.keys()):
            raise ValueError(f"cannot hold {', '.join(ours)}: this task writes them itself")
        return extra

    @property
    def asked(self) -> Asked:
        """What an answer is checked against."""
        raise NotImplementedError

    @property
    def prompt(self) -> Prompt:
        """The words."""
        raise NotImplementedError

    @property
    def pictures(self) -> list[str]:
        """The images, in the order in which the prompt counts them."""
        raise NotImplementedError

    def step(self, model: Model) -> Step:
        """The one call for this request; it promises no files."""
        arguments: dict[str, Any] = {
            "system": self.prompt.system,
            "prompt": self.prompt.text,
            "schema": schema_of(self.answer),
            "max_tokens": self.max_tokens,
        }
        if self.pictures:
            arguments["images"] = self.pictures
        return Step(model.name, arguments, (), self.extra)


class CaptionRequest(LanguageRequest):
    """A product description of each image, for training data. `about` is what the images cannot show."""

    model: Name = "claude-haiku-5-5"
    images: Images = Field(min_length=1, max_length=MAX_IMAGES)
    trigger_word: Trigger | None = None
    about: Line | None = None
    max_words: int = Field(60, ge=10, le=300)

    answer = Captions
    follows: ClassVar[Mapping[str, str]] = {"images": "images"}  # in a chain, every picture of a generation

    @property
    def asked(self) -> Asked:
        """A caption for each image."""
        return Asked(images=len(self.images), trigger_word=self.trigger_word)

    @property
    def prompt(self) -> Prompt:
        """See `caption_prompt`."""
        more = {"trigger_word": self.trigger_word, "about": self.about}
        return caption_prompt(len(self.images), max_words=self.max_words, language=self.language, **more)

    @property
    def pictures(self) -> list[str]:
        """All of them."""
        return list(self.images)


class Garment(BaseModel):
    """A piece of a wardrobe: a name, and an image if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    image: Image | None = None


class StyleRequest(LanguageRequest):
    """Outfits from a wardrobe. Garments are counted from 1, in the order given."""

    model: Name = "gemini-3.8-flash"
    wardrobe: list[Garment] = Field(min_length=1, max_length=100)
    outfits: int = Field(3, ge=1, le=10)
    occasion: Line | None = None
    wishes: Line | None = None

    answer = Outfits

    @model_validator(mode="after")
    def _images_fit_one_call(self) -> "StyleRequest":
        if len(self.pictures) > MAX_IMAGES:
            raise ValueError(f"wardrobe: at most {MAX_IMAGES} garments may have an image")
        return self

    @property
    def asked(self) -> Asked:
        """Outfits of these garments."""
        return Asked(images=len(self.pictures), garments=len(self.wardrobe), outfits=self.outfits)

    @property
    def prompt(self) -> Prompt:
        """See `style_prompt`; images are counted where there are some."""
        count, lines = 0, list[tuple[str, int | None]]()
        for garment in self.wardrobe:
            count += garment.image is not None
            lines.append((garment.name, count if garment.image else None))
        more = {"occasion": self.occasion, "wishes": self.wishes, "language": self.language}
        return style_prompt(lines, outfits=self.outfits, **{k: v for k, v in more.items() if v})

    @property
    def pictures(self) -> list[str]:
        """The images of the garments that have one."""
        return [garment.image for garment in self.wardrobe if garment.image]


class AnalyseRequest(LanguageRequest):
    """Questions about several images."""

    model: Name = "claude-sonnet-5-5"
    images: Images = Field(min_length=1, max_length=MAX_IMAGES)
    questions: list[Line] = Field(min_length=1, max_length=20)

    answer = Analysis
    follows: ClassVar[Mapping[str, str]] = {"images": "images"}  # in a chain, every picture of a generation

    @property
    def asked(self) -> Asked:
        """An answer to each question."""
        return Asked(images=len(self.images), questions=len(self.questions))

    @property
    def prompt(self) -> Prompt:
        """See `analyse_prompt`."""
        return analyse_prompt(len(self.images), self.questions, language=self.language)

    @property
    def pictures(self) -> list[str]:
        """All of them."""
        return list(self.images)


class Product(BaseModel):
    """A product of a list: a name, what else is known of it, and an image if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    about: Line | None = None
    image: Image | None = None


class FilterRequest(LanguageRequest):
    """Which products are visible in the images, or fit the text; with both, which do both. Counted from 1."""

    model: Name = "gemini-3.8-flash"
    products: list[Product] = Field(min_length=1, max_length=100)
    images: Images = Field([], max_length=MAX_IMAGES)
    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000, strip_whitespace=True)] | None = None

    answer = Matches
    follows: ClassVar[Mapping[str, str]] = {"images": "images"}  # in a chain, every picture of a generation

    @model_validator(mode="after")
    def _asks_something_that_fits_one_call(self) -> "FilterRequest":
        if not self.images and self.text is None:
            raise ValueError("images or text is required: what the products are compared with")
        if len(self.pictures) > MAX_IMAGES:
            raise ValueError(f"images: at most {MAX_IMAGES}, together with those of the products")
        return self

    @property
    def asked(self) -> Asked:
        """A decision for each product."""
        return Asked(images=len(self.images), products=len(self.products))

    @property
    def prompt(self) -> Prompt:
        """See `filter_prompt`; the images of products are counted after those to search."""
        count, lines = len(self.images), list[tuple[str, int | None]]()
        for product in self.products:
            count += product.image is not None
            words = f"{product.name}: {product.about}" if product.about else product.name
            lines.append((words, count if product.image else None))
        return filter_prompt(len(self.images), lines, text=self.text, language=self.language)

    @property
    def pictures(self) -> list[str]:
        """Those to search, then those of the products."""
        return [*self.images, *(product.image for product in self.products if product.image)]


REQUESTS: Mapping[str, type[LanguageRequest]] = {
    "language.caption": CaptionRequest,
    "language.style": StyleRequest,
    "language.analyse": AnalyseRequest,
    "language.filter": FilterRequest,
}
