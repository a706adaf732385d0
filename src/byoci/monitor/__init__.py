"""The monitor: hears of proposals, judges their ballots, keeps each trunk's queue, and starts landings as builds."""
