"""Epochs between which the choice of the best is open get a finer look."""

from pixel_lora_pipeline.store import RowId, Store
from pixel_lora_pipeline.validate import Depth, epochs_to_deepen


def ask_for_finer_looks(
    store: Store, training_run_id: RowId, best_epoch_interval: tuple[int, int], probability_of_gain: float
) -> dict[int, Depth]:
    """Decide on finer looks at a run's epochs by what is known of its course, and return them by epoch.

    They are then waiting (`store.depths.waiting`); evaluating an epoch again generates only what is missing. Epochs
    that are still being evaluated are left for the analysis that follows.

    Parameters
    ----------
    best_epoch_interval, probability_of_gain
        As `analyze.detect_convergence` tells them.
    """
    known = {row.epoch: row for row in store.depths.of_run(training_run_id)}
    depths = {epoch: row.depth for epoch, row in known.items()}
    wanted = epochs_to_deepen(depths, best_epoch_interval, probability_of_gain)
    decided = {epoch: depth for epoch, depth in wanted.items() if known[epoch].is_settled}
    for epoch, depth in decided.items():
        store.depths.deepen(known[epoch].epoch_id, depth)
    return decided
