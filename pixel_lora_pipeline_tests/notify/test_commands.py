"""`pixel-lora notify …` as a person runs it, in a process of its own."""

import json

from pixel_lora_pipeline.notify import channel_id
from pixel_lora_pipeline.store import Database, Message, Notifications
from pixel_lora_pipeline_tests.notify.servers import Webhook, unused_port
from pixel_lora_pipeline_tests.test_cli import pixel_lora


def test_a_test_message_arrives_and_a_channel_that_does_not_work_is_named(webhook: Webhook) -> None:
    good = f"json://127.0.0.1:{webhook.port}/"
    bad = f"json://127.0.0.1:{unused_port()}/t0p-secret"
    assert pixel_lora("notify", "test", PIXEL_LORA_NOTIFY=json.dumps([good])).returncode == 0
    result = pixel_lora("notify", "test", PIXEL_LORA_NOTIFY=json.dumps([bad, good]))
    assert result.returncode == 1
    assert f"{channel_id(bad)}: " in result.stdout
    assert "Connection refused" in result.stdout
    assert "t0p-secret" not in result.stdout + result.stderr
    assert [body["title"] for body in webhook.bodies] == ["Pixel LoRA Pipeline: this channel works"] * 2


def test_without_a_channel_it_says_how_to_configure_one() -> None:
    result = pixel_lora("notify", "test")
    assert result.returncode == 1
    assert "PIXEL_LORA_NOTIFY='[\"mailto://" in result.stdout


def test_an_address_in_the_wrong_place_is_not_quoted() -> None:
    for value in ("slack://t0p-secret", '[["slack://t0p-secret"]]'):
        result = pixel_lora("notify", "test", PIXEL_LORA_NOTIFY=value)
        assert result.returncode == 1
        assert "notify" in result.stderr
        assert "t0p-secret" not in result.stdout + result.stderr


def test_dead_messages_are_listed_with_the_reason_and_sent_again(database: Database, webhook: Webhook) -> None:
    address = f"json://127.0.0.1:{webhook.port}/"
    settings = {"DATABASE_URL": database.url, "PIXEL_LORA_NOTIFY": json.dumps([address])}
    outbox = Notifications(database, [channel_id(address)])
    outbox.announce(Message("converged", "key", "portraits has converged [bold]x[/]", "Epoch 6 is best."))
    (claimed,) = outbox.claim(channel_id(address), 1)
    outbox.mark_failed(claimed, "the server said no", None)

    listed = pixel_lora("notify", "list", **settings)
    assert listed.returncode == 0, listed.stderr
    for shown in ("dead", "the server said no", "portraits has converged [bold]x[/]", channel_id(address)):
        assert shown in listed.stdout
    (document,) = json.loads(pixel_lora("notify", "list", "--json", **settings).stdout)
    assert (document["id"], document["state"]) == (claimed.id, "dead")
    assert "1 given up" in pixel_lora("doctor", **settings).stdout

    assert pixel_lora("notify", "retry", "999", **settings).returncode == 1
    assert webhook.requests == []
    retried = pixel_lora("notify", "retry", str(claimed.id), **settings)
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert [body["message"] for body in webhook.bodies] == ["Epoch 6 is best."]
    assert "No message waits" in pixel_lora("notify", "list", **settings).stdout
    assert "sent" in pixel_lora("notify", "list", "--all", **settings).stdout


def test_doctor_names_channels_and_an_address_that_cannot_be_used() -> None:
    result = pixel_lora("doctor", PIXEL_LORA_NOTIFY='["json://127.0.0.1/t0p-secret", "slack://t0p-secret"]')
    assert result.returncode == 1
    assert f"{channel_id('json://127.0.0.1/t0p-secret')} (JSON)" in result.stdout
    assert f"{channel_id('slack://t0p-secret')} cannot be used" in result.stdout
    assert "t0p-secret" not in result.stdout
