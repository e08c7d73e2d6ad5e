"""The check of the picture that a vision task looks at: it is sent upright, and its size is noted for the answer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.job import Step


class UprightPicture:
    """Notes the size of the upright picture in `Step.facts`. See `worker.files.file_checks`.

    A picture with an EXIF orientation is sent turned: endpoints do not say whether their coordinates count before or
    after the turn.
    """

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The picture."""
        return ("image",)

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """The step with the size that its picture has when people look at it."""
        from worker.files.upright import turned_upright, upright_size  # it imports Pillow; producers do without

        picture = files["image"]
        width, height = upright_size(picture)
        turned = turned_upright(picture)
        facts = {**step.facts, "width": width, "height": height}
        return Prepared(replace(step, facts=facts), {"image": turned} if turned else {})
