import dagster as dg

DAILY = dg.DailyPartitionsDefinition("2027-01-01")
COLUMN = "\ncolumns: [{name: length, function: .functions:length, arguments: {text: $tbl.body}}]"
FUNCTIONS = "from pxt_assets import udf\n\n@udf\ndef length(text: str) -> int:\n    return len(text)\n"


def declare(project, attributes: str, name: str = "tickets"):
    project.write(f"{name}/functions.py", FUNCTIONS)
    return project.declare(attributes + COLUMN, name)


def test_partitions_are_those_of_the_asset(project):
    """Of an asset alone, of one among several, and of one that is only told of; with its group and its columns."""
    project.python(
        "one, several, dg.AssetSpec('told', partitions_def=daily)",
        """
        daily = dg.DailyPartitionsDefinition("2027-01-01")
        known = {"dagster/column_schema": dg.TableSchema([dg.TableColumn("body"), dg.TableColumn("id")])}

        @dg.asset(partitions_def=daily, group_name="support", metadata=known, backfill_policy=dg.BackfillPolicy.multi_run(3))
        def one(): ...

        @dg.multi_asset(specs=[dg.AssetSpec(["raw", "two"]), dg.AssetSpec("three")], partitions_def=daily)
        def several(): ...
        """,
    )
    for name, table in [("a", "one"), ("b", "raw/two"), ("c", "told")]:
        declare(project, f"table: {table}", name)
    with project.loaded() as defs:
        columns = [
            defs.resolve_assets_def(key)
            for key in (["one", "length"], ["raw", "two", "length"], ["told", "length"])
        ]
    assert [column.partitions_def for column in columns] == [DAILY] * 3
    (spec,) = columns[0].specs
    assert spec.group_name == "support"
    assert columns[0].backfill_policy == dg.BackfillPolicy.multi_run(3)
    project.declare("table: one\ncolumns: [{name: x, value: $tbl.boddy.x}]", "a")
    assert "has no column 'boddy'; it has body, id; did you mean 'body'" in project.error()


def test_a_component_inherits_from_another(project):
    """From files that another reads, and from a column that another computes, in whatever order they load."""
    declare(project, "table: tickets/length", "a")
    declare(project, "table: tickets", "b")
    project.declare(
        "table: tickets\nfiles: x/{partition_key}.csv\npartitions: {daily: 2027-01-01}\ncolumns: []", "c"
    )
    specs = project.specs()
    assert specs["tickets/length/length"].partitions_def == DAILY
    assert {spec.partitions_def for spec in specs.values()} == {DAILY}
    assert len(specs) == 3


def test_post_processing_counts(project):
    """Partitions that a file's `post_processing` gives its assets are theirs."""
    project.python()
    project.write(
        "given/defs.yaml",
        "type: .made.Plain\npost_processing:\n  assets:\n"
        "    - {attributes: {partitions_def: {type: daily, start_date: 2027-01-01}}}\n",
    )
    project.write(
        "given/made.py",
        "import dagster as dg\n\nclass Plain(dg.Component):\n    def build_defs(self, context):\n"
        "        return dg.Definitions(assets=[dg.AssetSpec('plain')])\n",
    )
    declare(project, "table: plain")
    assert project.specs()["plain/length"].partitions_def == DAILY


def test_an_asset_that_is_nowhere_is_refused(project):
    """The message says what there is instead, and how to do without."""
    project.python("dg.AssetSpec('tickets')")
    path = declare(project, "table: tickts")
    error = project.error()
    assert error.startswith(
        f"{path}:3: partitions: inherit, but no other definition of this project is the asset 'tickts'"
    )
    assert "did you mean 'tickets'?" in error
    assert "dg.AssetSpec('tickts', partitions_def=...)" in error


def test_definitions_made_from_the_component_itself_are_refused(project):
    """Instead of building each other forever."""
    path = declare(project, "table: nowhere")
    project.write(
        "zz.py",
        "import dagster as dg\n\n@dg.definitions\ndef defs(context: dg.ComponentLoadContext):\n    return context.build_defs('tickets')\n",
    )
    assert (
        f"{path}:3: partitions: inherit looks for 'nowhere' in definitions that are themselves made"
        in project.error()
    )


def test_files_inherit_nothing(project):
    """Their table is made here, so that its partitions must be said here."""
    path = declare(project, "table: tickets\nfiles: x/*.csv\npartitions: inherit")
    assert f"{path}:5: partitions: inherit, but the table is made here" in project.error()
