"""What a person decides about a principle; it is kept in its history."""

from datetime import datetime

from pixel_lora_pipeline.learn.principle import Principle, check_time


def approve(principle: Principle, who: str, when: datetime) -> Principle:
    """Make a soft principle hard, because a person says so.

    Raises
    ------
    ValueError
        If it is not soft, if nobody is named, or if the time has no time zone.
    """
    _check_decision(who, when)
    if principle.status != "soft":
        lacking = f"; it lacks {' and '.join(principle.lacks())}" if principle.status == "proposed" else ""
        raise ValueError(
            f"{principle.statement!r} is {principle.status}{lacking}: only a soft principle can be approved"
        )
    return principle.changed("hard", f"approved by {who}", when, principle.changes[-1].n_runs, who)


def revoke(principle: Principle, who: str, when: datetime, why: str) -> Principle:
    """Retire a principle, because a person says so; the runs do not bring it back.

    Raises
    ------
    ValueError
        If it is revoked already, if nobody is named, or if the time has no time zone.
    """
    _check_decision(who, when)
    if principle.status == "revoked":
        raise ValueError(f"{principle.statement!r} was revoked already: {principle.reason}")
    return principle.changed("revoked", why or f"revoked by {who}", when, principle.changes[-1].n_runs, who)


def _check_decision(who: str, when: datetime) -> None:
    if not who.strip():
        raise ValueError("nobody is named: say who decides about the principle")
    check_time(when)
