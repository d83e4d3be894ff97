"""Exports of labelling services: CVAT, Labelbox and Figure Eight."""

from __future__ import annotations


def cvat(images, assignee="", head=""):
    """Return CVAT for images 1.1; ``images`` maps a name to the inside of its element."""
    inside = "".join(
        f'<image id="{i}" name="{name}" width="4" height="3">{what}</image>'
        for i, (name, what) in enumerate(images.items())
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>'
        f"<meta><job><id>7</id><size>2</size>{assignee}</job></meta>{inside}</annotations>"
    )


def tag(label, source="manual", attributes=""):
    return f'<tag label="{label}" source="{source}">{attributes}</tag>'


BOX = '<box label="cat" source="manual" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"></box>'


ANNA = "<assignee><username>anna</username><email></email></assignee>"


def radio(title, answer):
    return {"title": title, "value": title.lower(), "answer": {"title": answer, "value": answer.lower()}}  # fmt: skip


def label_1(row, by, classifications=None, objects=(), **more):
    label = {"objects": list(objects), "classifications": classifications or []}
    return {
        "ID": f"l-{row}-{by}",
        "DataRow ID": row,
        "Labeled Data": f"https://example.org/{row}.png",
        "Label": label,
        "Created By": by,
        "Project Name": "p",
        "External ID": f"{row}.png",
        "Agreement": None,
        **more,
    }


V1 = [
    label_1("r1", "anna@x", [radio("Kind", "Cat")]),
    label_1("r1", "ben@x", [radio("Kind", "Dog")]),
    label_1("r2", "anna@x", [radio("Kind", "Dog")], **{"Is Benchmark": 1}),
    label_1("r2", "ben@x", Label="Skip"),
    label_1("r3", "ben@x", objects=[{"title": "box", "bbox": {}}]),
]


V1_ANSWERS = {("r1", "anna@x", "Cat"), ("r1", "ben@x", "Dog")}


def label_2(row, by, classifications, skipped=False):
    return {
        "data_row": {"id": row, "external_id": f"{row}.txt", "row_data": "text"},
        "media_attributes": {},
        "projects": {
            "p1": {
                "name": "p",
                "labels": [
                    {
                        "label_kind": "Default",
                        "id": "l",
                        "label_details": {"created_by": by},
                        "performance_details": {"skipped": skipped},
                        "annotations": {"objects": [], "classifications": classifications},
                    }
                ],
            }
        },
    }


FULL = """_unit_id,_golden,_id,_tainted,_trust,_worker_id,sentiment,relevant,orig__golden,sentiment_gold,text
1,false,10,false,0.9,501,positive,yes,,,"a tweet, with a comma"
1,false,11,false,0.8,502,negative,yes,,,"a tweet, with a comma"
2,true,12,false,0.9,501,negative,no,true,negative,another
2,true,13,true,0.2,503,positive,yes,true,negative,another
3,false,14,false,0.9,502,"positive
negative",no,,,third
3,false,15,false,0.9,501,,yes,,,third
"""
