"""How many galaxies each rule finds, in the public file and in the paper too, with the differences explained."""

from dataclasses import dataclass

from gz2_dataset.build_record import BuildRecord

PUBLIC_ROWS = 61_578
"""Rows of ``training_solutions_rev1.csv``."""

PRINTED = {
    "completely_round_smooth": "the public file has two more than the paper prints in its Tables 1 and 2 (8334 + 100)",
    "cigar_shaped_smooth": "578 is a misprint of the paper's Table 1: its Table 2 has 479 + 100 = 579",
}


@dataclass(frozen=True)
class ClassCount:
    """Counts of one class.

    Attributes
    ----------
    galaxy_class : str
    rule : str
        Its conditions in words; empty if the classes are the source's own.
    found : int or None
        Galaxies that meet the rule among all rows of the source, with or without image.
    expected, paper : int or None
        The same for the public file of 61,578 rows, and as the paper prints it.
    kept : int
        Galaxies of the class in the dataset.
    explanation : str
        Why the figures differ.
    """

    galaxy_class: str
    rule: str
    found: int | None
    expected: int | None
    paper: int | None
    kept: int
    explanation: str


def count_classes(record: BuildRecord) -> list[ClassCount]:
    """Compare the counts of a dataset with those of the public file and the paper.

    Parameters
    ----------
    record : BuildRecord

    Returns
    -------
    list of ClassCount
        In the order of the classes.
    """
    table = []
    for name in record.classes:
        rules = [rule for rule in record.rules or [] if rule.galaxy_class == name]
        texts = [" and ".join(f"{c.column} ≥ {c.threshold}" for c in rule.conditions) for rule in rules]
        expected, paper = (rules[0].expected_count, rules[0].paper_count) if len(rules) == 1 else (None, None)
        found = record.found.get(name, 0) if rules else None
        kept = record.per_class()[name]
        reasons = [difference(record, name, found, expected, paper), loss(found, kept, record.hidden.get(name, 0))]
        table.append(
            ClassCount(name, ", or ".join(texts), found, expected, paper, kept, "; ".join(filter(None, reasons)))
        )
    return table


def difference(record: BuildRecord, name: str, found: int | None, expected: int | None, paper: int | None) -> str:
    """Why a rule's count differs from that of the public file, or the public file's from the paper."""
    if expected is None or found is None:
        return ""
    if found == expected == paper:
        return "as in the paper"
    if found == expected:
        return PRINTED.get(name, f"as in the public file; the paper prints {paper}")
    if record.source == "mock":
        return "drawn galaxies, not those of the survey"
    if record.source != "kaggle":
        return "fractions of those who were asked; the public file has them multiplied by the parent answer's"
    if record.rows not in (None, PUBLIC_ROWS):
        return f"{record.rows:,} rows instead of the {PUBLIC_ROWS:,} of the public file"
    return f"votes differ from the public file: {found - expected:+d}"


def loss(found: int | None, kept: int, hidden: int) -> str:
    """Why there are fewer galaxies than the rule finds."""
    lost = 0 if found is None else found - kept - hidden
    return "; ".join(
        [f"{hidden:,} of them unlabelled on purpose"] * (hidden > 0)
        + [f"{lost:,} of them left out: no sound image, or a held-out galaxy shows the same"] * (lost != 0)
    )


def count_text(table: list[ClassCount]) -> str:
    """The table as lines of text: found / in the public file / in the paper, and why they differ."""
    width = max((len(row.galaxy_class) for row in table), default=0)
    lines = [
        f"  {row.galaxy_class:{width}}  {row.found} / {row.expected or '-'} / {row.paper or '-'}  {row.explanation}"
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)
