"""Reports say at a glance what they are of and whether to trust it; nothing in them comes from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from PhysMRISynthLib.workflow.cohort.index_page import index_html
from PhysMRISynthLib.workflow.results.html_report import render
from PhysMRISynthLib.workflow.results.report import published_ranges, published_values
from PhysMRISynthLib.workflow.results.report_text import header_lines, table_rows, verdict_line

MEDIANS = {"PD": 69.4, "T1": 650.2, "T2": 82.0, "PD_sd": 2.0, "T1_sd": 37.2, "T2_sd": 3.0, "volume_ml": 406.0}


def report(source: str = "sidecar a.json", **other: Any) -> dict[str, Any]:
    parameters = {"TR": {"value": 600.0, "unit": "ms", "source": source}, "TE": {"value": 3.16, "unit": "ms", "source": source}}
    return {
        "field_strength_tesla": 1.5,
        "software": {"PhysMRISynth": "1.2"},
        "inputs": {"t1w": {"file": "/data/sub-07_T1w.nii.gz", "protocol": {"sequence": "Spin echo", "parameters": parameters}}},
        "verdict": "caution",
        "reasons": [{"cause": "fit", "level": "caution", "text": "the fit is <poor>.", "image": "t1w"}],
        "tissue_medians": {"white_matter": MEDIANS, "deep_grey": MEDIANS, "csf": MEDIANS},
        "from_literature": {"csf": ["T2"]},
        "published_ranges": published_ranges(1.5),
        **other,
    }


@pytest.mark.parametrize(("source", "state"), [("sidecar a.json", "● t1w"), ("default", "○ t1w")])
def test_the_header_says_what_how_and_how_well_known(source: str, state: str) -> None:
    title, when, *inputs = header_lines(report(source))
    assert title == "Tissue maps of sub-07_T1w.nii.gz"
    assert "1.5 T" in when and "1.2" in when and re.match(r"\d{4}-\d\d-\d\d", when)
    assert inputs[0].startswith(f"{state}: Spin echo: TR 600 ms, TE 3.2 ms")


def test_the_verdict_comes_with_its_first_reason() -> None:
    assert verdict_line(report()) == "Use with caution. t1w: the fit is <poor>."
    assert verdict_line(report(verdict="good", reasons=[])).startswith("Good. No problem")
    assert "no estimate" in verdict_line({})


def test_the_table_has_columns_of_their_own_and_admits_what_is_not_measured() -> None:
    head, white, deep, fluid = table_rows(report())
    assert head[4:7] == ["T1 (ms)", "published", "voxel SD"]
    assert white[4:7] == ["650", "500–900", "37"]
    assert deep[5] not in ("", "–"), "deep grey nuclei have a range"
    assert fluid[0] == "Fluid in the brain mask" and fluid[7:10] == ["–", "unmeasured", "–"]
    assert {row[6] for row in table_rows(report("default"))[1:]} == {"assumed"}, "no SD where the protocol is assumed"


def test_values_of_a_method_of_measuring_stand_below_their_tissue() -> None:
    rows = table_rows(report(published_by_method=published_values(3.0)))
    assert [row[0] for row in rows[1:4]] == ["White matter", "· Inversion recovery, RRSG 2024", "Deep grey nuclei"]
    assert rows[2][5] == "822, 841 (783–908)" and not any(rows[2][1:5] + rows[2][6:])
    assert rows[4][5] == "1185", "a median without a range"
    assert len({len(row) for row in rows}) == 1
    assert not published_values(1.5), "none was measured there"


def test_a_page_is_self_contained_and_escapes_what_others_wrote() -> None:
    values = {"title": "<script>alert(1)</script>", "reasons": report()["reasons"], "head": ["Tissue"], "rows": [["<b>"]]}
    pictures = {"maps": "data:image/png;base64,", "residuals": "", "details": ""}
    html = render("report.html", **values, **pictures, protocols=[("t1w", "TR", "1 ms", "<i>")])
    assert "<script" not in html and "&lt;poor&gt;" in html and "<td><b></td>" not in html and "<td><i></td>" not in html
    assert "http" not in html
    assert "A4 landscape" in html


def test_a_cohorts_index_leads_to_every_report_and_shows_doubtful_visits_first(tmp_path: Path) -> None:
    for name in ("sub-01", "sub-02"):
        (tmp_path / name / "anat").mkdir(parents=True)
        (tmp_path / name / "anat" / f"{name}_report.html").touch()
    head = "participant_id\tsession_id\tstatus\treason\tinputs\twhite_matter_t1\tverdict"
    rows = ["sub-01\tn/a\testimated\tn/a\tt1w\t650\tgood", "sub-02\tn/a\testimated\tn/a\tt1w\t900\tdo_not_use",
            "../../etc\tn/a\tfailed\t<b>no image</b>\tn/a\tn/a\tn/a"]  # fmt: skip
    html = index_html("\n".join([head, *rows]), tmp_path)
    assert html.index("&lt;b&gt;no image") < html.index("sub-02/anat/sub-02_report.html") < html.index("sub-01/anat/sub-01_report.html")
    assert html.count("<a href") == 2
    assert "3 visits, 1 good, 0 use with caution, 1 do not use, 1 failed" in html
