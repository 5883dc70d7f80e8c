import dagster as dg
import pytest

from pxt_assets.component.templates import render_templates, with_env_vars
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError

SCOPE = dg.ResolutionContext.default().with_scope(n=7, text="123", things=["a", "b"])


def render(value: object) -> object:
    return render_templates(value, SCOPE, YamlPosition(label="here"))


@pytest.mark.parametrize("text", ["123", "{'k': 1}", "True", "line\n", "{ x }", "", "naïve ☃"])
def test_text_without_a_template_is_itself(text):
    """Nothing is made of what merely looks like a number, a dict or a truth value."""
    assert render(text) == text


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ n }}", 7),
        (" {{ text }} ", "123"),
        ("{{ things }}", ["a", "b"]),
        ("{{ n }}/{{ text }}\n", "7/123\n"),
        ("{% if n %}yes{% endif %}", "yes"),
        ({"a": ["{{ n }}", 1]}, {"a": [7, 1]}),
    ],
)
def test_a_template_that_is_the_whole_text_gives_what_it_stands_for(template, value):
    """One inside of longer text gives text."""
    assert render(template) == value


def test_python_objects_come_from_templates():
    """What Dagster's scope has can be called."""
    assert isinstance(render("{{ dg.AutomationCondition.eager() }}"), dg.AutomationCondition)


@pytest.mark.parametrize("template", ["{{ nothing }}", "{{ nothing }} there", "{{ nothing.at.all() }}"])
def test_an_unknown_name_is_refused(template):
    """The message says where, and which names there are."""
    with pytest.raises(
        DefinitionError, match=r"^here: got .*'nothing' is undefined; a template can use .*env.*text"
    ):
        render(template)


def test_a_template_that_cannot_be_parsed_is_refused():
    """As is one that raises."""
    with pytest.raises(DefinitionError, match=r"^here: got '\{\{ n"):
        render("{{ n +  }}")


def test_environment_variables(monkeypatch):
    """Their text stays text; a missing one is refused unless there is a default."""
    monkeypatch.setenv("PXT_TEST", "007")
    assert render("{{ env.PXT_TEST }}") == "007"
    assert render("a/{{ env.PXT_TEST }}") == "a/007"
    monkeypatch.delenv("PXT_TEST")
    with pytest.raises(DefinitionError, match="environment variable PXT_TEST is not set"):
        render("{{ env.PXT_TEST }}")
    assert render("{{ env('PXT_TEST', 'x') }}") == "x"


def test_secrets_are_left_to_the_run():
    """A text that is one environment variable becomes an EnvVar, any other stays as it is."""
    value = with_env_vars({"key": "{{ env.PXT_TEST }}", "inner": {"a": "x {{ env.PXT_TEST }}"}, "n": 1})
    assert value == {"key": "PXT_TEST", "inner": {"a": "x {{ env.PXT_TEST }}"}, "n": 1}
    assert isinstance(value["key"], dg.EnvVar)
