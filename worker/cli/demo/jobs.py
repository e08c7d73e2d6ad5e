"""The jobs of the demo: pictures by several models, a LoRA training and a picture with it, a video from a picture."""

from dataclasses import dataclass

from worker.cli.demo.samples import photographs
from worker.cli.job_snapshot import FollowedJob

PACE_S = {
    "fal-ai/flux/schnell": 0.8,
    "fal-ai/flux/dev": 2.5,
    "fal-ai/fast-sdxl": 3.0,
    "fal-ai/nano-banana-2": 5.0,
    "fal-ai/flux-lora": 3.0,
    "fal-ai/flux-lora-fast-training": 7.0,
    "fal-ai/veo3.1/fast/image-to-video": 5.0,
}
TRIGGER = "KILNMUG"


@dataclass(frozen=True)
class DemoJob:
    """A job of the demo, and the expected size of its pictures in pixels."""

    followed: FollowedJob
    width: int | None = None
    height: int | None = None


def set_pace(twin_url: str) -> None:
    """Set how long the twin takes, in seconds: long enough for a person to watch, and no longer."""
    import httpx

    httpx.post(f"{twin_url}/_twin/pace", json={"endpoints": PACE_S}, trust_env=False).raise_for_status()


def send_jobs(twin_url: str) -> list[DemoJob]:
    """Send all jobs. The training and the video are chains: the second job uses the result of the first."""
    return [*_pictures(), *_lora(twin_url), *_video()]


def _pictures() -> list[DemoJob]:
    from tasks.generation import text_to_image

    draft = text_to_image.delay(prompt="a red fox in the snow at dawn", image_size="landscape_16_9")
    square = text_to_image.delay(
        prompt="a raku bowl, studio light", model="flux-dev", image_size="square_hd", seed=7, output_format="png"
    )
    tall = text_to_image.delay(
        prompt="a lighthouse in fog, watercolour",
        model="sdxl",
        negative_prompt="people, text",
        image_size={"width": 832, "height": 1216},
    )
    four = text_to_image.delay(prompt="glaze samples on a shelf", image_size="square", num_images=4)
    banana = text_to_image.delay(
        prompt="a kiln, exploded view, labelled", model="nano-banana-2", image_size="landscape_4_3"
    )
    return [
        DemoJob(FollowedJob("draft", draft.id), 1024, 576),
        DemoJob(FollowedJob("square", square.id), 1024, 1024),
        DemoJob(FollowedJob("tall", tall.id), 832, 1216),
        DemoJob(FollowedJob("four at once", four.id), 512, 512),
        DemoJob(FollowedJob("nano banana", banana.id)),
    ]


def _lora(twin_url: str) -> list[DemoJob]:
    from celery import chain

    from tasks.generation import text_to_image
    from tasks.training import lora

    training = lora.s(images_data_url=_upload(twin_url, photographs()), trigger_word=TRIGGER, steps=500)
    picture = text_to_image.s(prompt=f"{TRIGGER} on a wooden table", image_size="portrait_4_3", lora_scale=0.9)
    last = chain(training, picture).apply_async()
    return [
        DemoJob(FollowedJob("training", last.parent.id)),
        DemoJob(FollowedJob("with its LoRA", last.id, after=last.parent.id), 768, 1024),
    ]


def _video() -> list[DemoJob]:
    from celery import chain

    from tasks.generation import text_to_image
    from tasks.video import image_to_video

    picture = text_to_image.s(prompt="a kiln glowing at night", image_size="landscape_16_9")
    video = image_to_video.s(prompt="slow push in, sparks rise", duration_s=4, aspect_ratio="16:9")
    last = chain(picture, video).apply_async()
    return [
        DemoJob(FollowedJob("first frame", last.parent.id), 1024, 576),
        DemoJob(FollowedJob("video from it", last.id, after=last.parent.id)),
    ]


def _upload(twin_url: str, archive: bytes) -> str:
    """Upload with the official client. Its hosts are module constants (fal-client 1.0.3), so they are replaced."""
    import fal_client
    import fal_client.client as sdk

    sdk.REST_URL, sdk.CDN_URL = f"{twin_url}/rest", f"{twin_url}/cdn"
    return str(fal_client.SyncClient(key="twin:twin").upload(archive, "application/zip", file_name="mugs.zip"))
