"""Templates in YAML, `{{ env.NAME }}` or `{{ dg.AutomationCondition.eager() }}`, in a scope that Dagster gives.

Unlike in Dagster's own rendering text stays text: "123" does not become a number, and a trailing newline is kept.
"""

from __future__ import annotations

import re
from typing import Any

import dagster as dg

from pxt_assets.component.yaml_position import YamlPosition

_WHOLE = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}).)*)\}\}\s*", re.DOTALL)
_ENVIRONMENT = re.compile(r"\s*env\.([A-Za-z_]\w*)\s*")


def render_templates(value: Any, context: dg.ResolutionContext, position: YamlPosition) -> Any:
    """A value with the templates in it rendered, also inside dicts and lists.

    A text that is one expression and nothing else becomes the value of that expression. Raises DefinitionError that
    names the line.
    """
    if isinstance(value, dict):
        return {name: render_templates(inner, context, position.at(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [render_templates(inner, context, position.at(i)) for i, inner in enumerate(value)]
    if not isinstance(value, str) or not ("{{" in value or "{%" in value):
        return value
    import jinja2

    templates = jinja2.Environment(  # noqa: S701 (what comes out is no HTML)
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    whole = _WHOLE.fullmatch(value)
    try:
        if whole is None:
            return templates.from_string(value).render(**context.scope)
        found = templates.compile_expression(whole[1], undefined_to_none=False)(**context.scope)
    except Exception as e:  # whatever a function of the scope raises
        raise _template_error(value, str(e), context, position) from e
    if isinstance(found, jinja2.Undefined):
        raise _template_error(value, found._undefined_message, context, position)
    name = environment_variable_name(value)
    if found is None and name is not None:
        raise _template_error(value, f"the environment variable {name} is not set", context, position)
    return found


def environment_variable_name(value: object) -> str | None:
    """The NAME in a text `{{ env.NAME }}`; None for any other value."""
    whole = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    variable = _ENVIRONMENT.fullmatch(whole[1]) if whole else None
    return variable[1] if variable else None


def with_env_vars(value: Any) -> Any:
    """A value with each `{{ env.NAME }}` and `{env: NAME}` in it replaced by an EnvVar, which is read where it is used and
    shown nowhere.
    """
    if isinstance(value, dict):
        if value.keys() == {"env"} and isinstance(value["env"], str) and value["env"].isidentifier():
            return dg.EnvVar(value["env"])
        return {name: with_env_vars(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_env_vars(inner) for inner in value]
    name = environment_variable_name(value)
    return value if name is None else dg.EnvVar(name)


def _template_error(
    template: str, why: str, context: dg.ResolutionContext, position: YamlPosition
) -> Exception:
    names = ", ".join(sorted(context.scope))
    return position.error(f"got {template.strip()!r}: {why}; a template can use {names}")
