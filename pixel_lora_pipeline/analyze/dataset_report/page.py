"""The report as a page: one file, with no script and nothing from outside."""

from typing import Final

from pixel_lora_pipeline.analyze.dataset_report.content import DatasetContent
from pixel_lora_pipeline.analyze.dataset_report.document import dataset_document
from pixel_lora_pipeline.analyze.report import Report
from pixel_lora_pipeline.analyze.report.frame import render_page

# Of the findings of one check, how many are shown at once, and how many at all: the rest is in the JSON file.
_OPEN: Final = 3
_SHOWN: Final = 100


def dataset_report(content: DatasetContent, json_name: str) -> Report:
    """The report on a dataset; the same bytes for the same content.

    Parameters
    ----------
    json_name
        Of the file with the same figures, which the page links to.
    """
    document = dataset_document(content)
    html = render_page(
        "dataset.html.jinja",
        document,
        json_name=json_name,
        package="pixel_lora_pipeline.analyze.dataset_report",
        styles=("report.css", "dataset.css"),
        open=_OPEN,
        shown=_SHOWN,
    )
    return Report(html, document)
