"""How many slips of the hand one word is away from another."""


def edit_distance(first: str, second: str, most: int) -> int:
    """Letters left out, added, mistaken or swapped with their neighbour (optimal string alignment).

    Returns
    -------
    int
        The distance, or `most` + 1 if it is more than `most`.

    References
    ----------
    Fred J. Damerau, "A technique for computer detection and correction of spelling errors", Communications of the
    ACM 7 (1964), doi:10.1145/363958.363994
    """
    if abs(len(first) - len(second)) > most:
        return most + 1
    before_last: list[int] = []
    last = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        current = [row]
        for column, other in enumerate(second, 1):
            cost = min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                cost = min(cost, before_last[column - 2] + 1)
            current.append(cost)
        if min(current) > most:
            return most + 1
        before_last, last = last, current
    return min(last[-1], most + 1)
