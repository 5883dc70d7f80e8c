"""The functions' signatures are those that Pixeltable documents, of those that it has.

Source: https://github.com/pixeltable/pixeltable/blob/main/pixeltable/functions/openai.py
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pxt_assets import Table, functions, predicate, tools
from pxt_assets.errors import DefinitionError
from pxt_assets.values.types import Array, Audio, Json, type_name


def invoke_tools(tools, response): ...
def chat_completions(messages, *, model, model_kwargs=None, tools=None, tool_choice=None): ...
def decisions(input, *, model, questions, model_kwargs=None): ...
def embeddings(input, *, model, model_kwargs=None): ...
def image_edits(image, *, prompt, model, mask=None, model_kwargs=None): ...
def image_generations(prompt, *, model, model_kwargs=None): ...
def image_variations(image, *, model, model_kwargs=None): ...
def moderations(input, *, model="omni-moderation-latest"): ...
def responses(input, *, model, model_kwargs=None, tools=None, tool_choice=None): ...
def speech(input, *, model, voice, model_kwargs=None): ...
def transcriptions(audio, *, model, model_kwargs=None): ...
def translations(audio, *, model, model_kwargs=None): ...


DOCUMENTED: list[tuple[Callable[..., Any], Any]] = [
    (invoke_tools, Json),
    (chat_completions, Json),
    (decisions, Json),
    (embeddings, Array[(None,), "float32"]),
    (image_edits, Json),
    (image_generations, Json),
    (image_variations, Json),
    (moderations, Json),
    (responses, Json),
    (speech, Audio),
    (transcriptions, Json),
    (translations, Json),
]
NAMES = [documented.__name__ for documented, _ in DOCUMENTED]
API_NAMES = [name for name in NAMES if name != "invoke_tools"]


def search(text: str) -> str:
    """Finds tickets."""
    return text


def least(name: str) -> dict[str, Any]:
    """The arguments that a function cannot do without."""
    tbl = Table("tbl")
    given = {
        "audio": tbl.audio,
        "image": tbl.image,
        "input": tbl.text,
        "messages": [{"role": "user", "content": tbl.text}],
        "model": "m",
        "prompt": tbl.text,
        "questions": {"urgent": predicate("The customer needs an answer today.")},
        "response": tbl.response,
        "tools": tools(search),
        "voice": "nova",
    }
    signature = inspect.signature(getattr(functions, name))
    return {p.name: given[p.name] for p in signature.parameters.values() if p.default is p.empty}


def test_every_documented_function_is_there():
    """And no other."""
    assert sorted(functions.__all__) == sorted(NAMES)


@pytest.mark.parametrize("documented", [documented for documented, _ in DOCUMENTED], ids=NAMES)
def test_parameters(documented):
    """Names, order, defaults, and which of them are given by keyword alone."""
    ours = inspect.signature(getattr(functions, documented.__name__))
    parameters = [p.replace(annotation=p.empty) for p in ours.parameters.values()]
    assert parameters == list(inspect.signature(documented).parameters.values())


@pytest.mark.parametrize(("documented", "returns"), DOCUMENTED, ids=NAMES)
def test_results(documented, returns):
    """The type of the column."""
    ours = getattr(functions, documented.__name__).returns
    assert issubclass(ours, returns)
    assert type_name(ours) == type_name(returns)


@pytest.mark.parametrize("name", NAMES)
def test_docstrings(name):
    """They tell of each argument and give an example; of the API's own arguments they name the source."""
    function = getattr(functions, name)
    text = inspect.getdoc(function)
    arguments, example = text.index("\nArgs:\n"), text.index("\nExample:\n")
    for parameter in inspect.signature(function).parameters:
        assert f"\n    {parameter}: " in text[arguments:example]
    assert f"{name}(" in text[example:]
    assert ("\nSource: https://" in text) is (name in API_NAMES)


@pytest.mark.parametrize("name", API_NAMES)
def test_a_positional_model_is_refused(name):
    """A model is given by its keyword, as documented."""
    arguments = least(name)
    first = next(iter(inspect.signature(getattr(functions, name)).parameters))
    arguments.pop("model", None)
    with pytest.raises(DefinitionError, match=f"{name}: too many positional arguments; its arguments are"):
        getattr(functions, name)(arguments.pop(first), "m", **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_the_required_arguments_do(name):
    """Nothing but these has to be given."""
    arguments = least(name)
    function = getattr(functions, name)
    assert function(**arguments)._function.name == name
    for left_out in arguments:
        rest = {k: v for k, v in arguments.items() if k != left_out}
        with pytest.raises(DefinitionError, match=f"{name}: missing a required .*argument: '{left_out}'"):
            function(**rest)


@pytest.mark.parametrize("name", API_NAMES)
def test_other_keywords_of_the_api_are_accepted(name):
    """The documented calls give some, such as `language`, which no signature has."""
    call = getattr(functions, name)(**least(name), user="u-1")
    assert call._arguments["user"] == "u-1"


def test_invoke_tools_accepts_no_other_keyword():
    """There is no API that it could be for."""
    with pytest.raises(DefinitionError, match="got an unexpected keyword argument 'user'"):
        functions.invoke_tools(**least("invoke_tools"), user="u-1")
