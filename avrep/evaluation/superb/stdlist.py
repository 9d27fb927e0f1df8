"""`benchmark.stdlist.xml`: what a system says of each query in each document, for the scoring tool."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from avrep.media.put_in_place import write_in_place

THRESHOLD = 2.0
"""Above it SUPERB says YES: two deviations above a query's mean."""
DECIMALS = 4
"""Of a score in the file, and so in what is scored."""


def write_stdlist(path: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Write scores of queries in documents in the format of NIST's Spoken Term Detection 2006.

    Args:
        path: of the file.
        scores: of each query, of each document.
    """
    root = ElementTree.Element(
        "stdlist",
        termlist_filename="benchmark.stdlist.xml",
        indexing_time="1.00",
        language="english",
        index_size="1",
        system_id="benchmark",
    )
    for query, of_documents in scores.items():
        terms = ElementTree.SubElement(
            root, "detected_termlist", termid=query, term_search_time="1.0", oov_term_count="1"
        )
        for document, score in of_documents.items():
            ElementTree.SubElement(
                terms,
                "term",
                file=document,
                channel="1",
                tbeg="0.000",
                dur="0.00",
                score=f"{score:.{DECIMALS}f}",
                decision="YES" if score > THRESHOLD else "NO",
            )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_place(f"<?xml version='1.0' encoding='UTF-8'?>\n{text}\n", path)
