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

from pxt_assets.component.declaration import TableDeclaration, without_secrets
from pxt_assets.component.scaffold import ColumnsScaffolder
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
        """What YAML is validated by: the class itself; its templates are rendered when definitions are built."""
        return cls

    @classmethod
    def resolve_from_model(
        cls, context: dg.ResolutionContext, model: BaseModel
    ) -> "ComputedColumnsComponent":
        """The component that a validated YAML document declares."""
        assert isinstance(model, cls)
        component = model.model_copy()
        component._context = context
        return component

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(tags=["openai"], produces=["asset", "asset_check", "resource", "sensor"])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of the table and its columns, and the resources that are declared here."""
        from pxt_assets.component.columns import add_column
        from pxt_assets.component.import_paths import make_importer
        from pxt_assets.component.resources import component_resources
        from pxt_assets.component.sensors import declared_collector, declared_files_sensor
        from pxt_assets.component.tables import declared_table
        from pxt_assets.component.upstream_asset import upstream_asset

        resolution = self._context or context.resolution_context
        position = YamlPosition.from_context(resolution) if self._context else YamlPosition()
        resources, keys = component_resources(self, context, resolution, position)
        table = declared_table(
            self,
            keys,
            context,
            resolution,
            position,
            lambda key: upstream_asset(
                key,
                context,
                type(self),
                lambda other: isinstance(other, ComputedColumnsComponent) and other.declares(key),
            ),
        )
        assets = [_with_code_reference(position.at("files"), asset) for asset in table.assets]
        import_object = make_importer(context.normalize_component_type_str)
        for i, column in enumerate(self.columns):
            column_position = position.at("columns", i)
            asset = add_column(
                table,
                column,
                self.defaults,
                import_object,
                resolution,
                column_position,
                position.at("defaults"),
            )
            assets.append(_with_code_reference(column_position, asset))
        with position.at("collector").locate_errors():
            sensors = declared_collector(table, self.collector, resolution, position)
        with position.at("files_sensor").locate_errors():
            sensors += declared_files_sensor(table, self.files_sensor, resolution, position)
        return dg.Definitions(assets=assets, resources=resources, sensors=sensors)

    def declares(self, key: dg.AssetKey) -> bool:
        """Whether it makes an asset of this key."""
        from pxt_assets.component.tables import table_key

        resolution = self._context or dg.ResolutionContext.default()
        table = table_key(self, resolution, YamlPosition.from_context(resolution))
        if key == table:
            return self.files is not None
        return key in [dg.AssetKey([*table.path, column.name]) for column in self.columns]


def _with_code_reference(position: YamlPosition, asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with a link on its page to the lines in YAML that declare it."""
    source = position.source_position

    def with_reference(spec: dg.AssetSpec) -> dg.AssetSpec:
        metadata = {name: value for name, value in spec.metadata.items() if name != _REFERENCES}
        if source is not None:
            line = dg.LocalFileCodeReference(file_path=source.filename, line_number=source.start.line)
            metadata[_REFERENCES] = dg.CodeReferencesMetadataValue(code_references=[line])
        return spec.replace_attributes(metadata=metadata)

    with disable_dagster_warnings():  # that it is beta: there is nothing for a user to decide
        return asset.map_asset_specs(with_reference)
