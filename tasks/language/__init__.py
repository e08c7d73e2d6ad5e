"""Words about pictures: captions for training data, outfits from a wardrobe, questions, products that are seen or fit.

Requests, prompts, answers and their checks stand beside this file. A result has an `answer` and no files.
"""

from config.catalogue import Model
from tasks.language.answers import Analysis, Captions, Matches, Outfits
from tasks.language.checks import LanguageCheck
from tasks.language.requests import AnalyseRequest, CaptionRequest, FilterRequest, StyleRequest
from worker.edge.task import job_task
from worker.jobs.job import Step
from worker.jobs.status import JobResult


class Captioned(JobResult):
    """The result of a captioning: a caption for every image, in their order."""

    answer: Captions


class Styled(JobResult):
    """The result of a styling: outfits of the wardrobe's garments, by their numbers."""

    answer: Outfits


class Analysed(JobResult):
    """The result of an analysis: a finding for every question, and how the images compare."""

    answer: Analysis


class Filtered(JobResult):
    """The result of a filtering: a decision for every product, and the numbers of those that match."""

    answer: Matches


@job_task(
    "language.caption", queue="language", asks=CaptionRequest, gives=Captioned, check=LanguageCheck(CaptionRequest)
)
def caption(request: CaptionRequest, model: Model) -> Step:
    """Describe each of up to twenty images of a product, as training data wants it."""
    return request.step(model)


@job_task("language.style", queue="language", asks=StyleRequest, gives=Styled, check=LanguageCheck(StyleRequest))
def style(request: StyleRequest, model: Model) -> Step:
    """Put outfits together from a wardrobe, and from nothing else."""
    return request.step(model)


@job_task(
    "language.analyse", queue="language", asks=AnalyseRequest, gives=Analysed, check=LanguageCheck(AnalyseRequest)
)
def analyse(request: AnalyseRequest, model: Model) -> Step:
    """Compare images by questions about them."""
    return request.step(model)


@job_task("language.filter", queue="language", asks=FilterRequest, gives=Filtered, check=LanguageCheck(FilterRequest))
def filter_products(request: FilterRequest, model: Model) -> Step:
    """Find the products that are visible in pictures, or fit a text."""
    return request.step(model)
