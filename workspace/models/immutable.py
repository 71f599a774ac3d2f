"""What may never be rewritten, as the database enforces it: SQL for the migration.

Versions are what people compare, release and cite, so an UPDATE of their content is an error whoever sends it.
"""

from __future__ import annotations

CONTENT = {
    "workspace_promptversion": (
        "prompt_id", "number", "author_id", "note", "messages", "variables", "config", "schema", "examples_id", "shots",
        "created_at",
    ),
    "workspace_examplesetversion": ("set_id", "number", "author_id", "note", "order", "created_at"),
    "workspace_example": ("set_id", "author_id", "input", "output", "values", "source_kind", "source_id", "created_at"),
}  # fmt: skip


def forward_sql() -> str:
    function = """
CREATE FUNCTION workspace_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version in % never changes; save a new one', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
"""
    triggers = []
    for table, columns in CONTENT.items():
        changed = " OR ".join(f'OLD."{column}" IS DISTINCT FROM NEW."{column}"' for column in columns)
        triggers.append(
            f"CREATE TRIGGER immutable BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({changed}) "
            "EXECUTE FUNCTION workspace_immutable();\n"
        )
    return function + "".join(triggers)


def backward_sql() -> str:
    drops = "".join(f"DROP TRIGGER immutable ON {table};\n" for table in CONTENT)
    return drops + "DROP FUNCTION workspace_immutable();"
