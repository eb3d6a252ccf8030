"""New files put together from patches of existing ones: mended, extracted, merged, appended to.

``pieces`` says what is taken of which file, ``patch_order`` in which order, ``agreement`` and ``common_codes`` whether
and how they become one file, ``patch_copy`` copies chunks and ``derived_file`` writes everything else.
"""
