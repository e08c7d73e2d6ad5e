"""Names that leave the process. A change here is a change of the contract with every backend."""

from typing import get_args

from tasks import audio, editing, generation, language, training, video
from tasks.generation import comfy
from tasks.language import completion
from tasks.language.answers import Analysis, Caption, Captions, Finding, Match, Matches, Outfit, Outfits
from tasks.pipelines.batch import Batched, BatchItem
from tasks.vision import detection, segmentation
from tasks.vision import words as vision_words
from tasks.vision.places import Box, FoundObject, FoundPoint, NormalisedBox, Point
from worker.cli.job_arguments import all_tasks
from worker.edge.app import DEFAULT_QUEUE
from worker.errors import KilnhandError, _tree
from worker.jobs.job import Priority, Stage
from worker.jobs.request import JobOptions
from worker.jobs.status import FileOut, JobResult, JobStatus, State

TASKS = {  # by queue: each is `queue.name`
    "editing": "blend contact_sheet cut erase expand fix_face fix_garment grow_mask inpaint overlay remove_background replace_background sticker try_on upscale",
    "generation": "batch comfy image_to_image run text_to_image workflow",
    "language": "analyse caption complete filter style",
    "training": "lora lora_with_samples pack prepare unpack",
    "video": "extend image_to_video reference_to_video text_to_video",
    "vision": "ask describe detect detect_faces point segment",
    "audio": "speak transcribe",
}


def test_tasks_and_queues() -> None:
    ours = {name: task.job_queue for name, task in all_tasks().items() if task.__module__.startswith("tasks.")}

    assert ours == {f"{queue}.{name}": queue for queue, names in TASKS.items() for name in names.split()}
    assert DEFAULT_QUEUE == "celery"


def test_states_and_stages() -> None:
    assert get_args(State) == ("QUEUED", "IN_PROGRESS", "SUCCESS", "FAILURE", "REVOKED")
    assert " ".join(Stage) == (
        "sent accepted submitting unknown waiting fetched stored closing completed failed cancelled"
    )


def test_options() -> None:
    assert " ".join(JobOptions.model_fields) == (
        "tenant labels deadline_s priority idempotency_key provider providers fallback allow_degraded fallback_on_policy "
        "max_queue_s duplicates max_usd reuse_s"
    )
    assert get_args(Priority) == ("low", "normal", "high")


def test_status_and_result() -> None:
    assert " ".join(JobStatus.model_fields) == (
        "job_id task state stage model progress progress_estimated queue_position logs provider endpoint request_id "
        "attempt tenant labels created_at updated_at error delayed_by total_cost receipt"
    )
    assert " ".join(JobResult.model_fields) == (
        "job_id task provider model endpoint request_id seed cost total_cost timings attempts possible_duplicate "
        "provenance reused_from tenant labels"
    )
    assert (
        " ".join(FileOut.model_fields)
        == "url content_type bytes sha256 width height duration_s key has_sound poster_url poster_key"
    )
    of_any = {"files", "images", "video", "audio", "weights", "answer", "answer_url"}
    assert of_any == set(generation.AnyResult.model_fields) - set(JobResult.model_fields)
    for pictures in (generation.Pictures, editing.Edited):
        assert {"images"} == set(pictures.model_fields) - set(JobResult.model_fields)
    assert {"images", "items", "failed"} == set(Batched.model_fields) - set(JobResult.model_fields)
    assert " ".join(BatchItem.model_fields) == "prompt variation seed images error error_code"
    comfied = {"images", "videos", "audio", "files", "outputs"}
    assert comfied == set(comfy.Comfied.model_fields) - set(JobResult.model_fields)
    assert " ".join(comfy.NodeOutput.model_fields) == "node class_type name images videos audio files texts"
    assert {"audio"} == set(audio.Spoken.model_fields) - set(JobResult.model_fields)
    assert {"text", "segments", "language"} == set(audio.Transcribed.model_fields) - set(JobResult.model_fields)
    trained = {"weights", "config", "role", "trigger_word", "dataset", "captions"}
    assert trained == set(training.Weights.model_fields) - set(JobResult.model_fields)
    prepared = {"images", "pictures", "ignored", "ignored_count"}
    assert prepared == set(training.PreparedImages.model_fields) - set(JobResult.model_fields)
    assert {"archive"} == set(training.PackedDataSet.model_fields) - set(JobResult.model_fields)
    assert {"video"} == set(video.Video.model_fields) - set(JobResult.model_fields)
    for result in (language.Captioned, language.Styled, language.Analysed, language.Filtered):
        assert {"answer"} == set(result.model_fields) - set(JobResult.model_fields)
    completed = set(completion.Completed.model_fields) - set(JobResult.model_fields)
    assert {"text", "data", "reasoning", "llm"} == completed
    places = {"objects", "width", "height"}
    assert places | {"overlay"} == set(detection.Detected.model_fields) - set(JobResult.model_fields)
    assert places ^ {"objects", "points", "overlay"} == set(detection.Pointed.model_fields) - set(
        JobResult.model_fields
    )
    assert places | {"masks", "overlay"} == set(segmentation.Segmented.model_fields) - set(JobResult.model_fields)
    assert {"answer", "reasoning"} == set(vision_words.Answered.model_fields) - set(JobResult.model_fields)
    assert {"description"} == set(vision_words.Described.model_fields) - set(JobResult.model_fields)


def test_places() -> None:
    assert " ".join((*FoundObject.model_fields, *FoundPoint.model_fields)) == "box normalised score point normalised"
    assert " ".join((*Box.model_fields, *Point.model_fields)) == "x_min y_min x_max y_max x y"
    assert Box.model_fields.keys() == NormalisedBox.model_fields.keys()


def test_answers() -> None:
    """What is inside `answer`."""
    assert " ".join((*Captions.model_fields, *Caption.model_fields)) == "captions image text"
    assert " ".join((*Outfits.model_fields, *Outfit.model_fields)) == "outfits title garments reason"
    assert " ".join((*Matches.model_fields, *Matches.model_computed_fields, *Match.model_fields)) == (
        "products matching product matches images confidence reason"
    )
    assert " ".join((*Analysis.model_fields, *Finding.model_fields)) == (
        "findings summary question answer images confidence"
    )


def test_error_codes() -> None:
    ours = [cls for cls in _tree(KilnhandError) if cls.__module__ == KilnhandError.__module__]
    assert " ".join(sorted(cls.code for cls in ours)) == (
        "account_locked authentication broken_piece claim_lost content_refused deadline_exceeded error external_service "
        "internal invalid_request key_reused over_budget provider_disabled rate_limited request_refused "
        "service_unavailable step_failed submit_unknown unknown_job"
    )
