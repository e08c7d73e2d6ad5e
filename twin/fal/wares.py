"""The files that one run makes, and the objects that stand for them in its output."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from twin.draw import Picture, Style
from twin.fal.inputs import Inputs
from twin.fal.job import Job
from twin.fal.prices import Work, read_seconds
from twin.fal.schema import Model, Models, Shape
from twin.fal.sizes import picture_size, read_ratio
from twin.files import FileStore, Made, Recipe, Static
from twin.safetensors import write_lora
from twin.script import What
from twin.sound import Sound
from twin.video import FPS, Video, video_size

CUTOUTS = ("rembg", "birefnet", "background/remove", "background_removed")
FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp", "gif": "gif"}
USUAL_STEPS = 1000
MAX_PICTURES = 16
NO_INK = frozenset({"seed", "sync_mode"})


class Wares:
    """Makes files for one job and remembers their paths."""

    def __init__(self, models: Models, model: Model | None, job: Job, inputs: Inputs, files: FileStore) -> None:
        defaults = {name: field.default for name, field in model.input.items() if field.has_default} if model else {}
        self.values: Mapping[str, Any] = defaults | {k: v for k, v in job.submission.input.items() if v is not None}
        self.job, self.inputs, self.model = job, inputs, model
        self.size = picture_size(models, model, self.values, inputs.source_size)
        self.paths: list[str] = []
        self._files = files
        self._late: list[tuple[dict[str, Any], str]] = []
        self._pictures = 0

    @property
    def count(self) -> int:
        """How many pictures were asked for."""
        count = self.values.get("num_images", self.values.get("num_samples", 1))
        return max(1, min(MAX_PICTURES, int(count))) if isinstance(count, int | float) else 1

    @property
    def prompt(self) -> str:
        """The text that the picture is about."""
        for name in ("prompt", "text", "gen_text", "object"):
            if isinstance(self.values.get(name), str):
                return str(self.values[name])
        return ""

    @property
    def is_black(self) -> bool:
        """Whether the silent content filter was ordered."""
        return self.job.fault is not None and self.job.fault.what is What.BLACK

    @property
    def seconds(self) -> float:
        """How long a video was asked for."""
        return read_seconds(self.values.get("duration", "auto"))

    @property
    def steps(self) -> int:
        """How many steps of training were asked for."""
        steps = self.values.get("steps")
        return steps if isinstance(steps, int) and steps > 0 else USUAL_STEPS

    def work(self) -> Work:
        """Return what is to be billed for this run."""
        category = self.model.category if self.model else ""
        if category == "training":
            return Work(steps=self.steps)
        if "video" in category:
            return Work(seconds=self.seconds)
        resolution = str(self.values.get("resolution", ""))
        return Work(self._pictures, *self.size, resolution=resolution)

    def make(self, name: str, shape: Shape) -> dict[str, Any]:
        """Make the file that an output field of this name holds, and return its object."""
        if "video" in name:
            return self._video(shape)
        if "audio" in name:
            return self._sound(shape)
        if name == "diffusers_lora_file":
            return self._late_file(Static(self._lora(), "application/octet-stream"), "_lora.safetensors")
        if name == "config_file" or name.startswith("debug"):
            return self._late_file(Static(self._config(), "application/json"), f"_{name.removesuffix('_file')}.json")
        return self._picture(name, shape)

    async def draw(self) -> None:
        """Draw every file, and write the size of what is not a picture into its object."""
        values = {path: value for value, path in self._late}
        for path in self.paths:
            made = self._files.find(path)
            if isinstance(made, Made):
                size = len(await self._files.draw(path, made))
                if path in values:
                    values[path]["file_size"] = size

    def drop(self) -> None:
        """Forget every file: the run has no end."""
        for path in self.paths:
            self._files.drop_made(path)

    def _keep(self, recipe: Recipe, tail: str) -> tuple[str, dict[str, Any]]:
        path = self._files.put_made(recipe, self.job.submission.endpoint, tail)
        self.paths.append(path)
        return path, {"url": f"{self.job.submission.base.cdn}/{path}", "content_type": recipe.content_type}

    def _picture(self, name: str, shape: Shape) -> dict[str, Any]:
        picture = Picture(
            *self.size,
            format=self._format(),
            model=self.job.submission.endpoint,
            prompt=self.prompt[:400],
            seed=self.job.seed,
            index=self._pictures,
            fingerprint=self._fingerprint(),
            loras=self._loras(),
            style=self._style(name),
            backdrop=self.inputs.backdrop,
        )
        self._pictures += 1
        path, value = self._keep(picture, f".{picture.format.replace('jpeg', 'jpg')}")
        extra = {"width": picture.width, "height": picture.height, "file_name": PurePosixPath(path).name}
        return value | {key: entry for key, entry in extra.items() if not shape or key in shape}

    def _video(self, shape: Shape) -> dict[str, Any]:
        width, height = self.inputs.source_size or (16, 9)
        size = video_size(read_ratio(self.values.get("aspect_ratio")) or min(3.0, max(1 / 3, width / height)))
        scene = Picture(
            *size,
            format="png",
            model=self.job.submission.endpoint,
            prompt=self.prompt[:400],
            seed=self.job.seed,
            fingerprint=self._fingerprint(),
            style=self._style("video"),
            backdrop=self.inputs.backdrop,
        )
        video = Video(scene, self.seconds)
        facts = {
            "width": size[0],
            "height": size[1],
            "fps": FPS,
            "num_frames": video.frames,
            "duration": video.frames / FPS,
        }
        return self._late_file(video, "_video.mp4", {key: fact for key, fact in facts.items() if key in shape})

    def _sound(self, shape: Shape) -> dict[str, Any]:
        sound = Sound(self.prompt[:2_000])
        facts = {"duration": sound.seconds, "channels": 1, "sample_rate": 16_000}
        return self._late_file(sound, "_speech.wav", {key: fact for key, fact in facts.items() if key in shape})

    def _late_file(self, recipe: Recipe, tail: str, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
        path, value = self._keep(recipe, tail)
        value |= {"file_name": PurePosixPath(path).name, **(facts or {})}
        self._late.append((value, path))
        return value

    def _lora(self) -> bytes:
        metadata = {
            "format": "pt",
            "trigger_word": str(self.values.get("trigger_word") or ""),
            "steps": str(self.steps),
        }
        return write_lora(metadata | {"base_model": self.job.submission.endpoint}, self.job.seed)

    def _config(self) -> bytes:
        return json.dumps(
            {**self.job.record, "steps": self.steps, "model": self.job.submission.endpoint}, indent=2
        ).encode()

    def _format(self) -> str:
        asked = self.values.get("output_format", self.values.get("format"))
        usual = "png" if self._is_cutout("") else "jpeg"
        return FORMATS.get(str(asked), usual)

    def _style(self, name: str) -> Style:
        if self.is_black:
            return Style.BLACK
        if "mask" in name:
            return Style.MASK
        return Style.CUTOUT if self._is_cutout(name) else Style.SCENE

    def _is_cutout(self, name: str) -> bool:
        return any(word in self.job.submission.endpoint or word in name for word in CUTOUTS)

    def _loras(self) -> tuple[Any, ...]:
        loras = self.values.get("loras")
        entries = [entry for entry in loras if isinstance(entry, dict)] if isinstance(loras, list) else []
        return tuple(self.inputs.lora(str(entry.get("path")), float(entry.get("scale", 1))) for entry in entries[:8])

    def _fingerprint(self) -> str:
        """Digest the input without its seed: a seed that was told, sent back, gives the same picture."""
        values = {name: value for name, value in self.job.submission.input.items() if name not in NO_INK}
        text = json.dumps(values, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
