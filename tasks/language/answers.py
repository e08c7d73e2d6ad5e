"""The answers of language models, one class for each task: it gives the schema and checks the answer.

A schema cannot say how many captions there must be, or which garments exist: `faults` checks that against the request.
What nobody asked for (a caption of an image that does not exist) is dropped: that needs no new attempt.
Images, garments, products and questions are counted from 1, as the prompt counts them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, computed_field

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Number = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Asked:
    """What was asked for: the counts that an answer is checked against."""

    images: int = 0
    trigger_word: str | None = None
    garments: int = 0
    outfits: int = 0
    questions: int = 0
    products: int = 0


class Answer(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def faults(self, asked: Asked) -> Iterator[str]:
        """What is wrong with it for this request, a line each."""
        yield from ()

    def settled(self, asked: Asked) -> Self:
        """The answer without faults, as the caller gets it."""
        return self


class Caption(BaseModel):
    """The description of one image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image: Number = Field(description="the number of the image that is described; the first is 1")
    text: Words = Field(description="the caption: what is to be seen, in one paragraph of plain text")


class Captions(Answer):
    """One caption for every image."""

    captions: list[Caption] = Field(description="exactly one entry for every image, in the order of the images")

    def faults(self, asked: Asked) -> Iterator[str]:
        """Every image once."""
        yield from _each_once("image", (caption.image for caption in self.captions), asked.images)

    def settled(self, asked: Asked) -> Self:
        """In the order of the images; a caption that lacks the trigger word gets it in front."""
        word = asked.trigger_word
        captions = sorted((c for c in self.captions if c.image <= asked.images), key=lambda caption: caption.image)
        if word:
            captions = [c if word in c.text else c.model_copy(update={"text": f"{word}, {c.text}"}) for c in captions]
        return self.model_copy(update={"captions": captions})


class Outfit(BaseModel):
    """Garments that go together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: Words = Field(description="a name of a few words")
    garments: list[Number] = Field(
        min_length=1, description="the numbers of the garments, from the list of the wardrobe; none twice"
    )
    reason: Words = Field(description="why these go together and suit the occasion, in one to three sentences")


class Outfits(Answer):
    """Suggestions from a wardrobe."""

    outfits: list[Outfit] = Field(description="the suggestions, the best first")

    def faults(self, asked: Asked) -> Iterator[str]:
        """At least one, of garments that exist, each at most once in an outfit."""
        if not self.outfits:
            yield "there is no outfit"
        for place, outfit in enumerate(self.outfits, 1):
            if strangers := sorted({number for number in outfit.garments if number > asked.garments}):
                yield f"outfit {place} has garment {_listed(strangers)}, but the wardrobe ends with {asked.garments}"
            if len(set(outfit.garments)) < len(outfit.garments):
                yield f"outfit {place} has a garment twice"

    def settled(self, asked: Asked) -> Self:
        """No more than were asked for."""
        return self.model_copy(update={"outfits": self.outfits[: asked.outfits]})


class Finding(BaseModel):
    """The answer to one question."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    question: Number = Field(description="the number of the question that is answered; the first is 1")
    answer: Words = Field(description="the answer, from what is to be seen alone")
    images: list[Number] = Field(description="the numbers of the images that show it; empty when none does")
    confidence: Literal["low", "medium", "high"] = Field(description="how sure the images make it")


class Analysis(Answer):
    """Several images compared against questions."""

    findings: list[Finding] = Field(description="exactly one entry for every question, in the order of the questions")
    summary: Words = Field(description="how the images compare, in one to three sentences")

    def faults(self, asked: Asked) -> Iterator[str]:
        """Every question once, shown by images that exist."""
        yield from _each_once("question", (finding.question for finding in self.findings), asked.questions)
        for finding in self._asked_for(asked):
            if strangers := sorted({number for number in finding.images if number > asked.images}):
                yield (
                    f"the answer to question {finding.question} names image {_listed(strangers)}, "
                    f"but the last is {asked.images}"
                )

    def settled(self, asked: Asked) -> Self:
        """In the order of the questions."""
        findings = sorted(self._asked_for(asked), key=lambda finding: finding.question)
        return self.model_copy(update={"findings": findings})

    def _asked_for(self, asked: Asked) -> list[Finding]:
        return [finding for finding in self.findings if finding.question <= asked.questions]


class Match(BaseModel):
    """Whether one product is visible, or fits."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product: Number = Field(description="the number of the product; the first is 1")
    matches: bool = Field(description="whether the product fulfils everything that is asked")
    images: list[Number] = Field(description="the numbers of the images to search that show it; empty when none does")
    confidence: Literal["low", "medium", "high"] = Field(description="how sure it is")
    reason: Words = Field(description="what decided it, in one sentence")


class Matches(Answer):
    """A decision about every product."""

    products: list[Match] = Field(description="exactly one entry for every product, in the order of the products")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def matching(self) -> list[int]:
        """The numbers of the products that match, in their order."""
        return [match.product for match in self.products if match.matches]

    def faults(self, asked: Asked) -> Iterator[str]:
        """Every product once; one that is seen has an image that shows it."""
        yield from _each_once("product", (match.product for match in self.products), asked.products)
        for match in self._asked_for(asked):
            if match.matches and asked.images and not _up_to(asked.images, match.images):
                yield f"product {match.product} matches, but none of the images to search is named that shows it"

    def settled(self, asked: Asked) -> Self:
        """In the order of the products. A product's own image is no image to search, and is dropped."""
        found = sorted(self._asked_for(asked), key=lambda match: match.product)
        mended = [match.model_copy(update={"images": _up_to(asked.images, match.images)}) for match in found]
        return self.model_copy(update={"products": mended})

    def _asked_for(self, asked: Asked) -> list[Match]:
        return [match for match in self.products if match.product <= asked.products]


def _each_once(thing: str, found: Iterable[int], count: int) -> Iterator[str]:
    numbers, wanted = list(found), range(1, count + 1)
    if missing := [number for number in wanted if number not in numbers]:
        yield f"{thing} {_listed(missing)} is missing"
    if twice := [number for number in wanted if numbers.count(number) > 1]:
        yield f"{thing} {_listed(twice)} comes more than once"


def _up_to(last: int, numbers: list[int]) -> list[int]:
    return [number for number in numbers if number <= last]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
