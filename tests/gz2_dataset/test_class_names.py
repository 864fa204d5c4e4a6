"""A class has one name that works as a folder, as an option, in a table and in a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import CLASS_NAMES, UserError
from gz2_dataset.class_names import MAX_BYTES, check_class_names, problem_of_name

REFUSED = (
    *("../../X", "/abs/X", "a\\b", "..", ".", ".hidden", "X.", "C:X", "a*"),
    *("", " ", " lead", "trail ", "tab\t", "line\nbreak", "\x1b[31m", "nul\0", "e\u0301", "\u202eright", "\ud800"),
    *("a,b", "c=d", "=1+1", "+1", "-x", "@SUM(A1)", "<script>", 'a"b', "a|b"),
    *("null", "ALL", "macro", "NaN", "None", "x" * (MAX_BYTES + 1), "é" * MAX_BYTES),
    *(None, 3, ["a"], {"a": 1}),
)


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: repr(name)[:20])
def test_what_cannot_be_used_everywhere_is_no_class(name):
    with pytest.raises(UserError, match=r"^data: class .*; rename it$") as told:
        check_class_names(["spiral", name], "data")
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 200


def test_ordinary_names_of_classes_are_taken_as_they_are():
    names = (
        *CLASS_NAMES,
        "edge on",
        "Ring",
        "S0/a".replace("/", "-"),
        "smooth (round)",
        "é😀",
        "E7",
        "on",
        "'1'",
        "x" * MAX_BYTES,
    )
    assert check_class_names(names, "data") == names


def test_two_classes_are_two_folders_on_every_system():
    with pytest.raises(UserError, match="differs from 'Ring' in case alone"):
        check_class_names(["Ring", "ring"], "data")


@given(st.text(max_size=40))
def test_a_name_that_is_taken_is_a_folder_within_its_folder(tmp_path_factory, name):
    if not problem_of_name(name):
        root = tmp_path_factory.getbasetemp() / "folders"
        (root / name).mkdir(parents=True, exist_ok=True)
        assert (root / name).resolve().parent == root.resolve()
        assert name in {path.name for path in root.iterdir()}
