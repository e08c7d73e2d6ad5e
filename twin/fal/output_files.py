"""Creates the files of one run, and the objects that describe them in its output."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from twin.edited_picture import Edit, EditedPicture
from twin.fal import comfy
from twin.fal.input_files import InputFiles
from twin.fal.job import Job
from twin.fal.models import Model, Models, Shape
from twin.fal.prices import BillableWork, read_seconds
from twin.fal.sizes import SIDES, picture_size, read_ratio
from twin.file_store import Drawable, FileStore, GeneratedFile, StaticFile
from twin.mesh import write_mesh
from twin.picture import Picture, Style
from twin.safetensors import write_lora
from twin.script import FaultKind
from twin.sound import Sound
from twin.video import FPS, Video, video_size

UPSCALERS = ("upscale", "esrgan", "aura-sr")
CUTOUTS = ("rembg", "birefnet", "background/remove", "background_removed")
FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp", "gif": "gif"}
MESHES = frozenset({"model_mesh", "model_glb", "glb"})
DEFAULT_STEPS = 1000
MAX_PICTURES = 16
NOT_IN_FINGERPRINT = frozenset({"seed", "sync_mode"})


class OutputFiles:
    """The files of one job, and the input values that decide how they look."""

    def __init__(self, models: Models, model: Model | None, job: Job, inputs: InputFiles, files: FileStore) -> None:
        defaults = {name: field.default for name, field in model.input.items() if field.has_default} if model else {}
        self.values: Mapping[str, Any] = defaults | {k: v for k, v in job.submission.input.items() if v is not None}
        if job.submission.endpoint == comfy.ENDPOINT:
            self.values = {**self.values, **comfy.drawing_values(self.values)}
        self.job, self.inputs, self.model = job, inputs, model
        self.size = picture_size(models, model, self.values, inputs.source_size)
        self.paths: list[str] = []
        self._files = files
        self._without_size: list[tuple[dict[str, Any], str]] = []
        self._pictures = 0

    @property
    def count(self) -> int:
        """The requested number of pictures."""
        count = self.values.get("num_images", self.values.get("num_samples", 1))
        return max(1, min(MAX_PICTURES, int(count))) if isinstance(count, int | float) else 1

    @property
    def prompt(self) -> str:
        """The prompt or text of the input."""
        for name in ("prompt", "text", "gen_text", "object"):
            if isinstance(self.values.get(name), str):
                return str(self.values[name])
        return ""

    @property
    def is_black(self) -> bool:
        """Whether the script has the black picture of a content filter for this run."""
        return self.job.fault is not None and self.job.fault.what is FaultKind.BLACK

    @property
    def seconds(self) -> float:
        """The requested duration of a video."""
        return read_seconds(self.values.get("duration", "auto"))

    @property
    def steps(self) -> int:
        """The requested steps of a training."""
        steps = self.values.get("steps")
        return steps if isinstance(steps, int) and steps > 0 else DEFAULT_STEPS

    def billable_work(self) -> BillableWork:
        """Return the work that is billed for this run."""
        category = self.model.category if self.model else ""
        if category == "training":
            return BillableWork(steps=self.steps)
        resolution = str(self.values.get("resolution", ""))
        if "video" in category:
            has_sound = bool(self.values.get("generate_audio", True))
            return BillableWork(seconds=self.seconds, resolution=resolution, has_sound=has_sound)
        return BillableWork(self._pictures, *self.size, resolution=resolution)

    def make_file(self, name: str, shape: Shape) -> dict[str, Any]:
        """Create the file for an output field of this name, and return its object."""
        if "video" in name:
            return self._video(shape)
        if "audio" in name:
            return self._sound(shape)
        if name in MESHES:
            mesh = write_mesh(f"{self.prompt[:100]} {self.job.seed}")
            return self._file_without_size(StaticFile(mesh, "model/gltf-binary"), f"_{name}.glb")
        if name == "diffusers_lora_file":
            return self._file_without_size(StaticFile(self._lora(), "application/octet-stream"), "_lora.safetensors")
        if name == "config_file" or name.startswith("debug"):
            return self._file_without_size(
                StaticFile(self._config(), "application/json"), f"_{name.removesuffix('_file')}.json"
            )
        return self._picture(name, shape)

    async def draw(self) -> None:
        """Draw all files, and write `file_size` into the objects of files that are not pictures."""
        values = {path: value for value, path in self._without_size}
        for path in self.paths:
            generated = self._files.find(path)
            if isinstance(generated, GeneratedFile):
                size = len(await self._files.draw(path, generated))
                if path in values:
                    values[path]["file_size"] = size

    def drop(self) -> None:
        """Drop all files, because the run was stopped."""
        for path in self.paths:
            self._files.drop_generated(path)

    def _keep(self, drawable: Drawable, suffix: str) -> tuple[str, dict[str, Any]]:
        path = self._files.add_generated(drawable, self.job.submission.endpoint, suffix)
        self.paths.append(path)
        return path, {"url": f"{self.job.submission.base.cdn}/{path}", "content_type": drawable.content_type}

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
        path, value = self._keep(self._edited(picture, name) or picture, f".{picture.format.replace('jpeg', 'jpg')}")
        extra = {"width": picture.width, "height": picture.height, "file_name": PurePosixPath(path).name}
        return value | {key: entry for key, entry in extra.items() if not shape or key in shape}

    def _edited(self, scene: Picture, name: str) -> EditedPicture | None:
        """The picture as a change of the input picture, for endpoints that keep what they do not change."""
        source, place = self.inputs.source, None
        if source is None or scene.style is Style.MASK:
            return None
        if self.inputs.mask:
            return EditedPicture(scene, Edit.MASKED, source, self.inputs.mask)
        if self._is_cutout(name):
            return EditedPicture(scene, Edit.CUTOUT, source)
        if "canvas_size" in self.values:
            place = self._place_on_canvas()
        elif any(self.values.get(side) for side in SIDES):
            place = (int(self.values.get(SIDES[0]) or 0), int(self.values.get(SIDES[2]) or 0), *self._source_size())
        elif any(word in self.job.submission.endpoint for word in UPSCALERS):
            return EditedPicture(scene, Edit.ENLARGED, source)
        return EditedPicture(replace(scene, backdrop=None), Edit.EXPANDED, source, place=place) if place else None

    def _place_on_canvas(self) -> tuple[int, int, int, int]:
        """Where Bria puts the input picture: as asked, or in the middle."""
        width, height = (int(side) for side in self.values.get("original_image_size") or self._source_size())
        middle = ((self.size[0] - width) // 2, (self.size[1] - height) // 2)
        left, top = (int(edge) for edge in self.values.get("original_image_location") or middle)
        return left, top, width, height

    def _source_size(self) -> tuple[int, int]:
        return self.inputs.source_size or self.size

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
        video = Video(scene, self.seconds, has_sound=self.values.get("generate_audio") is True)
        facts = {
            "width": size[0],
            "height": size[1],
            "fps": FPS,
            "num_frames": video.frames,
            "duration": video.frames / FPS,
        }
        return self._file_without_size(video, "_video.mp4", {key: fact for key, fact in facts.items() if key in shape})

    def _sound(self, shape: Shape) -> dict[str, Any]:
        sound = Sound(self.prompt[:2_000])
        facts = {"duration": sound.seconds, "channels": 1, "sample_rate": 16_000}
        return self._file_without_size(sound, "_speech.wav", {key: fact for key, fact in facts.items() if key in shape})

    def _file_without_size(
        self, drawable: Drawable, suffix: str, facts: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        path, value = self._keep(drawable, suffix)
        value |= {"file_name": PurePosixPath(path).name, **(facts or {})}
        self._without_size.append((value, path))
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
            {**self.job.short_input, "steps": self.steps, "model": self.job.submission.endpoint}, indent=2
        ).encode()

    def _format(self) -> str:
        requested = self.values.get("output_format", self.values.get("format"))
        default = "png" if self._is_cutout("") else "jpeg"
        return FORMATS.get(str(requested), default)

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
        """Return a digest of the input without its seed; sending the answer's seed back gives the same picture."""
        values = {name: value for name, value in self.job.submission.input.items() if name not in NOT_IN_FINGERPRINT}
        text = json.dumps(values, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
