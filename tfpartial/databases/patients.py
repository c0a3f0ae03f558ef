"""Whose scan a case is: the unit of every split.

In: a case id and the declared pattern. Out: the patient id.
"""

from __future__ import annotations

import re

from tfpartial.errors import InputError


def patient_of(case_id: str, pattern: str | None) -> str:
    """Return the patient of a case: first group of the pattern, or the case.

    Raises:
        InputError: the pattern is no regular expression, has no group, or
            does not fit the case id.

    Example:
        patient_of("anna_2", "^([a-z]+)_") -> "anna"
    """
    if pattern is None:
        return case_id
    field = f"build.splits.patient_pattern '{pattern}'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"{field}: not a regular expression: {error}."
        ) from None
    if compiled.groups < 1:
        raise InputError(
            f"{field}: expected a group such as ^([a-z]+_[0-9]+), found none."
        )
    match = compiled.search(case_id)
    if match is None or not match.group(1):
        raise InputError(f"{field}: does not fit case id '{case_id}'.")
    return match.group(1)
