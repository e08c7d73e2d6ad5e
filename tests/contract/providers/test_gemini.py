"""What differs at the Gemini API: fields and models that it does not have, no tickets."""

from pathlib import Path

import pytest

from config.keys.google import GEMINI_HOW_TO_SET
from config.settings import GoogleSettings
from tests.contract.providers.conftest import Twin
from tests.contract.providers.google import PRO, TRY_ON, VEO, colour_picture, look, opened, picture_call, sent
from worker.errors import InternalError, ProviderDisabledError, RequestRefusedError
from worker.providers.base import Call, CancelResult, Reply
from worker.providers.google.gemini import open_gemini


async def test_fields_that_only_vertex_has_are_not_sent(twin: Twin) -> None:
    gemini = await opened("gemini", twin)
    reply = await gemini.submit(picture_call(output_format="jpeg", aspect_ratio="1:1"))
    await gemini.aclose()

    assert isinstance(reply, Reply) and look(reply.files[0])[0] == "PNG"
    (record,) = sent(twin)
    assert record["input"]["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}
    assert len(record["input"]["safetySettings"]) == 4


@pytest.mark.parametrize("model", [TRY_ON, VEO])
async def test_a_model_that_only_vertex_has_is_refused_before_it_is_sent(twin: Twin, model: str) -> None:
    gemini = await opened("gemini", twin)
    with pytest.raises(RequestRefusedError, match="runs on Vertex AI only"):
        await gemini.submit(Call("job-1", model, {"prompt": "x"}, files=(colour_picture("red"),)))
    await gemini.aclose()
    assert twin.count == 0


async def test_there_are_no_tickets_to_poll(twin: Twin) -> None:
    gemini = await opened("gemini", twin)
    ticket = gemini.ticket_of(PRO, "x")
    for ask in (gemini.poll, gemini.result):
        with pytest.raises(InternalError):
            await ask(PRO, ticket)
    assert await gemini.cancel(PRO, ticket) is CancelResult.TOO_LATE
    await gemini.aclose()


async def test_opening_without_a_key_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderDisabledError) as disabled:
        await open_gemini(GoogleSettings())
    assert disabled.value.message == GEMINI_HOW_TO_SET
