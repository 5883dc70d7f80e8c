"""What `dg scaffold defs pxt_assets.ComputedColumnsComponent NAME` writes."""

from typing import Any

import dagster as dg

_YAML = """\
type: {type_name}
attributes:
  # The key of the table's asset. It is an asset of this project, whose rows come out of the store, or, with `files`,
  # an asset that this component makes: CSV, JSON Lines, Parquet or Arrow files, or images or audio files, one a row.
  table: {table}
  files: data/{table}.csv
  # The columns that identify a row.
  key: id
  # With an asset of this project: inherit (the default). With files data/{table}/{{partition_key}}.csv for example:
  # partitions: {{daily: "2027-01-01"}}

  # Answers are made up on this machine, at no cost, until this line is replaced by
  # openai: {{api_key: "{{{{ env.OPENAI_API_KEY }}}}"}}
  simulated: {{}}
  # One Parquet file per column and partition; a path counts from the project's root.
  store: {{base_path: data/columns}}

  columns:
    # Each is an asset, {table}/NAME. `$tbl.body` is the column `body`; texts come through as they are.
    - name: response
      function: chat_completions
      arguments:
        messages:
          - {{role: system, content: Answer in one sentence.}}
          - {{role: user, content: $tbl.body}}
        model: gpt-6-luna
      on_error: ignore
    - name: answer
      value: $tbl.response.choices[0].message.content
"""


class ColumnsScaffolder(dg.Scaffolder[Any]):
    """Writes a YAML declaration of a table of files with two columns, with comments on what else there is."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Writes `defs.yaml`, or adds another document to the one there is."""
        if request.scaffold_format != "yaml":
            dg.scaffold_component(request)
            return
        folder = request.target_path if not request.append else request.target_path.parent
        text = _YAML.format(type_name=request.type_name, table=folder.name)
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
