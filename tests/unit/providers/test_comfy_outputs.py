"""What a run on the Comfy server may bring: its texts and files are cut while the events are read."""

from collections.abc import Mapping, Sequence

from worker.providers.base import Reply
from worker.providers.fal.comfy_run import ComfyRun


def _outputs(*outputs: Mapping[str, Sequence[object]]) -> list[dict[str, list[object]]]:
    run = ComfyRun({str(n): {"class_type": "Show", "inputs": {}} for n in range(len(outputs))})
    for n, output in enumerate(outputs):
        run.take({"type": "executed", "data": {"node": str(n), "output": output}})
    reply = run.outcome(is_cut=False)
    assert isinstance(reply, Reply)
    return list(reply.output["outputs"])


def test_the_texts_of_all_nodes_together_fit_a_row() -> None:
    outputs = _outputs(*[{"text": ["x" * 20_000] * 64}] * 12)
    assert sum(len(str(text)) for each in outputs for text in each["texts"]) == 256_000


def test_all_files_of_a_large_batch_are_handed_on() -> None:
    outputs = _outputs({"images": [{"url": f"https://x/{n}.png"} for n in range(100)]})
    assert len(outputs[0]["files"]) == 100
