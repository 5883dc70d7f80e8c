"""ComputedColumnsComponent: a table and its computed columns, declared in a `defs.yaml`."""

from typing import Any, Self

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings
from pydantic import (
    BaseModel,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from pxt_assets.component.columns import add_column
from pxt_assets.component.declaration import TableDeclaration, without_secrets
from pxt_assets.component.import_paths import make_importer
from pxt_assets.component.resources import component_resources
from pxt_assets.component.scaffold import ColumnsScaffolder
from pxt_assets.component.tables import declared_table, table_key
from pxt_assets.component.upstream_asset import upstream_asset
from pxt_assets.component.yaml_position import YamlPosition

_REFERENCES = "dagster/code_references"


@dg.scaffold_with(ColumnsScaffolder)
class ComputedColumnsComponent(dg.Component, TableDeclaration, dg.Resolvable):
    """A table, and columns computed from it by functions of the OpenAI API or your own; each column is an asset.

    Example:
        ```yaml
        type: pxt_assets.ComputedColumnsComponent
        attributes:
          table: tickets # the key of an asset of this project
          key: id
          openai: {api_key: "{{ env.OPENAI_API_KEY }}"}
          store: {base_path: data/columns}
          defaults: {group_name: support, automation_condition: on_changed_inputs}
          columns:
            - name: response
              function: chat_completions
              arguments:
                messages:
                  - {role: system, content: Answer in one sentence.}
                  - {role: user, content: $tbl.body}
                model: gpt-6-luna
              on_error: ignore
            - name: answer
              value: $tbl.response.choices[0].message.content
            - name: embed
              function: embeddings
              arguments: {input: $tbl.answer, model: text-embedding-3-small}
        ```

    The assets are those that `pxt_assets.Table` makes of the same columns: `tickets/response`, `tickets/answer`,
    `tickets/embed`. The schema shows an example for each function.

    Templates, `{{ ... }}`, are rendered everywhere but in `name`, `function`, `arguments`, `value` and `description`,
    where text comes through as it is. Errors name the file and the line.
    """

    _context: dg.ResolutionContext | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _hide_secrets(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as e:
            raise without_secrets(e) from None

    @classmethod
    def model(cls) -> type[BaseModel]:
        """What YAML is checked against: the class itself, whose templates are rendered when definitions are built."""
        return cls

    @classmethod
    def resolve_from_model(
        cls, context: dg.ResolutionContext, model: BaseModel
    ) -> "ComputedColumnsComponent":
        """The component that a checked YAML document declares."""
        assert isinstance(model, cls)
        component = model.model_copy()
        component._context = context
        return component

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(tags=["openai"], produces=["asset", "asset_check", "resource"])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The table's source, if it is read from files, its columns, and the resources that are declared here."""
        resolution = self._context or context.resolution_context
        place = YamlPosition.from_context(resolution) if self._context else YamlPosition()
        resources, keys = component_resources(self, context, resolution, place)
        table = declared_table(
            self,
            keys,
            context,
            resolution,
            place,
            lambda key: upstream_asset(
                key,
                context,
                type(self),
                lambda other: isinstance(other, ComputedColumnsComponent) and other.declares(key),
            ),
        )
        assets = [_with_code_reference(place.at("files"), asset) for asset in table.assets]
        import_ = make_importer(context.normalize_component_type_str)
        for i, column in enumerate(self.columns):
            at = place.at("columns", i)
            asset = add_column(table, column, self.defaults, import_, resolution, at, place.at("defaults"))
            assets.append(_with_code_reference(at, asset))
        return dg.Definitions(assets=assets, resources=resources)

    def declares(self, key: dg.AssetKey) -> bool:
        """Whether it makes an asset of this key."""
        resolution = self._context or dg.ResolutionContext.default()
        table = table_key(self, resolution, YamlPosition.from_context(resolution))
        if key == table:
            return self.files is not None
        return key in [dg.AssetKey([*table.path, column.name]) for column in self.columns]


def _with_code_reference(place: YamlPosition, asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset, whose page leads to the lines in YAML that declare it."""
    position = place.source_position

    def located(spec: dg.AssetSpec) -> dg.AssetSpec:
        metadata = {name: value for name, value in spec.metadata.items() if name != _REFERENCES}
        if position is not None:
            line = dg.LocalFileCodeReference(file_path=position.filename, line_number=position.start.line)
            metadata[_REFERENCES] = dg.CodeReferencesMetadataValue(code_references=[line])
        return spec.replace_attributes(metadata=metadata)

    with disable_dagster_warnings():  # of what is beta: a user has nothing to decide here
        return asset.map_asset_specs(located)
