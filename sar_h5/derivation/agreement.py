"""Do files hold patches of the same kind, so that they can be one? Every difference named at once."""

from __future__ import annotations

from collections.abc import Sequence

from sar_h5.derivation.pieces import Piece
from sar_h5.errors import BoundsError, FormatError
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.shard_set import same_bounds

_CHOSEN = "convert one of them again with the options of the other"
_ADVICE = {
    "polarization": "a file holds one polarization; `SARH5Dataset` takes several files as channels",
    "patch_size": _CHOSEN,
    "stride": _CHOSEN,
    "min_valid": _CHOSEN,
    "valid_measure": _CHOSEN,
    "encoding": "convert one of them again with --encoding",
    "places": "where those of one file were recovered from its pixels, they cannot go with known ones",
    "invalid_code": "files of shards and of rasters do not mix; convert all of it from the products",
    "quantity": "files of different sources do not mix; convert all of it from one kind",
    "units": "files of different sources do not mix; convert all of it from one kind",
    "codes stand for DN": "files of shards and of products do not mix; convert all of it from the products",
}
_FOLLOWING = {
    "quantity": ("invalid_code", "units", "codes stand for DN"),
    "encoding": ("invalid_code", "codes stand for DN"),
}
"""What differs for no other reason where one of these does."""


def check_agreement(pieces: Sequence[Piece], *, rebased: bool) -> None:
    """Refuse files that cannot be put together.

    Args:
        pieces: of the files.
        rebased: whether all are given the same bounds.

    Raises:
        FormatError: where they differ, with every difference.
        BoundsError: where nothing but their bounds differs.
    """
    lines = [line for other in pieces[1:] for line in _differences(pieces[0], other)]
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        count = "1 difference" if len(lines) == 1 else f"{len(lines):,} differences"
        raise FormatError(f"expected files of the same kind, found {count}:{listed}")
    if not rebased:
        _check_bounds(pieces)


def check_rebasable(pieces: Sequence[Piece]) -> None:
    """Refuse to give other bounds to files that do not hold digital numbers.

    Raises:
        BoundsError: where one does not.
    """
    for piece in pieces:
        if piece.found.settings.encoding != "dn":
            raise BoundsError(
                f"{piece.name}: its bounds cannot be moved: encoding {piece.found.settings.encoding} holds values that "
                "were clipped to them, and what was clipped is gone; convert the products again with these bounds, or "
                "with --encoding dn, which keeps the digital numbers"
            )


def check_layouts(pieces: Sequence[Piece]) -> None:
    """Refuse files that do not cut their patches alike.

    Raises:
        FormatError: where their layouts or the sides of their blocks differ.
    """
    first = pieces[0]
    ours = first.found.settings
    for other in pieces[1:]:
        theirs = other.found.settings
        if theirs.layout != ours.layout:
            raise FormatError(
                f"layout is {ours.layout} in {first.name} and {theirs.layout} in {other.name}: "
                f"`sar-h5 repack {other.name} --out NEW --layout {ours.layout}` makes them alike"
            )
        if theirs.block_size != ours.block_size:
            raise FormatError(
                f"block_size is {ours.block_size} in {first.name} and {theirs.block_size} in {other.name}: turn both "
                "into layout patches with `sar-h5 repack FILE --out NEW --layout patches`, and their merger back"
            )


def _differences(first: Piece, other: Piece) -> list[str]:
    ours, theirs = _terms(first), _terms(other)
    names = [name for name in ours if ours[name] != theirs[name]]
    follow = {name for reason in names for name in _FOLLOWING.get(reason, ())}
    return [
        f"{name} is {_word(ours[name])} in {first.name} and {_word(theirs[name])} in {other.name}: {_ADVICE[name]}"
        for name in names
        if name not in follow and not (name == "places" and None in (ours[name], theirs[name]))
    ]


def _word(value: object) -> str:
    """Write a value down as a user would say it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return "unknown" if value == UNKNOWN else str(value)


def _name_places(piece: Piece) -> str | None:
    """Say where places come from; None where there are none, which goes with both."""
    if piece.component is not None:
        return "recovered"
    return "known" if (piece.found.index["row"] != UNKNOWN).any() else None


def _terms(piece: Piece) -> dict[str, object]:
    settings, attributes = piece.found.settings.to_attrs(), piece.found.attributes
    terms: dict[str, object] = {name: settings.get(name) for name in _ADVICE if name in settings}
    terms["invalid_code"] = settings.get("invalid_code")
    terms |= {name: attributes.get(name) for name in ("valid_measure", "quantity", "units")}
    terms["places"] = _name_places(piece)
    terms["codes stand for DN"] = piece.found.from_dn
    return {name: terms[name] for name in _ADVICE if name in terms}


def _check_bounds(pieces: Sequence[Piece]) -> None:
    first = pieces[0]
    for other in pieces[1:]:
        ours, theirs = ((piece.found.settings.vmin, piece.found.settings.vmax) for piece in (first, other))
        if not same_bounds(Bounds(*ours), Bounds(*theirs)):
            all_dn = all(piece.found.settings.encoding == "dn" for piece in pieces)
            advice = (
                "give all of them the same with --vmin and --vmax, or --bounds FILE"
                if all_dn
                else "convert one of them again with the bounds of the other; only files of --encoding dn can be given "
                "other bounds"
            )
            raise BoundsError(
                f"the same value means another backscatter in these files: {first.name} has bounds {ours[0]!r} to "
                f"{ours[1]!r} dB, {other.name} {theirs[0]!r} to {theirs[1]!r} dB; {advice}"
            )
