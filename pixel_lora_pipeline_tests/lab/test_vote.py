"""The blind vote over HTTP: nothing tells whose the images are, and nobody has more than their say."""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.blind_tests import create_test
from pixel_lora_pipeline.lab.blind_pair import WaitingImages, alike
from pixel_lora_pipeline.store import RowId, Store
from pixel_lora_pipeline_tests.blind_epochs import picture, two_epochs
from pixel_lora_pipeline_tests.lab.server import served

FOREIGN = {"Origin": "http://evil.example"}


@pytest.fixture
def test_id(store: Store, tmp_path: Path) -> RowId:
    two_epochs(store, tmp_path / "checkpoints")
    return create_test(store, ["portrait:1", "portrait:2"], "somebody")


@pytest.fixture
def lab(store: Store, tmp_path: Path) -> Iterator[httpx.Client]:
    with served(store, tmp_path) as address, httpx.Client(base_url=address) as client:
        yield client


def ordered(lab: httpx.Client, test_id: RowId, what: str, **content: Any) -> httpx.Response:
    return lab.post(f"/lab/api/ab/{test_id}/{what}", json=content)


def joined(lab: httpx.Client, test_id: RowId, judge: str) -> str:
    secret: str = ordered(lab, test_id, "join", judge=judge).raise_for_status().json()["secret"]
    return secret


def chunks(png: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append(png[at + 4 : at + 8])
        at += 12 + length
    return found


def pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_nothing_that_is_sent_tells_whose_the_images_are(lab: httpx.Client, store: Store, test_id: RowId) -> None:
    test = store.ab_tests.get(test_id)
    identity = {word.lower() for model in test.models for word in (model.run_name, f"epoch {model.epoch}")}
    identity |= {name for case in test.cases for name in case.images} | {"safetensors", "lora-", "sha256"}
    originals = {pixels(picture(epoch, n)).tobytes() for epoch in (1, 2) for n in range(16)}
    page = lab.get(f"/lab/ab/{test_id}/vote")
    secret = joined(lab, test_id, "Ann")
    for _ in range(6):
        answer = ordered(lab, test_id, "pair", secret=secret)
        told = answer.json()
        assert set(told) == {"done", "planned", "can_undo", "pair"}
        assert set(told["pair"]) == {"token", "prompt", "left", "right"}
        sides = [lab.get(told["pair"][side]) for side in ("left", "right")]
        first, second = ({**side.headers, "date": ""} for side in sides)
        assert first == second and "etag" not in first and "last-modified" not in first
        assert len(sides[0].content) == len(sides[1].content)
        for side in sides:
            assert set(chunks(side.content)) == {b"IHDR", b"IDAT", b"paDd", b"IEND"}
            assert pixels(side.content).tobytes() in originals
        sent = [page, answer, *sides]
        # The prompt may say whatever it says: it is the same for both sides.
        texts = [(str(one.headers) + one.text).lower().replace(told["pair"]["prompt"].lower(), "") for one in sent]
        assert [(word, text) for word in identity for text in texts if word in text.replace("pixel lora lab", "")] == []
        ordered(lab, test_id, "vote", secret=secret, token=told["pair"]["token"], choice="tie")


def test_each_image_is_sent_once(lab: httpx.Client, test_id: RowId) -> None:
    secret = joined(lab, test_id, "Ann")
    left = ordered(lab, test_id, "pair", secret=secret).json()["pair"]["left"]
    assert lab.get(left).status_code == 200
    assert lab.get(left).status_code == 410
    assert lab.get("/lab/vote/forged.png").status_code == 410
    again = ordered(lab, test_id, "pair", secret=secret).json()["pair"]["left"]
    assert again != left and lab.get(again).status_code == 200


def test_stuffing_replay_and_forgery_are_refused(lab: httpx.Client, store: Store, test_id: RowId) -> None:
    secret = joined(lab, test_id, "Ann")
    token = ordered(lab, test_id, "pair", secret=secret).json()["pair"]["token"]
    good = {"secret": secret, "token": token, "choice": "left"}
    assert ordered(lab, test_id, "vote", **{**good, "token": "forged"}).status_code == 409
    assert ordered(lab, test_id, "vote", **{**good, "secret": "forged"}).status_code == 403
    assert ordered(lab, test_id, "vote", **{**good, "choice": "both"}).status_code == 422
    address = f"/lab/api/ab/{test_id}/vote"
    assert lab.post(address, json=good, headers=FOREIGN).status_code == 403
    assert lab.post(address, data=good).status_code == 403
    assert lab.get(address, params=good).status_code in (403, 405)
    assert store.ab_tests.ballots(test_id) == []

    assert ordered(lab, test_id, "vote", **good).status_code == 200
    answers = [ordered(lab, test_id, "vote", **good).status_code for _ in range(50)]
    assert set(answers) == {409}, "a vote was taken twice"
    assert len(store.ab_tests.ballots(test_id)) == 1
    assert ordered(lab, test_id, "join", judge="ann").status_code == 403, "a name is a judge once"
    assert ordered(lab, 999, "join", judge="Ann").status_code == 404


def test_a_missing_image_is_said_without_naming_it(
    lab: httpx.Client, store: Store, test_id: RowId, caplog: pytest.LogCaptureFixture
) -> None:
    secret = joined(lab, test_id, "Ann")
    for case in store.ab_tests.get(test_id).cases:
        store.image_files.path(case.images[0]).unlink()
    answer = ordered(lab, test_id, "pair", secret=secret)
    assert answer.status_code == 503
    assert answer.json() == {"error": "An image of this pair is missing or damaged; the server's log says which."}
    assert ".png is missing" in caplog.text


def test_files_become_alike_whatever_they_were() -> None:
    simple, rich = picture(1, 0), picture(2, 0)
    assert len(simple) < len(rich)
    for left, right in ((simple, rich), (rich, simple), (simple, simple), (with_alpha(simple), rich)):
        first, second = alike(left, right)
        assert len(first) == len(second)
        modes = [Image.open(BytesIO(png)).mode for png in (first, second)]
        assert modes[0] == modes[1]
        for png, original in ((first, left), (second, right)):
            assert (pixels(png) == pixels(original)).all()
            assert Image.open(BytesIO(png)).info == {}


def test_images_that_nobody_fetches_give_way() -> None:
    waiting = WaitingImages()
    tokens = [waiting.put(str(number).encode()) for number in range(100)]
    assert len(set(tokens)) == 100
    assert waiting.take(tokens[0]) is None
    assert waiting.take(tokens[-1]) == b"99"


def with_alpha(png: bytes) -> bytes:
    encoded = BytesIO()
    Image.open(BytesIO(png)).convert("RGBA").save(encoded, "PNG")
    return encoded.getvalue()
