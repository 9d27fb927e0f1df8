"""Proves that the report is one closed, well-formed, harmless page that says what the files say."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.report.html import write_report
from avrep.report.wording import duration, escape, number

from .run_folder import results_file, trio

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = (
    "<script>alert('x')</script>\"'><img src=http://evil.example/x onerror=alert(1)>&amp;\x00\ud800"
)


class Page(HTMLParser):
    """Collects what matters, and that every element that is opened is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def report(run: Path) -> tuple[str, Page]:
    text = write_report(run).read_text(encoding="utf-8")
    return text, Page(text)


def assert_harmless(text: str, page: Page) -> None:
    """No scripts, no handlers, and nothing that a browser would fetch."""
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "data", "action", "xlink:href", "poster"}:
                assert (value or "").startswith("data:image/png;base64,")
            if name == "style":
                assert "url(" not in (value or "")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_the_page_is_closed_and_says_what_the_files_say(run_dir: Path) -> None:
    text, page = report(run_dir)
    assert_harmless(text, page)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for said in (
        "2026-01-05-quickstart",
        "cvrl",
        "NVIDIA H100 80GB HBM3",
        "2026-01-05 09:12 UTC",
        "Steps 1,200 of 1,200",
        f"Loss {lines[-1]['loss']:.3f} from {lines[0]['loss']:.3f}",
        f"Time in training {duration(1.5 * len(lines))}",
        "Measurements 4 of 8 better than untrained, 1 worse",
        "better, outside the interval",
        "no difference shown",
        "worse, outside the interval",
        "clips/b_0009.mp4 open moov atom not found",
        "Damaged packets passed over 17",
        "temperature: 0.1",
    ):
        assert said in page.text
    titles = ("Loss", "Learning rate", "Feature effective rank", "Throughput", "top1")
    assert all(f"{title} by step" in page.text for title in titles)


def test_each_corpus_of_a_mixture_has_its_counts(run_dir: Path) -> None:
    folder = run_dir / "corpora" / "<b>speech"
    folder.mkdir(parents=True)
    (folder / "health.json").write_text(json.dumps({"num_items": 4321, "num_clips": 98765}))
    text, page = report(run_dir)
    assert_harmless(text, page)
    assert "Corpus <b>speech Items trained on 4321 Clips decoded 98765" in page.text.replace(
        ",", ""
    )


def test_the_page_forbids_scripts_and_fetches_by_its_own_policy(run_dir: Path) -> None:
    _, page = report(run_dir)
    policies = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_pictures_are_inside_byte_for_byte(run_dir: Path) -> None:
    _, page = report(run_dir)
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    data = base64.b64decode((source or "").partition(",")[2], validate=True)
    assert data == (run_dir / "contact_sheet.png").read_bytes()


def test_hostile_text_in_every_file_is_shown_and_not_obeyed(run_dir: Path) -> None:
    (run_dir / "config.yaml").write_text(
        json.dumps({"objective": {"kind": EVIL}, EVIL[:60]: EVIL}), encoding="utf-8"
    )
    environment = {
        "device": EVIL,
        "commit": EVIL,
        "avrep": EVIL,
        "date": EVIL,
        EVIL: {EVIL: [EVIL]},
    }
    (run_dir / "environment.json").write_text(json.dumps(environment))
    line = {"step": 1, "loss": 1.0, EVIL: 2.0, EVIL + "b": float("nan")}
    (run_dir / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    health = {
        "num_items": EVIL,
        "num_rejects": EVIL,
        "rejects": [{"key": EVIL, "stage": EVIL, "reason": EVIL}, EVIL, None],
        "corpus": {EVIL: EVIL, "nested": {EVIL: [EVIL, {EVIL: EVIL}]}},
        EVIL: EVIL,
    }
    (run_dir / "health.json").write_text(json.dumps(health))
    plain = EVIL.replace("\ud800", "")
    rows = trio(0.5, 0.4, 0.1, 0.1, label=plain, metric=plain, note=plain)
    (run_dir / "evaluation" / "linear.json").write_text(results_file(rows))
    (run_dir / "evaluation" / "<script>.json").write_text(EVIL.replace("\ud800", ""))
    text, page = report(run_dir)
    assert_harmless(text, page)
    assert "<script" not in text
    assert page.text.count("<script>alert('x')</script>") >= 15
    assert "\x00" not in text


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "health.json",
        "contact_sheet.png",
        "evaluation/linear.json",
    ],
)
@pytest.mark.parametrize("how", ["absent", "empty", "cut"])
def test_any_one_file_may_be_missing_or_damaged(run_dir: Path, name: str, how: str) -> None:
    path = run_dir / name
    whole = path.read_bytes()
    path.unlink()
    if how != "absent":
        path.write_bytes(b"" if how == "empty" else whole[: len(whole) * 2 // 3])
    text, page = report(run_dir)
    assert_harmless(text, page)
    damaged = how == "cut" and name not in {"config.yaml", "contact_sheet.png"}
    if name.endswith("linear.json") and how == "empty":
        damaged = True
    assert ("Not everything could be read" in page.text) is damaged
    assert ("Data health" in page.text) is True


def test_a_run_that_has_only_begun_gives_a_page(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("objective:\n  temperature: 0.1\n")
    text, page = report(tmp_path)
    assert_harmless(text, page)
    assert "No evaluation was found" in page.text
    assert "last written 20" in page.text


def test_values_that_are_not_finite_are_named_with_their_first_step(run_dir: Path) -> None:
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1204, "loss": NaN}\n{"step": 1208, "loss": NaN}\n{"step": 1212, "lo')
    _, page = report(run_dir)
    assert "not finite at 2 steps, first 1,204" in page.text
    assert "passed over 1 of its lines" in page.text


def test_of_repeated_steps_the_figures_use_the_last(tmp_path: Path) -> None:
    lines = [{"step": s, "total_steps": 30, "loss": v, "elapsed_s": 10.0} for s, v in
             ((10, 9.0), (20, 8.0), (20, 4.0), (30, 3.25))]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    _, page = report(tmp_path)
    assert "Loss 3.250 from 9" in page.text
    assert "Time in training 30 s" in page.text


def test_writing_again_replaces_the_page_and_leaves_no_litter(run_dir: Path) -> None:
    before = {p.name for p in run_dir.iterdir()}
    assert write_report(run_dir) == write_report(run_dir) == run_dir / "report.html"
    assert {p.name for p in run_dir.iterdir()} == before | {"report.html"}


def test_a_wrong_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (1234567.0, "1,234,567"),
        (0.25, "0.250"),
        (-3.14159, "-3.142"),
        (42.105, "42.10"),
        (183.44, "183.4"),
        (12345.6, "12,346"),
        (0.0003, "3e-4"),
        (0.00012345, "1.23e-4"),
        (float("nan"), "not a number"),
        (float("-inf"), "-infinite"),
        (None, "\u2013"),
    ],
)
def test_numbers_as_said(value: float | None, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.25, "0.25 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (725.0, "12 min 5 s"),
        (3600.0, "1 h"),
        (12000.0, "3 h 20 min"),
        (187200.0, "2 d 4 h"),
    ],
)
def test_durations_as_said(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_escaped_text_is_cut_before_it_is_escaped() -> None:
    assert escape("<" * 10, limit=4) == "&lt;&lt;&lt;\u2026"
