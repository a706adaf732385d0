"""What Jenkins' API tells of a job's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.controller.beans import Bean
from byoci.controller.job import ParameterKind

if TYPE_CHECKING:
    from byoci.controller.beans import Value
    from byoci.controller.job import Parameter


def properties_of(parameters: tuple[Parameter, ...]) -> list[Value]:
    """The property of a job that has parameters; none where it has none."""
    if not parameters:
        return []
    found: list[Value] = [_definition(parameter) for parameter in parameters]
    return [Bean("hudson.model.ParametersDefinitionProperty", {"parameterDefinitions": found})]


def _definition(parameter: Parameter) -> Bean:
    kind = f"{parameter.kind}ParameterDefinition"
    default: Value = parameter.default
    if parameter.kind is ParameterKind.BOOLEAN:
        default = parameter.default == "true"
    if parameter.kind is ParameterKind.PASSWORD:
        default = None
    value = Bean(f"hudson.model.{parameter.kind}ParameterValue", {"name": parameter.name, "value": default})
    fields: dict[str, Value] = {
        "name": parameter.name,
        "type": kind,
        "description": parameter.description,
        "defaultParameterValue": value,
    }
    if parameter.choices:
        fields["choices"] = list(parameter.choices)
    return Bean(f"hudson.model.{kind}", fields)
