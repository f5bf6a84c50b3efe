"""The report as a page: one file, with no script and nothing from outside; as markdown; and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pixel_lora_pipeline.analyze.report import Report
from pixel_lora_pipeline.analyze.report.frame import render_page
from pixel_lora_pipeline.learn.impact_report.charts import forest_chart, heatmap_chart, partial_effects_chart
from pixel_lora_pipeline.learn.impact_report.content import ImpactContent
from pixel_lora_pipeline.learn.impact_report.document import impact_document
from pixel_lora_pipeline.learn.impact_report.markdown import impact_markdown
from pixel_lora_pipeline.learn.impact_report.shown import figure, joined, shown_name

# What is shown at once: the rest of a section is folded, and of a list of runs it is left out.
_OPEN: Final = {"entries": 8, "rows": 12, "runs": 40}


@dataclass(frozen=True)
class ImpactReport(Report):
    """A page, the same as markdown, and the same figures as JSON.

    `document` is what the next report is given as the previous one.
    """

    markdown: str


def impact_report(content: ImpactContent) -> ImpactReport:
    """The report on what the parameters do; the same bytes for the same content.

    Raises
    ------
    ValueError
        If a column that evidence was drawn from holds no numbers.
    """
    document = impact_document(content)
    return ImpactReport(_html(document), document, impact_markdown(document))


def report_stem(document: Mapping[str, Any]) -> str:
    """Name of the report's files, without ending."""
    return f"parameter_impact_{document['created_at'][:10]}"


def _html(document: Mapping[str, Any]) -> str:
    return render_page(
        "impact.html.jinja",
        document,
        json_name=f"{report_stem(document)}.json",
        package="pixel_lora_pipeline.learn.impact_report",
        styles=("report.css", "impact.css"),
        forest=forest_chart(document["forest"]),
        heatmap=heatmap_chart(document["heatmap"]),
        partial=partial_effects_chart(document["partial_effects"]),
        figure=figure,
        joined=joined,
        shown_name=shown_name,
        open=_OPEN,
    )
