"""Tables for a paper: booktabs, no vertical rules, caption and label inside the environment."""

import re

from ablate.reporting.table import Table

ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "²": r"$^2$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
}
NUMBER = r"[+-]?\d*\.?\d+(?:e[+-]?\d+)?"
MEAN = re.compile(rf"({NUMBER}) ± ({NUMBER})")
EFFECT = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
SIGNED = re.compile(rf"[+-]{NUMBER.removeprefix('[+-]?')}")
HEADS = {"p Holm": r"$p_{\mathrm{Holm}}$", "in seed sd": "$d$"}


def latex(table: Table, label: str) -> str:
    """A `table` environment in `\\small`; needs the packages booktabs and an UTF-8 input. Ends in a newline."""
    align = "".join("r" if right(table, i) else "l" for i in range(len(table.columns)))
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\small",
        rf"\caption{{{escaped(' '.join([table.caption, *(f'{note}.' for note in table.notes)]).strip())}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        row([head(column.head) for column in table.columns]),
        r"\midrule",
        *(row([cell(text) for text in its]) for its in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def right(table: Table, i: int) -> bool:
    """Whether a column holds numbers: none of its cells has a word in it."""
    return not any(re.search(r"[^\W\d_]{2,}", its[i]) for its in table.rows)


def row(cells: list[str]) -> str:
    """One line of the tabular."""
    return " & ".join(cells) + r" \\"


def head(text: str) -> str:
    """A column's head with a capital letter."""
    if text in HEADS:
        return HEADS[text]
    return escaped(text[:1].upper() + text[1:]).replace(r" \%", r"\,\%")


def cell(text: str) -> str:
    """A number in mathematics, words escaped; a dash of a verdict as one."""
    if found := EFFECT.fullmatch(text):
        return rf"${found[1]}\ [{found[2]}, {found[3]}]$"
    if found := MEAN.fullmatch(text):
        return rf"${found[1]} \pm {found[2]}$"
    if SIGNED.fullmatch(text):
        return f"${text}$"
    return escaped(text).replace(" - ", " -- ")


def escaped(text: str) -> str:
    """Text without characters that LaTeX reads."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)
