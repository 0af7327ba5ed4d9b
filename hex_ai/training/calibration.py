"""Temperature scaling of values (Guo et al. 2017): one factor on the log odds of winning.

Squared errors against targets that are search values in part leave a network timid: who is given
25 % wins less often than that.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hex_ai.training.samples import Samples
from hex_ai.value_utils import to_win_logit, to_win_probability

# Beyond these a factor would say more than games can.
LEAST_FACTOR, MOST_FACTOR = 0.25, 4.0

# Values nearer to sure than this count as this.
NEARLY_SURE = 1 - 1e-6

# As many samples, at log odds near 1, speak for the factor 1 from the start: about ten games', for
# those of one game all have the same outcome and say little.
PRIOR = 300.0


def calibrate(network: nn.Module, samples: Sequence[Samples]) -> float | None:
    """Scales the values of `network`, in place, to fit the outcomes of these samples best.

    Args:
      network: in evaluation mode, on any device. It scales by a method `scale_win_logits(factor)`;
        one without is left as it is.
      samples: one entry a board size; best of games that the network did not learn from.

    Returns:
      The factor on the log odds of winning; none where nothing was scaled.
    """
    scale = getattr(network, "scale_win_logits", None)
    if scale is None or not samples:
        return None
    device = next(network.parameters()).device
    with torch.no_grad():
        values = [network(some.planes.float().to(device))[1].cpu() for some in samples]
    factor = best_factor(
        to_win_logit(torch.cat(values).clamp(-NEARLY_SURE, NEARLY_SURE)),
        torch.cat([some.outcomes for some in samples]),
    )
    scale(factor)
    return factor


def best_factor(logits: Tensor, outcomes: Tensor) -> float:
    """The likeliest factor on log odds, between `LEAST_FACTOR` and `MOST_FACTOR`, given these
    outcomes and a normal prior around 1 of variance 4 / `PRIOR`.

    Args:
      logits: `[T]`, log odds of winning; outcomes: `[T]`, 1 or -1.
    """
    won = to_win_probability(outcomes.double())

    def slope(factor: float) -> float:
        """Of the cross entropy, which is convex in the factor, and of the prior's."""
        errors = torch.sigmoid(factor * logits.double()) - won
        return float((errors * logits).sum()) + PRIOR / 4 * (factor - 1)

    low, high = LEAST_FACTOR, MOST_FACTOR
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2
