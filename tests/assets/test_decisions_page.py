"""What people see of a column of decisions: how answers are distributed, the least sure rows, and labels compared."""

import base64
import io
from typing import Any

import dagster as dg
import PIL.Image
import pytest

from pxt_assets import Checks, ColumnStore, OpenAIResource, Table, choice, predicate, score
from pxt_assets.assets.declarations.answer_checks import LABELS_MATCH, NONE_DOUBTFUL
from pxt_assets.assets.page.answers_page import answers_metadata
from pxt_assets.compute.partition.answer_findings import AnswerFindings, QuestionFindings
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import decisions
from tests.runs import materialize, rows_asset
from tests.scripted_server import Asked, Reply, ScriptedServer, resource_of
from tests.tickets import Partitions, checks, said_of, with_column

TOPICS, LEVELS = ["delivery", "defect"], ["calm", "annoyed", "furious"]
ROWS = {1: "0.9 0.8 0.2", 2: "0.2 0.3 1.6", 3: "0.55 0.9 1.2", 4: "0.4 - 2"}
"""Each says how it is answered: how urgent, how much about a delivery, how angry; `-` is refused."""


def decide(asked: Asked) -> Reply:
    urgent, delivery, anger = asked.text.split()[:3]
    answers = [{"type": "predicate", "name": "urgent", "probability": float(urgent)}, _topic(delivery)]
    level = float(anger)
    probabilities = [
        {"label": label, "value": i, "probability": max(0.0, 1 - abs(level - i))} for i, label in enumerate(LEVELS)
    ]  # fmt: skip
    answers.append(
        {"type": "score", "name": "anger", "score": level, "confidence": 0.95, "probabilities": probabilities}
    )
    usage = {"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}
    return Reply({"model": "gpt-6-luna", "answers": answers, "usage": usage})


def _topic(delivery: str) -> dict[str, Any]:
    if delivery == "-":
        return {"type": "refusal", "name": "topic"}
    shares = [float(delivery), 1 - float(delivery)]
    best = shares.index(max(shares))
    each = [{"value": value, "probability": share} for value, share in zip(TOPICS, shares, strict=True)]
    return {
        "type": "choice",
        "name": "topic",
        "choice": TOPICS[best],
        "confidence": max(shares),
        "probabilities": each,
    }


def triage(table: Table) -> Any:
    questions = {
        "urgent": predicate("It is urgent."),
        "topic": choice("What is it about?", TOPICS),
        "anger": score("How angry?", LEVELS),
    }
    return decisions(table.body, model="gpt-6-luna", questions=questions)


@pytest.fixture
def server(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(decide)
    return started


class Decided:
    """A table with labels, and its column of decisions."""

    def __init__(self, store: ColumnStore, openai: OpenAIResource) -> None:
        self.store, self.openai = store, openai

    def run(self, labels: dict[str, list[Any]], **options: Any) -> dg.ExecuteInProcessResult:
        rows = rows_asset({"id": list(ROWS), "body": list(ROWS.values()), **labels})
        return materialize(with_column(rows, triage, **options), self.store, self.openai)


@pytest.fixture
def decided(store: ColumnStore, server: ScriptedServer) -> Decided:
    return Decided(store, resource_of(server))


def the_check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (one,) = [each for each in checks(result) if each.check_name == name]
    return one


def values(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name.removeprefix("pxt/"): value.value for name, value in evaluation.metadata.items()}


def records(evaluation: dg.AssetCheckEvaluation, name: str = "pxt/doubtful_rows") -> list[Any]:
    table = evaluation.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [record.data for record in table.records]


def test_figures_of_each_question_plot(decided: Decided) -> None:
    """Shares and means are over the rows that were answered: one refused its topic."""
    said = said_of(decided.run({}))
    figures = {name: said[f"pxt/{name}"] for name in said_names(said, "urgent_", "topic_", "anger_")}
    assert figures == {
        "urgent_share_true": 0.5,
        "urgent_mean_confidence": pytest.approx((0.9 + 0.8 + 0.55 + 0.6) / 4, rel=1e-3),
        "topic_share_delivery": 0.6667,
        "topic_share_defect": 0.3333,
        "topic_mean_confidence": pytest.approx((0.8 + 0.7 + 0.9) / 3),
        "anger_mean_score": 1.25,
        "anger_mean_confidence": 0.95,
    }


def said_names(said: dict[str, Any], *begin: str) -> list[str]:
    return [name.removeprefix("pxt/") for name in said if name.removeprefix("pxt/").startswith(begin)]


def test_histograms_are_drawn_at_once(decided: Decided) -> None:
    """A bar for each choice, of which the higher one reaches the top."""
    shown = said_of(decided.run({}))["pxt/answers"]
    assert len(shown) < 1_000
    assert "| urgent | 50\u00a0% true |" in shown
    assert "| topic | delivery\u00a067\u00a0%, defect\u00a033\u00a0%; 1 refused |" in shown
    assert (
        "| anger | mean 1&#46;25; furious\u00a050\u00a0%, calm\u00a025\u00a0%, annoyed\u00a025\u00a0% |"
        in shown
    )
    row = next(line for line in shown.splitlines() if line.startswith("| topic"))
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(row.partition("base64,")[2].partition(")")[0])))
    heights = [sum(picture.convert("RGBA").getpixel((x, y))[3] > 0 for y in range(24)) for x in (5, 35)]  # type: ignore[index]
    assert heights == [24, 12]


def test_the_preview_has_a_column_for_each_question(decided: Decided) -> None:
    """With the probability of what was answered."""
    lines = said_of(decided.run({}))["pxt/preview_all"].splitlines()
    assert lines[0] == "| id | body | urgent | topic | anger |"
    assert lines[2].endswith("| 90\u00a0% | delivery &#40;80\u00a0%&#41; | 0&#46;2, calm |")
    assert "| refused |" in lines[5]


def test_rows_that_are_not_sure_are_named(decided: Decided) -> None:
    """With the answer and what was asked about; again in a run that computes nothing, for whatever confidence."""
    for least, count in ((0.6, 1), (0.6, 1), (0.9, 4), (0.55, 0)):
        check = the_check(decided.run({}, checks=Checks(min_confidence=least)), NONE_DOUBTFUL)
        assert (check.passed, values(check)["rows_doubtful"]) == (not count, count)
        if count == 1:
            assert check.description == "1 of 4 rows with a confidence below 0.6: urgent 1"
            assert records(check) == [
                {"row": "id=3", "question": "urgent", "answer": "true", "confidence": 0.55, "input": ROWS[3]}
            ]
        if count == 4:
            assert [(row["row"], row["question"]) for row in records(check)] == [
                *(("id=3", "urgent"), ("id=4", "urgent"), ("id=2", "topic")),
                *(("id=1", "topic"), ("id=2", "urgent")),
            ]


def test_each_question_may_have_its_own_confidence(decided: Decided) -> None:
    """Of the others nothing is said; the least sure ones of each question are named, however many another one has."""
    how = Checks(min_confidence={"urgent": 0.7, "topic": 0.75})
    check = the_check(decided.run({}, checks=how), NONE_DOUBTFUL)
    assert check.description == (
        "3 answers of too little confidence: urgent 2 of 4 below 0.7, topic 1 of 3 below 0.75"
    )
    assert values(check)["answers_doubtful"] == 3
    assert [row["question"] for row in records(check)] == ["urgent", "urgent", "topic"]


def test_labels_are_compared(decided: Decided) -> None:
    """Of the rows that have one: 2 of 3 are urgent as labelled, and both topics that are labelled and were answered."""
    labels = {"hurry": [True, False, False, None], "topic_by_hand": ["delivery", "defect", "", "defect"]}
    result = decided.run(labels, checks=Checks(labels={"urgent": "hurry", "topic": "topic_by_hand"}))
    check = the_check(result, LABELS_MATCH)
    assert check.passed
    assert check.description == (
        "urgent: 2 of 3 rows as labelled (67 %), Brier 0.12, best F1 1.00 from 0.9 on; "
        "topic: 2 of 2 rows as labelled (100 %), Brier 0.13, 1 labelled without an answer"
    )
    figures = values(check)
    assert figures["urgent_brier"] == pytest.approx((0.01 + 0.04 + 0.3025) / 3, rel=1e-3)
    assert figures["topic_brier"] == pytest.approx((2 * 0.04 + 2 * 0.09) / 2)
    assert figures["urgent_labelled"] == 3
    assert figures["reliability"].count("data:image/webp") == 2
    assert said_of(result)["pxt/topic_accuracy"] == 1.0
    assert records(check, "pxt/wrong_rows") == [
        {
            "row": "id=3",
            "question": "urgent",
            "label → answer": "false → true",
            "probability": 0.55,
            "input": ROWS[3],
        }
    ]


def test_other_labels_are_compared_without_asking(decided: Decided, server: ScriptedServer) -> None:
    """Labels are no part of a cell, so that a changed one costs nothing, and is seen in the next run."""
    accuracies = []
    for label in ("delivery", "defect", "defect"):
        result = decided.run(
            {"by_hand": [label, None, None, None]}, checks=Checks(labels={"topic": "by_hand"})
        )
        accuracies.append(said_of(result)["pxt/topic_accuracy"])
    assert accuracies == [1.0, 0.0, 0.0]
    without = decided.run({"by_hand": ["defect", None, None, None]}, checks=Checks())
    assert "pxt/topic_accuracy" not in said_of(without), "of labels that the column has no more"
    assert len(server.asked) == len(ROWS)


@pytest.mark.parametrize(
    ("labels", "options", "says"),
    [
        (
            [None, "defekt", "delivery", None],
            {},
            "topic: 1 label that is none of its answers: 'defekt' (allowed: 'delivery', 'defect')",
        ),
        (["a", "b", None, None], {}, "topic: 2 labels that are none of its answers: 'a', 'b' (allowed: "),
        (["delivery", None, "defect", None], {"min_accuracy": 0.6}, "topic: at least 60 % should be right"),
        ([None] * 4, {}, "no row has a label"),
        ([None, None, None, "defect"], {}, "topic: 1 labelled without an answer"),
    ],
)
def test_it_warns_of_labels_that_do_not_match(
    decided: Decided, labels: list[Any], options: dict[str, Any], says: str
) -> None:
    """Of a misspelt one, of too few that match, and where nothing was compared, as in a row whose question was refused."""
    result = decided.run({"by_hand": labels}, checks=Checks(labels={"topic": "by_hand"}, **options))
    check = the_check(result, LABELS_MATCH)
    assert not check.passed
    assert says in (check.description or "")


def test_partitions_are_compared_together(store: ColumnStore, server: ScriptedServer) -> None:
    """A run of one partition speaks of the labels of all that are stored, of which an old one has none."""
    rows = {"old": {1: "0.9 0.9 0"}, "a": {1: "0.9 0.9 0 1"}, "b": {2: "0.55 0.1 0 0", 3: "0.1 0.2 0 0"}}
    how = Checks(min_confidence=0.6, labels={"urgent": "hurry"})
    parts = Partitions(store, resource_of(server), rows, triage)
    parts.assets = labelled_partitions(rows, how)
    parts.run("old")
    parts.run("a")
    result = parts.run("b")
    assert the_check(result, LABELS_MATCH).description == (
        "3 stored partitions: urgent: 2 of 3 rows as labelled (67 %), Brier 0.11, best F1 1.00 from 0.9 on"
    )
    (named,) = records(the_check(result, NONE_DOUBTFUL))
    assert named["row"] == "id=2 in b"
    again = the_check(parts.run("a"), NONE_DOUBTFUL).description or ""
    assert "of the 2 other stored partitions 1 has rows below 0.6: b (1)" in again


def labelled_partitions(rows: dict[str, dict[int, str]], how: Checks) -> list[dg.AssetsDefinition]:
    """The table, whose bodies end with the label, and its column."""

    @dg.asset(name="tickets", partitions_def=dg.StaticPartitionsDefinition([*rows]), io_manager_key="columns")
    def tickets(context: dg.AssetExecutionContext) -> list[dict[str, Any]]:
        here = rows[context.partition_key].items()
        labels = ("hurry",) if context.partition_key != "old" else ()
        return [{"id": key, "body": body, **dict.fromkeys(labels, body.endswith("1"))} for key, body in here]

    return with_column(tickets, triage, checks=how)


def test_labels_may_be_computed(store: ColumnStore, server: ScriptedServer) -> None:
    """In another asset than the rows that were asked about."""
    rows = rows_asset({"id": [1], "body": [ROWS[1]], "seen": [{"by": "Ada", "topic": "defect"}]})
    table = Table(rows, key="id")
    table.add_computed_column(copy=table.body)
    table.add_computed_column(by_hand=table.seen.topic)
    questions = {"topic": choice("What is it about?", TOPICS)}
    table.add_computed_column(
        c=decisions(table.copy, model="gpt-6-luna", questions=questions), checks=Checks(labels="by_hand")
    )
    assert table.assets[-1].dependency_keys == {
        dg.AssetKey(["tickets", name]) for name in ("copy", "by_hand")
    }
    server.script = lambda _: Reply({"model": "gpt-6-luna", "answers": [_topic("0.8")], "usage": {}})
    result = materialize([rows, *table.assets], store, resource_of(server))
    assert the_check(result, LABELS_MATCH).description == "topic: 0 of 1 row as labelled (0 %), Brier 1.3"


def test_unnamed_questions_have_figures_by_their_place(store: ColumnStore, server: ScriptedServer) -> None:
    """As the API's own list has them; other letters than those of names of metadata are left out."""
    asked = [predicate("It is urgent."), {**choice("About?", TOPICS), "name": "What, then?"}]
    answers = [
        {"type": "predicate", "name": None, "probability": 0.9},
        {**_topic("0.8"), "name": "What, then?"},
    ]
    server.script = lambda _: Reply({"model": "gpt-6-luna", "answers": answers, "usage": {}})
    rows = rows_asset({"id": [1], "body": ["a"]})
    column = with_column(rows, lambda table: decisions(table.body, model="gpt-6-luna", questions=asked))
    said = said_of(materialize(column, store, resource_of(server)))
    assert said["pxt/question_1_share_true"] == 1.0
    assert said["pxt/What_then_share_delivery"] == 1.0
    assert "| question 1 | 100\u00a0% true |" in said["pxt/answers"]


def test_very_many_questions_are_bounded() -> None:
    """The entries stay small enough for Dagster's event log: 20 questions have figures, 100 are drawn."""
    options: list[str | bool] = [f"choice {i} {'long ' * 20}" for i in range(255)]
    one = QuestionFindings("choice", options, [*range(255)], answered=sum(range(255)), confidence=1.0)
    said = answers_metadata(AnswerFindings({f"question {i} {'long ' * 20}": one for i in range(400)}))
    assert len(said) == 2 + 20 * (10 + 1 + 1)
    assert max(map(len, said)) < 120
    assert len(said["pxt/answers"].value) < 1_000
    assert len(said["pxt/answers_all"].value) < 100_000
    assert "more" in said["pxt/answers"].value


def test_a_column_of_labels_must_be_there(decided: Decided, server: ScriptedServer) -> None:
    """A misspelt one is told before anything is asked; partitions alone may lack it."""
    how = {"checks": Checks(labels={"topic": "by_hand"})}
    rows = rows_asset({"id": list(ROWS), "body": list(ROWS.values()), "byhand": ["defect"] * 4})
    materialize(with_column(rows, triage, **how), decided.store, decided.openai, fails=True)
    assert not server.asked


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        (Checks(labels="by_hand"), "allowed where there is one named question; of 3 say which"),
        (
            Checks(labels={"topik": "by_hand"}),
            "allowed: its questions, urgent, topic, anger; did you mean 'topic'",
        ),
        (Checks(labels={"topic": "c"}), "which is the column itself"),
        (Checks(min_confidence={"topik": 0.6}), "min_confidence of 'topik', .*; did you mean 'topic'"),
    ],
)
def test_labels_are_of_questions(decided: Decided, checks: Checks, says: str) -> None:
    """What no question has is told while definitions load."""
    with pytest.raises(DefinitionError, match=says):
        decided.run({}, checks=checks)
