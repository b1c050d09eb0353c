"""One set of word links from two, a direction each (Och & Ney 2003, section 2.3; Koehn et al. 2003, section 3.1).

A model of one direction gives every word of one side at most one word of the other. Where both directions agree a link
is most likely right, and where neither has one there is hardly any: what is between is taken or left by its neighbours.
"""

from collections.abc import Callable, Set

from seq2seq.alignment.links import Link


def none(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return the links from source to target, as they are."""
    return set(forward)


def reverse(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return the links from target to source, as they are."""
    return set(reverse)


def intersection(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return the links that both directions have: few, and precise."""
    return set(forward & reverse)


def union(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return the links that either direction has: many, and complete."""
    return set(forward | reverse)


def grow_diag(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return the intersection, grown into the union as long as that reaches words that have no link yet.

    A link of the union is added where its source or its target word is free, and one of the eight places around it,
    also across the diagonal, is linked already. The candidates are tried sorted by source, then target, again and again
    until none is added; a link counts from the moment it is added.
    """
    links = intersection(forward, reverse)
    sources, targets = ({link[side] for link in links} for side in (0, 1))
    candidates = sorted(union(forward, reverse) - links)
    growing = True
    while growing:
        growing = False
        for source, target in candidates:
            free = source not in sources or target not in targets
            if free and not links.isdisjoint(_around(source, target)):
                links.add((source, target))
                sources.add(source)
                targets.add(target)
                growing = True
    return links


def grow_diag_final(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return `grow_diag` and then, of either direction, each link whose source or target word is still free."""
    links = grow_diag(forward, reverse)
    for direction in (forward, reverse):
        _finish(links, direction, lambda source_is_free, target_is_free: source_is_free or target_is_free)
    return links


def grow_diag_final_and(forward: Set[Link], reverse: Set[Link]) -> set[Link]:
    """Return `grow_diag` and then, of either direction, each link whose source and target word are both still free."""
    links = grow_diag(forward, reverse)
    for direction in (forward, reverse):
        _finish(links, direction, lambda source_is_free, target_is_free: source_is_free and target_is_free)
    return links


Symmetrization = Callable[[Set[Link], Set[Link]], set[Link]]
"""From the links of both directions, each (source, target), to one set."""

SYMMETRIZATIONS: dict[str, Symmetrization] = {
    function.__name__: function
    for function in (grow_diag_final_and, grow_diag_final, grow_diag, intersection, union, none, reverse)
}


def _around(source: int, target: int) -> set[Link]:
    """Return the eight places around a link, and its own."""
    return {(source + i, target + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}


def _finish(links: set[Link], direction: Set[Link], condition: Callable[[bool, bool], bool]) -> None:
    """Add the links of a direction, sorted, for whose free words the condition holds."""
    sources, targets = ({link[side] for link in links} for side in (0, 1))
    for source, target in sorted(direction - links):
        if condition(source not in sources, target not in targets):
            links.add((source, target))
            sources.add(source)
            targets.add(target)
