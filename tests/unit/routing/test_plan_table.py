"""What happens to a request on a route: one row a case, over the shipped catalogue. Every row but the training's has a prompt."""

import re
from typing import Any

import pytest

from config.catalogue import Model, Route, load_catalogue
from worker.jobs.job import Step
from worker.routing.plan import plan

# the route: `own` is the model's first; the others are fallbacks by the end of their endpoint
TABLE = """
model               | asked besides the prompt                      | route           | equivalence | approximated               | dropped                            | why

the model's first route gets everything that the catalogue accepts
flux-schnell        |                                               | own             | exact       |                            |                                    |
flux-schnell        | num_inference_steps=4 guidance_scale=3.5      | own             | exact       |                            |                                    |
flux-schnell        | image_size=1000x300 seed=7 num_images=4       | own             | exact       |                            |                                    |
flux-dev            | output_format=png enable_safety_checker=true  | own             | exact       |                            |                                    |
flux-dev            | extra.acceleration=high                       | own             | exact       |                            |                                    |
flux-lora           | loras=a image_size=square                     | own             | exact       |                            |                                    |
flux-realism        | loras=a seed=3                                | own             | exact       |                            |                                    |
flux-pro-v1.1-ultra | image_size=landscape_16_9                     | own             | exact       |                            |                                    |
sdxl                | negative_prompt=smoke output_format=jpeg      | own             | exact       |                            |                                    |
nano-banana-pro     | image_size=1536x1024 output_format=webp       | own             | exact       |                            |                                    |
nano-banana-2       | image_size=square                             | own             | exact       |                            |                                    |
nano-banana-2.1     | image_size=landscape_4_3 seed=7               | own             | exact       |                            |                                    |
flux-lora-training  | images_data_url=z steps=900 trigger_word=kil  | own             | exact       |                            |                                    |
veo-3.1-fast        | image=i aspect_ratio=auto negative_prompt=fog | own             | exact       |                            |                                    |
seedance-2.0        | image=i duration_s=15 aspect_ratio=21:9       | own             | exact       |                            |                                    |
some/endpoint       | image_size=1x9 strength=0.3 extra.any=1       | own             | exact       |                            |                                    |

the same Google model on Vertex
nano-banana-pro     |                                               | 3-pro-image     | exact       |                            |                                    |
nano-banana-pro     | image_size=landscape_16_9                     | 3-pro-image     | exact       |                            |                                    |
nano-banana-pro     | image_size=3840x2160 num_images=4             | 3-pro-image     | exact       |                            |                                    |
nano-banana-pro     | seed=7 output_format=png                      | 3-pro-image     | exact       |                            |                                    |
nano-banana-pro     | seed=4294967296                               | 3-pro-image     | degraded    |                            | seed                               | seed (is 4294967296; allowed: 0 to 2147483647)
nano-banana-pro     | output_format=webp                            | 3-pro-image     | degraded    |                            | output_format                      | output_format (is 'webp'; allowed: jpeg, png)
nano-banana-pro     | extra.safety_tolerance=6                      | 3-pro-image     | degraded    |                            | extra.safety_tolerance             | extra.safety_tolerance
nano-banana-2       | image_size=portrait_4_3 seed=7                | 3.1-flash-image | exact       |                            |                                    |
nano-banana-2       | image_size=4096x512                           | 3.1-flash-image | exact       |                            |                                    |
nano-banana-2       | image_size=square                             | 3.1-flash-image | close       | image_size                 |                                    | image_size
nano-banana-2       | image_size=portrait_4_3                       | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
nano-banana-2       | image_size=portrait_4_3 seed=7                | nano-banana-2.1 | degraded    | seed                       |                                    | seed
veo-3.1-lite        | image=i duration_s=8 aspect_ratio=9:16 seed=7 | veo-3.1-lite    | exact       |                            |                                    |
veo-3.1-lite        | image=i aspect_ratio=auto                     | veo-3.1-lite    | exact       |                            |                                    |
veo-3.1-lite        | image=i negative_prompt=fog                   | veo-3.1-lite    | close       | negative_prompt            |                                    | negative_prompt

another model: a parameter that is only changed is close
flux-schnell        |                                               | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
flux-schnell        | num_images=4                                  | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
flux-schnell        | output_format=jpeg                            | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
flux-schnell        | num_inference_steps=4                         | nano-banana-2.1 | close       |                            | num_inference_steps                | num_inference_steps
flux-dev            | guidance_scale=3.5 num_inference_steps=28     | nano-banana-2.1 | close       |                            | guidance_scale num_inference_steps | guidance_scale, num_inference_steps
flux-dev            | enable_safety_checker=false                   | nano-banana-2.1 | close       |                            | enable_safety_checker              | enable_safety_checker
flux-dev            | image_size=1024x768                           | nano-banana-2.1 | close       | image_size                 |                                    | image_size
flux-dev            | image_size=square guidance_scale=2            | nano-banana-2.1 | close       | image_size                 | guidance_scale                     | image_size, guidance_scale
flux-dev            | image_size=2048x256                           | nano-banana-2.1 | close       | image_size                 |                                    | image_size
sdxl                | negative_prompt=smoke                         | nano-banana-2.1 | close       | negative_prompt            |                                    | negative_prompt
sdxl                | negative_prompt=                              | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
sdxl                | loras=                                        | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
sd-3.5-large        | negative_prompt=smoke image_size=square_hd    | 3-pro-image     | close       | negative_prompt image_size |                                    | negative_prompt, image_size
flux-pro            | image_size=landscape_16_9 output_format=png   | 3-pro-image     | close       | image_size                 |                                    | image_size
flux-pro-v1.1       | image_size=4096x4096                          | 3-pro-image     | close       | image_size                 |                                    | image_size
flux-pro-v1.1-ultra | image_size=portrait_16_9                      | 3-pro-image     | close       | image_size                 |                                    | image_size
flux-2-pro          | enable_safety_checker=true                    | 3-pro-image     | close       |                            | enable_safety_checker              | enable_safety_checker
recraft-v3          | image_size=square                             | 3-pro-image     | close       | image_size                 |                                    | image_size
flux-krea-lora      | guidance_scale=4                              | nano-banana-2.1 | close       |                            | guidance_scale                     | guidance_scale
flux-lora           |                                               | nano-banana-2.1 | close       |                            |                                    | gemini-nano-banana-2.1 is another model
veo-3.1-fast        | image=i duration_s=8 aspect_ratio=9:16        | veo-3.1-lite    | close       |                            |                                    | veo-3.1-lite-generate-001 is another model
veo-3.1-fast-audio  | image=i negative_prompt=fog                   | veo-3.1-lite    | close       | negative_prompt            |                                    | negative_prompt
seedance-2.0        | image=i duration_s=8 aspect_ratio=auto        | veo-3.1-lite    | close       |                            |                                    | veo-3.1-lite-generate-001 is another model
gpt-image-2         | quality=low image_size=1024x1024              | 3-pro-image     | close       | image_size                 | quality                            | quality, image_size
seedream-5-pro      | image_size=2048x2048 output_format=png        | 3-pro-image     | close       | image_size                 |                                    | image_size
grok-imagine        | image_size=landscape_16_9                     | nano-banana-2.1 | close       | image_size                 |                                    | image_size
qwen-image-2        | negative_prompt=smoke                         | nano-banana-2.1 | close       | negative_prompt            |                                    | negative_prompt
ideogram-v4         | quality=high                                  | 3-pro-image     | close       |                            | quality                            | quality
recraft-v4          |                                               | 3-pro-image     | close       |                            |                                    | gemini-3-pro-image is another model

a dropped parameter that matters to the caller is degraded
flux-2-lora         | loras=a                                       | nano-banana-2.1 | degraded    |                            | loras                              | loras
flux-2-edit         | images=i seed=7                               | nano-banana-2.1 | degraded    | seed                       |                                    | seed
flux-schnell        | seed=7                                        | nano-banana-2.1 | degraded    | seed                       |                                    | seed
flux-pro            | seed=7 image_size=square_hd                   | 3-pro-image     | degraded    | seed image_size            |                                    | seed
flux-dev            | seed=9007199254740993                         | nano-banana-2.1 | degraded    |                            | seed                               | seed (is 9007199254740993; allowed: 0 to 2147483647)
flux-lora           | loras=a                                       | nano-banana-2.1 | degraded    |                            | loras                              | loras
flux-lora           | loras=a seed=7 guidance_scale=3               | nano-banana-2.1 | degraded    | seed                       | loras guidance_scale               | loras, seed
flux-krea-lora      | loras=a,b                                     | nano-banana-2.1 | degraded    |                            | loras                              | loras
sdxl                | loras=a negative_prompt=smoke                 | nano-banana-2.1 | degraded    | negative_prompt            | loras                              | loras
flux-realism        |                                               | nano-banana-2.1 | degraded    |                            |                                    | the model's own loras
flux-realism        | loras=a                                       | nano-banana-2.1 | degraded    |                            | loras                              | loras, the model's own loras
flux-pro            | extra.safety_tolerance=6                      | 3-pro-image     | degraded    |                            | extra.safety_tolerance             | extra.safety_tolerance
recraft-v3          | extra.style=vector_illustration               | 3-pro-image     | degraded    |                            | extra.style                        | extra.style
flux-dev            | mask_url=m                                    | nano-banana-2.1 | degraded    |                            | mask_url                           | mask_url
flux-dev            | strength=0.5                                  | nano-banana-2.1 | degraded    |                            | strength                           | strength
flux-dev            | controlnets=c                                 | nano-banana-2.1 | degraded    |                            | controlnets                        | controlnets
flux-dev            | ip_adapters=c                                 | nano-banana-2.1 | degraded    |                            | ip_adapters                        | ip_adapters
flux-dev            | pose_url=p                                    | nano-banana-2.1 | degraded    |                            | pose_url                           | pose_url
veo-3.1-fast        | image=i seed=7                                | veo-3.1-lite    | degraded    | seed                       |                                    | seed
veo-3.1-fast        | image=i extra.resolution=4k                   | veo-3.1-lite    | degraded    |                            | extra.resolution                   | extra.resolution
fashn-v1.6          | person=p garment=g category=tops              | virtual-try-on-001 | degraded |                            | category                           | category
fashn-v1.6          | person=p garment=g                            | virtual-try-on-001 | close    |                            |                                    | virtual-try-on-001 is another model

the result would not be the piece that was asked for
flux-dev            | image_size=1000x300                           | nano-banana-2.1 | impossible  |                            | image_size                         | image_size (is drawn only in these ratios …
flux-pro            | image_size=2048x256                           | 3-pro-image     | impossible  |                            | image_size                         | image_size (is drawn only in these ratios …
flux-pro            | image_size=6000x6000                          | 3-pro-image     | impossible  |                            | image_size                         | image_size (is drawn only up to 4K (1K is 1024x1024 pixels))
flux-pro-v1.1-ultra | image_size=900x2100                           | 3-pro-image     | impossible  |                            | image_size                         | image_size (is drawn only in these ratios …
flux-lora           | loras=a image_size=1000x300                   | nano-banana-2.1 | impossible  |                            | loras image_size                   | image_size (is drawn only in these ratios …
flux-schnell        | num_images=5                                  | nano-banana-2.1 | impossible  |                            | num_images                         | num_images (is 5; allowed: 1 to 4)
flux-schnell        | image=i                                       | nano-banana-2.1 | impossible  |                            | image                              | image
grok-imagine        | image_size=2000x1000                          | nano-banana-2.1 | impossible  |                            | image_size                         | image_size (is drawn only in these ratios of width to height: 21:9, 16:9, 3:2, 4:3, 5:4, 1:1, …
seedance-2.0        | image=i duration_s=15                         | veo-3.1-lite    | impossible  |                            | duration_s                         | duration_s (is 15; allowed: 4, 6, 8)
seedance-2.0        | image=i aspect_ratio=21:9 duration_s=8        | veo-3.1-lite    | impossible  |                            | aspect_ratio                       | aspect_ratio (is '21:9'; allowed: auto, 16:9, 9:16)
"""

CATALOGUE = load_catalogue()
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()[1:] if "|" in line]


def value_of(name: str, written: str) -> Any:
    if name == "loras":
        return [{"path": path, "scale": 1} for path in written.split(",") if path]
    if size := re.fullmatch(r"(\d+)x(\d+)", written):
        return {"width": int(size[1]), "height": int(size[2])}
    if re.fullmatch(r"\d+", written):
        return int(written)
    return {"true": True, "false": False}.get(written, written)


def asked_of(written: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments and extra."""
    pairs = {name: value_of(name, value) for name, _, value in (word.partition("=") for word in written.split())}
    extra = {name.removeprefix("extra."): value for name, value in pairs.items() if name.startswith("extra.")}
    prompt = {} if {"images_data_url", "garment"} & pairs.keys() else {"prompt": "a kiln"}
    return prompt | {n: v for n, v in pairs.items() if not n.startswith("extra.")}, extra


def route_of(model: Model, written: str) -> Route:
    if written == "own":
        return model.first_route
    (found,) = (
        route for route in model.routes[1:] if re.search(rf"{re.escape(written)}(-generate-\d+)?$", route.endpoint)
    )
    return found


@pytest.mark.parametrize(
    ("name", "asked", "route", "equivalence", "approximated", "dropped", "why"),
    ROWS,
    ids=[f"{name} {asked} on {route}" for name, asked, route, *_ in ROWS],
)
def test_what_happens_to_a_request_on_a_route(
    name: str, asked: str, route: str, equivalence: str, approximated: str, dropped: str, why: str
) -> None:
    model = CATALOGUE.find(name)
    arguments, extra = asked_of(asked)

    made = plan(model, route_of(model, route), Step(name, arguments, (), extra))

    assert (made.equivalence, [*made.approximated], [*made.dropped]) == (
        equivalence,
        approximated.split(),
        dropped.split(),
    )
    assert made.why == why or (why.endswith("…") and made.why.startswith(why[:-1]))


def test_the_table_is_large_and_knows_every_route() -> None:
    told = {route_of(CATALOGUE.find(name), route).endpoint for name, _, route, *_ in ROWS}

    assert len(ROWS) >= 60
    drawing = [model for model in CATALOGUE.models if not model.serves("language.caption")]
    assert {r.endpoint for m in drawing for r in m.routes[1:] if r.provider == "vertex"} <= told
