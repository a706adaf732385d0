"""The gate: the ballot decides what may land, the stages of `land` do it."""
