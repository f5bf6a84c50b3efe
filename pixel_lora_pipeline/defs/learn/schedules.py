"""The weekly report, and what is learnt anew whenever a training was judged."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from pixel_lora_pipeline.defs.learn.assets import (
    ReportPeriod,
    general_principles,
    parameter_evidence,
    parameter_impact_report,
)

weekly_report_job = dg.define_asset_job(
    "report_on_parameters",
    selection=[parameter_evidence, general_principles, parameter_impact_report],
    description="Learn from all runs anew, and report what their parameters do.",
)

learning = dg.AutomationConditionSensorDefinition(
    "learning",
    target=dg.AssetSelection.assets(parameter_evidence, general_principles) | dg.AssetSelection.groups("improve"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Learns from all runs anew whenever one was judged, and proposes what to run next.",
)


def weekly_report(time_zone: str) -> dg.ScheduleDefinition:
    """Mondays at 08:00 of a time zone, also after a week in which nothing happened: then the report says so."""

    @dg.schedule(
        name="weekly_parameter_report",
        job=weekly_report_job,
        cron_schedule="0 8 * * 1",
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every Monday at 08:00: what the parameters do, and what is new since the last report.",
    )
    def weekly_parameter_report(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        due = context.scheduled_execution_time.astimezone(ZoneInfo(time_zone))
        until = (due.date() - timedelta(days=1)).isoformat()
        return dg.RunRequest(
            run_key=until,
            run_config=dg.RunConfig(ops={parameter_impact_report.op.name: ReportPeriod(week_until=until)}),
        )

    return weekly_parameter_report
