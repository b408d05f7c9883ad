"""Sizes as letters: as all sizes of a check differ, a shape can be told as (B, H, T, D)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.testing.context import current, in_a_check

# Those of modules.TINY. A test file with other ones says so: AXES = {"C": 24, ...}.
USUAL = {"V": 29, "n_positions": 11, "C": 15, "H": 3, "D": 5, "n_inner": 41}


def name_sizes(**sizes: int) -> None:
    """Say what the sizes of this check are called, B=2, T=7; a letter that is used anew keeps its earlier size too."""
    if not in_a_check():
        return
    here = current()
    for letter, size in sizes.items():
        before = here.axes.get(letter)
        if before not in (None, size):
            here.earlier_axes.setdefault(letter, set()).add(before)
        here.axes[letter] = size


def letters(size: int) -> list[str]:
    """What a size is called in this check; products of two only where nothing else fits."""
    axes = current().axes
    found = [letter for letter, known in axes.items() if known == size]
    if not found and size > 1:
        found = [f"{n}C" for n in (3, 4) if n * axes.get("C", 0) == size]
        found += [
            f"{a}*{b}"
            for a, b in (("B", "T"), ("B", "H"), ("H", "T"), ("T", "D"))
            if axes.get(a, 0) * axes.get(b, 0) == size
        ]
    return found


def earlier(size: int) -> list[str]:
    """The letters that had this size in an earlier call of the same check."""
    return [letter for letter, sizes in current().earlier_axes.items() if size in sizes]


def called(size: int) -> str:
    """A size with its name: "7 (T)"; alone where it has none, or more than one."""
    found = letters(size)
    return f"{size} ({found[0]})" if len(found) == 1 else str(size)


def named(shape: Iterable[int]) -> str:
    """A shape as a message shows it: "(2, 3, 7, 5), that is (B, H, T, D)"."""
    sizes = tuple(shape)
    plain = str(sizes)
    found = [letters(size) for size in sizes]
    single = [f[0] if len(f) == 1 else "" for f in found]
    unique = [
        name if name and not _by_chance(name, single) else str(size)
        for name, size in zip(single, sizes, strict=True)
    ]
    if not any(map(str.isalpha, "".join(unique))) or len(sizes) < 2:
        return plain
    return f"{plain}, that is ({', '.join(unique)})"


def _by_chance(name: str, others: list[str]) -> bool:
    """No tensor has two axes of rows or of heads, nor one axis that is the product of another: 3 for q, k and v."""
    if "*" in name:
        return any(letter in others for letter in name.split("*"))
    return name in "BH" and others.count(name) > 1


def spoken(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
