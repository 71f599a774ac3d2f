"""The state machine as the database enforces it: SQL for the migration, made from `lifecycle.EDGES`."""

from __future__ import annotations

from jobs.models.lifecycle import EDGES

TABLES = ("jobs_generation", "jobs_finetune", "jobs_import", "jobs_mail")


def forward_sql() -> str:
    """One trigger function with the legal edges in it, and a trigger on each job table."""
    legal = ", ".join(sorted(f"('{a.value}', '{b.value}')" for a, b in EDGES))
    function = f"""
CREATE FUNCTION jobs_legal_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN ({legal}) THEN
        RAISE EXCEPTION 'illegal job transition % -> % in %', OLD.state, NEW.state, TG_TABLE_NAME
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
    triggers = "".join(
        f"CREATE TRIGGER legal_edge BEFORE UPDATE OF state ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION jobs_legal_edge();\n"
        for table in TABLES
    )
    return function + triggers


def backward_sql() -> str:
    return "".join(f"DROP TRIGGER legal_edge ON {table};\n" for table in TABLES) + "DROP FUNCTION jobs_legal_edge();"
