"""errors: the tree that is drawn is the tree that is built."""

import inspect
import re

from cxrnode import errors
from cxrnode.errors import CxrNodeError, PeerRefused, Permanent, Retryable

TREE: dict[str, type[CxrNodeError]] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, CxrNodeError) and value.__module__ == errors.__name__
}


def drawn() -> dict[str, str]:
    """Child to parent, as the module's docstring draws them; a level is three characters deep."""
    branch: list[str] = []
    parents = {}
    for line in (inspect.getdoc(errors) or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z][A-Za-z]+)\b", line)
        if match and match[2] in TREE:
            branch[len(match[1]) // 3 :] = [match[2]]
            parents[match[2]] = branch[-2] if len(branch) > 1 else ""
    return parents


def test_the_tree_drawn_is_the_tree_built() -> None:
    built = {name: kind.__base__.__name__ for name, kind in TREE.items() if kind is not CxrNodeError}

    assert drawn() == {"CxrNodeError": "", **built}


def test_every_error_says_first_whether_to_try_again() -> None:
    leaves = [kind for kind in TREE.values() if kind not in {CxrNodeError, Retryable, Permanent}]

    assert leaves
    assert all(issubclass(kind, Retryable) != issubclass(kind, Permanent) for kind in leaves)


def test_a_refusing_peers_status_is_kept_beside_the_sentence() -> None:
    error = PeerRefused("PACS1 answered 0xA900; wanted 0x0000", 0xA900)

    assert (str(error), error.status) == ("PACS1 answered 0xA900; wanted 0x0000", 0xA900)
