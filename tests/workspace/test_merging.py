"""Two drafts over the version both began with: what one touched is taken over, where both did both are kept in sight."""

from __future__ import annotations

from workspace.drafts import Draft, Row
from workspace.merging import Choice, merge

SYSTEM, ASK, ANSWER = Row("system", "Be kind."), Row("user", "Ask {{x}}"), Row("assistant", "Yes.")


def draft(*rows: Row, **fields: str) -> Draft:
    return Draft(list(rows), fields)


def user(text: str) -> Row:
    return Row("user", text)


def rows(base: list[Row], mine: list[Row], theirs: list[Row]) -> list[Row]:
    return [choice.row for choice in merge(draft(*base), draft(*mine), draft(*theirs)).choices]


def choices(base: list[Row], mine: list[Row], theirs: list[Row]) -> list[Choice]:
    return merge(draft(*base), draft(*mine), draft(*theirs)).choices


def test_changes_in_different_messages_come_together() -> None:
    merged = merge(draft(SYSTEM, ASK), draft(Row("system", "Be brief."), ASK), draft(SYSTEM, user("Say {{x}}")))
    assert merged.draft.rows == [Row("system", "Be brief."), user("Say {{x}}")]
    assert merged.conflicts == 0


def test_where_both_changed_a_message_mine_stands_and_theirs_is_beside_it() -> None:
    [choice] = choices([ASK], [user("Mine")], [user("Theirs")])
    assert (choice.row, choice.theirs, choice.conflict) == (user("Mine"), user("Theirs"), True)
    assert [(piece.kind, piece.text) for piece in choice.pieces] == [("removed", "Theirs"), ("added", "Mine")]


def test_the_same_change_by_both_is_no_conflict() -> None:
    merged = merge(draft(ASK), draft(user("New")), draft(user("New")))
    assert (merged.draft.rows, merged.conflicts) == ([user("New")], 0)


def test_added_messages_of_both_are_kept_in_place() -> None:
    assert rows([SYSTEM, ASK], [SYSTEM, user("mine"), ASK], [SYSTEM, ASK, ANSWER]) == [
        SYSTEM,
        user("mine"),
        ASK,
        ANSWER,
    ]
    assert rows([ASK], [ASK, ANSWER], [ASK, ANSWER]) == [ASK, ANSWER]


def test_a_message_one_took_out_is_offered_as_left_out() -> None:
    """It is still there to be put back; saved as it stands it is gone."""
    left = choices([SYSTEM, ASK], [SYSTEM, ASK], [ASK])[0]
    assert left.row == Row("", "Be kind.")
    assert not left.conflict
    assert merge(draft(SYSTEM, ASK), draft(SYSTEM, ASK), draft(ASK)).draft.messages() == [ASK.message()]


def test_a_message_one_took_out_and_the_other_changed_is_a_conflict() -> None:
    [theirs_gone, _] = choices([SYSTEM, ASK], [Row("system", "Mine"), ASK], [ASK])
    assert (theirs_gone.row, theirs_gone.conflict) == (Row("system", "Mine"), True)
    [mine_gone, _] = choices([SYSTEM, ASK], [ASK], [Row("system", "Theirs"), ASK])
    assert (mine_gone.row, mine_gone.conflict) == (Row("", "Theirs"), True)


def test_settings_are_merged_one_by_one() -> None:
    base = draft(ASK, temperature="0.5", top_p="1", model="a")
    merged = merge(
        base, draft(ASK, temperature="0.1", top_p="1", model="b"), draft(ASK, temperature="0.5", top_p="0.9", model="c")
    )
    assert merged.fields == {"temperature": "0.1", "top_p": "0.9", "model": "b"}
    assert {one.name: one.conflict for one in merged.differing} == {"temperature": False, "top_p": False, "model": True}


def test_only_variables_that_are_still_used_are_spoken_of() -> None:
    gone, used = {"type:gone": "text"}, {"type:x": "number"}
    merged = merge(Draft([ASK], {}), Draft([ASK], {}), Draft([ASK], gone | used))
    assert [one.name for one in merged.differing] == ["type:x"]
    assert merged.fields["type:x"] == "number"
