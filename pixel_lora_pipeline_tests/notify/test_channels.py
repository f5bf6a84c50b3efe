import pytest
from pydantic import SecretStr

from pixel_lora_pipeline.notify import channel_id, configured_channels

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def test_an_id_names_the_service_and_nothing_else() -> None:
    name = channel_id(SLACK)
    assert name.startswith("slack-")
    assert len(name) == len("slack-") + 8
    assert name == channel_id(f" {SLACK}\n"), "the same address has two ids"
    assert channel_id("mailto://me@example.com") != channel_id("mailto://you@example.com")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mailto://me:old@example.com?to=a@b.cc", "mailto://me:new%40word@example.com?to=a@b.cc"),
        ("mailto://example.com?user=me&pass=old&to=a@b.cc", "mailto://example.com?user=me&pass=new&to=a@b.cc"),
    ],
)
def test_a_corrected_password_keeps_the_channel(before: str, after: str) -> None:
    assert channel_id(before) == channel_id(after)


@pytest.mark.parametrize("address", ["hunter2", "hunter2 hunter2://x", "", "://hunter2"])
def test_what_is_no_address_is_not_shown(address: str) -> None:
    assert channel_id(address).startswith("unreadable-")


def test_an_address_that_is_there_twice_gets_each_message_once() -> None:
    channels = configured_channels([SecretStr(SLACK), SecretStr(SLACK), SecretStr("json://127.0.0.1")])
    assert [channel.id.partition("-")[0] for channel in channels] == ["slack", "json"]
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in repr(channels)
