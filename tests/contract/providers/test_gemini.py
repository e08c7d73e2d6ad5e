"""What is different at the Gemini API: fields it does not know, models it does not have, no tickets."""

from pathlib import Path

import pytest

from config.keys.google import GEMINI_HOW_TO_SET
from config.settings import GoogleSettings
from tests.contract.providers.conftest import Twin
from tests.contract.providers.google import PRO, TRY_ON, VEO, look, opened, picture_call, sent, shown
from worker.errors import InternalError, ProviderDisabledError, RequestRefusedError
from worker.providers.base import Call, CancelResult, Reply
from worker.providers.google.gemini import open_gemini


async def test_the_fields_of_vertex_alone_are_not_sent(twin: Twin) -> None:
    gemini = await opened("gemini", twin)
    reply = await gemini.submit(picture_call(output_format="jpeg", aspect_ratio="1:1"))
    await gemini.aclose()

    assert isinstance(reply, Reply) and look(reply.files[0])[0] == "PNG"
    (record,) = sent(twin)
    assert record["input"]["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}
    assert len(record["input"]["safetySettings"]) == 4


@pytest.mark.parametrize("model", [TRY_ON, VEO])
async def test_what_runs_on_vertex_only_is_refused_unsent(twin: Twin, model: str) -> None:
    gemini = await opened("gemini", twin)
    with pytest.raises(RequestRefusedError, match="runs on Vertex AI only"):
        await gemini.submit(Call("job-1", model, {"prompt": "x"}, files=(shown("red"),)))
    await gemini.aclose()
    assert twin.count == 0


async def test_there_is_never_a_ticket_to_look_at(twin: Twin) -> None:
    gemini = await opened("gemini", twin)
    ticket = gemini.ticket_of(PRO, "x")
    for ask in (gemini.poll, gemini.result):
        with pytest.raises(InternalError):
            await ask(PRO, ticket)
    assert await gemini.cancel(PRO, ticket) is CancelResult.TOO_LATE
    await gemini.aclose()


async def test_without_a_key_it_does_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderDisabledError) as disabled:
        await open_gemini(GoogleSettings())
    assert disabled.value.message == GEMINI_HOW_TO_SET
