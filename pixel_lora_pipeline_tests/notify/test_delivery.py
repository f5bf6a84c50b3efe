"""From the outbox over real connections to real servers."""

import io
import itertools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest
from apprise.plugins.slack import NotifySlack
from pydantic import SecretStr

from pixel_lora_pipeline.notify import (
    Channel,
    SendError,
    checkpoint_refused,
    configured_channels,
    converged,
    deliver,
    send,
    trial,
)
from pixel_lora_pipeline.notify.delivery import MOST_ATTEMPTS, waiting_seconds
from pixel_lora_pipeline.store import Database, Message, Notifications
from pixel_lora_pipeline_tests.notify.servers import Mailbox, Webhook, unused_port

HOSTILE = "<!channel> *bold* <http://evil.example|click> [a](http://evil.example) <b onload=x>&amp; `code`"


def channel(address: str) -> Channel:
    return configured_channels([SecretStr(address)])[0]


def json_channel(webhook: Webhook, path: str = "") -> Channel:
    return channel(f"json://127.0.0.1:{webhook.port}/{path}")


def mail_channel(port: int, more: str = "") -> Channel:
    return channel(f"mailto://127.0.0.1:{port}?mode=insecure&from=lab@example.com&to=me@example.com{more}")


def content(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def outbox(database: Database, *channels: Channel) -> Notifications:
    return Notifications(database, [channel.id for channel in channels])


def news(key: str = "fact") -> Message:
    return Message("converged", key, f"about {key}", f"the body of {key}")


def make_due(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE notifications SET next_attempt_at = now() - interval '1 second'")


def test_a_mail_says_what_happened_and_markup_in_names_stays_text(mailbox: Mailbox) -> None:
    message = converged(HOSTILE, 6, (5, 7), 0.87, "No new best for two epochs.", Path("/reports/run_report.html"))
    for wanted in ("text", "html"):
        there = mail_channel(mailbox.port, f"&format={wanted}")
        send(there, message.event, message.subject, message.body)
    plain, rich = mailbox.mails
    assert mailbox.recipients == [["me@example.com"]] * 2
    assert plain["subject"] == rich["subject"] == message.subject
    assert plain.get_content_type() == "text/plain"
    assert plain.get_content().split() == message.body.split()
    html = content(rich, "html").replace("&nbsp;", " ")
    assert "<b onload" not in html
    assert "&lt;b onload=x&gt;&amp;amp;" in html
    assert "No new best for two epochs." in html
    assert "/reports/run_report.html" in html


def test_a_subject_cannot_add_a_header_to_a_mail(mailbox: Mailbox) -> None:
    message = checkpoint_refused(Path("/w/a\r\nBcc: all@example.com\r\n\r\nBuy.safetensors"), "sig", "is bad", "Go.")
    send(mail_channel(mailbox.port), message.event, message.subject, message.body)
    (mail,) = mailbox.mails
    assert mail["bcc"] is None
    assert mailbox.recipients == [["me@example.com"]]
    assert "Bcc: all@example.com" in mail["subject"]


def test_slack_gets_its_shape_and_no_markup_from_names(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{webhook.port}/services")
    message = converged(HOSTILE, 6, (5, 7), 0.87, "No new best for two epochs.")
    slack = channel("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    send(slack, message.event, message.subject, message.body)
    ((path, payload),) = webhook.requests
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert payload["mrkdwn"] is False
    (attachment,) = payload["attachments"]
    for text in (attachment["title"], attachment["text"]):
        assert "<" not in text, f"Slack would read markup: {text}"
        assert "&lt;!channel&gt; *bold*" in text
    assert "Epoch 6" in attachment["text"]


def test_each_channel_gets_each_message_once(database: Database, webhook: Webhook, mailbox: Mailbox) -> None:
    channels = [json_channel(webhook), mail_channel(mailbox.port)]
    box = outbox(database, *channels)
    box.announce(news())
    assert [delivery.error for delivery in deliver(box, channels)] == [None, None]
    assert deliver(box, channels) == []
    box.announce(news())  # the same fact, noticed once more
    assert deliver(box, channels) == []
    assert [body["title"] for body in webhook.bodies] == ["about fact"]
    assert [mail["subject"] for mail in mailbox.mails] == ["about fact"]


def test_a_channel_that_fails_is_tried_again_and_the_others_hear_nothing_twice(
    database: Database, webhook: Webhook, mailbox: Mailbox
) -> None:
    webhook.status = 500
    channels = [json_channel(webhook, "hook/t0p-secret"), mail_channel(mailbox.port)]
    box = outbox(database, *channels)
    box.announce(news())
    failed, arrived = deliver(box, channels)
    assert failed.error is not None
    assert "500" in failed.error
    assert "no_such_hook" in failed.error, f"what the server answered is missing: {failed.error}"
    assert not failed.given_up
    assert arrived.error is None
    assert deliver(box, channels) == [], "tried again without a pause"

    webhook.status = 200
    make_due(database)
    assert [delivery.error for delivery in deliver(box, channels)] == [None]
    assert len(mailbox.mails) == 1
    assert [row.attempts for row in box.find(("sent",)) if row.channel == channels[0].id] == [2]


def test_pauses_grow_up_to_a_limit_and_outlive_a_night() -> None:
    means = [waiting_seconds(attempt, 0.5) for attempt in range(1, MOST_ATTEMPTS)]
    assert all(after >= before for before, after in itertools.pairwise(means))
    assert means[0] <= 60
    assert max(means) <= 6 * 3600
    assert sum(means) > 12 * 3600, f"given up after {sum(means) / 3600:.1f} h"
    assert waiting_seconds(3, 0.0) < waiting_seconds(3, 1.0), "messages that failed together come back together"


def test_a_message_that_never_arrives_is_given_up_and_says_why(database: Database) -> None:
    refused = channel(f"json://127.0.0.1:{unused_port()}/t0p-secret")
    box = outbox(database, refused)
    box.announce(news())
    given_up = []
    for _ in range(MOST_ATTEMPTS):
        assert not any(given_up)
        make_due(database)
        given_up += [delivery.given_up for delivery in deliver(box, [refused])]
    assert len(given_up) == MOST_ATTEMPTS
    assert given_up[-1]
    make_due(database)
    assert deliver(box, [refused]) == []
    (dead,) = box.find(("dead",))
    assert dead.last_error is not None
    assert "Connection refused" in dead.last_error


def test_a_message_that_kills_its_senders_is_given_up(database: Database, webhook: Webhook) -> None:
    there = json_channel(webhook)
    box = outbox(database, there)
    box.announce(news())
    for _ in range(MOST_ATTEMPTS):
        assert len(box.claim(there.id, 1)) == 1
        make_due(database)
    (delivery,) = deliver(box, [there])
    assert delivery.given_up
    assert webhook.requests == []


def test_a_message_whose_sender_died_before_writing_it_down_arrives_again(database: Database, webhook: Webhook) -> None:
    there = json_channel(webhook)
    box = outbox(database, there)
    box.announce(news())
    (claimed,) = box.claim(there.id, 1)
    send(there, claimed.event, claimed.subject, claimed.body)  # and then the power went
    make_due(database)
    deliver(box, [there])
    assert [body["title"] for body in webhook.bodies] == ["about fact"] * 2
    assert [row.state for row in box.find(("pending", "sent", "dead"))] == ["sent"]


def test_a_server_that_never_answers_costs_one_time_limit_and_holds_up_no_other_channel(
    database: Database, webhook: Webhook, mailbox: Mailbox
) -> None:
    webhook.silent = True
    channels = [json_channel(webhook), mail_channel(mailbox.port)]
    box = outbox(database, *channels)
    for key in ("a", "b", "c"):
        box.announce(news(key))
    start = time.monotonic()
    deliveries = deliver(box, channels, send_seconds=0.5)
    took = time.monotonic() - start
    assert took < 10, f"{took:.1f} s"
    assert len(mailbox.mails) == 3
    assert sum(delivery.error is not None for delivery in deliveries) == 1


def test_a_pass_ends_in_time_whatever_is_due(database: Database, webhook: Webhook) -> None:
    there = json_channel(webhook)
    box = outbox(database, there)
    box.announce(news())
    assert deliver(box, [there], pass_seconds=0.0) == []
    assert box.due(there.id) == 1


def test_a_mail_server_that_refuses_is_quoted_without_the_password(mailbox: Mailbox) -> None:
    mailbox.refusal = "554 we do not like you"
    with pytest.raises(SendError) as caught:
        send(mail_channel(mailbox.port, "&pass=hunter22"), "test", "subject", "body")
    assert "we do not like you" in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_two_daemons_at_once_send_nothing_twice(database: Database, webhook: Webhook) -> None:
    there = json_channel(webhook)
    box = outbox(database, there)
    keys = [f"fact-{number:02}." for number in range(24)]
    for key in keys:
        box.announce(news(key))
    with ThreadPoolExecutor(3) as daemons:
        for _ in range(3):
            daemons.submit(deliver, box, [there])
    said = " ".join(body["message"] for body in webhook.bodies)
    counts = {key: said.count(f"the body of {key}") for key in keys}
    assert set(counts.values()) == {1}, counts


def test_many_messages_at_once_are_one_mail(database: Database, mailbox: Mailbox) -> None:
    there = mail_channel(mailbox.port)
    box = outbox(database, there)
    for number in range(20):
        box.announce(news(f"fact-{number:02}."))
    deliver(box, [there])
    (mail,) = mailbox.mails
    assert mail["subject"].startswith("20 messages: about fact-00.")
    text = content(mail, "plain")
    assert all(f"the body of fact-{number:02}." in text for number in range(20))
    assert box.count("sent") == 20


@pytest.mark.parametrize(
    "address",
    [
        "slack://T1ZQ7X9/A1ZQ7X9/zzZQ7Xzzzzzzzzzzzzzzzzzz",
        "slack://ZQ7X",
        "discord://9ZQ7X9/ZQ7Xzzz",
        "tgram://123456789:zzZQ7Xzz_abcdefghijk/9ZQ7X",
        "json://ZQ7Xuser:pa%24ZQ7X@127.0.0.1:9/ZQ7X/path?+X-Key=ZQ7XKEY",
        "mailto://ZQ7X:ZQ7X2@127.0.0.1:9?to=ZQ7X@example.com&mode=insecure",
        "nothing://ZQ7X",
        "ZQ7X",
    ],
)
def test_no_part_of_an_address_is_stored_or_logged(
    address: str, database: Database, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}"
    monkeypatch.setenv("HTTPS_PROXY", nowhere)  # what would leave this machine does not get far
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    logged = io.StringIO()
    everything = logging.StreamHandler(logged)
    logging.getLogger().addHandler(everything)
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    try:
        there = channel(address)
        box = outbox(database, there)
        box.announce(trial())
        (delivery,) = deliver(box, [there])
    finally:
        logging.getLogger().removeHandler(everything)
    assert delivery.error
    with database.connection() as connection:
        rows = connection.execute("SELECT notifications::text AS stored FROM notifications").fetchall()
    output = capfd.readouterr()
    seen = f"{rows} {output.out} {output.err} {logged.getvalue()} {there!r} {delivery!r}"
    assert "zq7x" not in seen.lower(), seen


def test_an_address_that_cannot_be_used_fails_only_its_own_channel(database: Database, webhook: Webhook) -> None:
    channels = [channel("nothing://x"), channel("slack://bad"), json_channel(webhook)]
    box = outbox(database, *channels)
    box.announce(news())
    unknown, unfit, arrived = deliver(box, channels)
    assert unknown.error is not None
    assert "no service that apprise knows" in unknown.error
    assert unfit.error is not None
    assert "Correct it in `notify`" in unfit.error
    assert arrived.error is None
