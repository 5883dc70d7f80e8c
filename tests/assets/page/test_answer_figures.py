"""The names of figures about answers: each has its own, the same one on a column's page and in its check."""

from pxt_assets.assets.page.answer_figures import answer_figures, labels_figures
from pxt_assets.assets.page.answers import decided_text
from pxt_assets.assets.page.answers_page import reliability_metadata
from pxt_assets.compute.partition.answer_findings import AnswerFindings, QuestionFindings
from pxt_assets.compute.partition.label_findings import LabelFindings


def asked(kind: str, *options: str | bool, counts: tuple[int, ...] = ()) -> QuestionFindings:
    return QuestionFindings(kind, [*options], [*counts], answered=10, true=5, confidence=6.0)


def labelled(*rights: bool) -> LabelFindings:
    found = LabelFindings("predicate")
    for is_true in rights:
        found.add_predicate(0.9, is_true=is_true)
    return found


def test_a_question_has_the_same_names_in_its_check() -> None:
    """Though another one that reads alike has no labels."""
    labels = {"a_b": labelled(True, False)}
    findings = AnswerFindings({"a b": asked("predicate"), "a_b": asked("predicate")}, labels=labels)
    assert answer_figures(findings)["pxt/a_b_2_accuracy"] == 0.5
    assert labels_figures(labels, [*findings.questions])["pxt/a_b_2_accuracy"] == 0.5


def test_labelled_questions_have_figures_wherever_they_stand() -> None:
    """Beside the first twenty."""
    questions = {f"q{i}": asked("predicate") for i in range(30)}
    figures = answer_figures(AnswerFindings(questions, labels={"q25": labelled(True)}))
    assert figures["pxt/q25_accuracy"] == 1.0
    assert ("pxt/q19_share_true" in figures, "pxt/q20_share_true" in figures) == (True, False)


def test_no_figure_takes_the_name_of_another() -> None:
    """Neither the rest of many choices, nor what is said of a question that is called like another's choice."""
    many = [f"c{i}" for i in range(11)]
    figures = answer_figures(
        AnswerFindings(
            {
                "t": asked("choice", "of others", *many, counts=(3, *[0] * 9, 7)),
                "a": asked("choice", "b_mean_confidence", "z", counts=(2, 8)),
                "a_share_b": asked("predicate"),
            }
        )
    )
    assert (figures["pxt/t_share_of_others"], figures["pxt/t_share_of_others_2"]) == (0.7, 0.3)
    assert figures["pxt/a_share_b_mean_confidence"] == 0.6
    assert figures["pxt/a_share_b_mean_confidence_2"] == 0.2


def test_the_worst_calibrated_question_is_drawn_first() -> None:
    """What there is no room for is counted, and behind a click; a check has all in one entry."""
    good, bad = labelled(*[True] * 9, False), labelled(False)
    labels = {
        "good": good,
        "fair": labelled(True, True, False),
        "bad": bad,
        "none": LabelFindings("predicate"),
    }
    said = {name: value.value for name, value in reliability_metadata(labels).items()}
    assert said["pxt/reliability"].splitlines()[2].startswith("| bad&#58; 1 row, off by 0&#46;90 |")
    assert said["pxt/reliability"].endswith("| … 1 more | |")
    assert said["pxt/reliability_all"].count("data:image") == 3
    assert [*reliability_metadata(labels, at_once=False)] == ["pxt/reliability"]


def test_a_score_is_shown_as_the_level_that_it_counts_as() -> None:
    """The nearest one, which need not be the likeliest."""
    shares = zip(["calm", "annoyed", "furious"], [0.3, 0.26, 0.44], strict=True)
    levels = [{"label": label, "value": i, "probability": share} for i, (label, share) in enumerate(shares)]
    answer = {"type": "score", "score": 1.14, "confidence": 0.1, "probabilities": levels}
    assert decided_text(answer) == "1.14, annoyed"
    assert decided_text({**answer, "probabilities": levels[2:]}) == "1.14"
