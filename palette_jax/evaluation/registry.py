"""The metrics by name: their format in tables, and their requirements.

The paper reports FID, IS, CA and PD (section 4); readers of such tables ask for
the others. Metrics of EfficientNet's features have names of their own, since
those of different networks do not compare.
"""

from typing import NamedTuple

from palette_jax.evaluation.metrics import frechet, similarity
from palette_jax.evaluation.networks import lpips

CHANNELS = 'red', 'green', 'blue'
SPLITS = 10  # of the Inception Score; the paper does not state its own
K = 3  # the neighbour of precision and recall


class Metric(NamedTuple):
  """A named figure of merit.

  Attributes:
    title: its name in tables.
    better: 'lower', 'higher', or '' where neither is better.
    digits: digits after the point.
    network: the network that it takes; '' for none.
    least: the fewest images for which it is defined.
    scale: the factor by which a written value is multiplied: 100 for per cent.
    side: the fewest pixels a side for which it is defined.
    on_demand: whether it is computed only when it is requested by name.
  """

  title: str
  better: str
  digits: int
  network: str = ''
  least: int = 1
  scale: float = 1.0
  side: int = 1
  on_demand: bool = False


def _of_features(
  network: str, suffix: str, frechet_name: str, kernel_name: str
) -> dict[str, Metric]:
  """Returns the metrics of a network's features and logits."""
  ending = f'_{suffix}' if suffix else ''
  words = f'-{suffix}' if suffix else ''
  return {
    frechet_name.lower() + ending: Metric(
      frechet_name + words, 'lower', 2, network, 2
    ),
    kernel_name.lower() + ending: Metric(
      f'{kernel_name}{words} x 1000', 'lower', 2, network, 2, 1000.0
    ),
    f'{frechet_name.lower()}_infinity{ending}': Metric(
      f'{frechet_name}{words}, infinitely many images',
      'lower',
      2,
      network,
      2 * frechet.SIZES,
      on_demand=True,
    ),
    f'is{ending}': Metric(f'IS{words}', 'higher', 1, network, SPLITS),
    f'precision{ending}': Metric(
      f'precision{words}', 'higher', 3, network, K + 1
    ),
    f'recall{ending}': Metric(f'recall{words}', 'higher', 3, network, K + 1),
    f'pd{ending}': Metric(f'PD{words}', 'lower', 2, network),
    f'pd_squared{ending}': Metric(f'PD{words} squared', 'lower', 1, network),
  }


METRICS = {
  **_of_features('inception', '', 'FID', 'KID'),
  'ca': Metric('CA (%)', 'higher', 1, 'resnet', 1, 100.0),
  'ca_resized': Metric(
    'CA, resized (%)', 'higher', 1, 'resnet_resized', 1, 100.0
  ),
  **_of_features('efficientnet', 'efficientnet', 'FD', 'KD'),
  'ca_efficientnet': Metric(
    'CA-efficientnet (%)', 'higher', 1, 'efficientnet', 1, 100.0
  ),
  'ca_probe': Metric('CA-probe (%)', 'higher', 1, 'efficientnet', 1, 100.0),
  'lpips_alex': Metric(
    'LPIPS (alex)', 'lower', 4, 'lpips_alex', side=lpips.SMALLEST['alex']
  ),
  'lpips_vgg': Metric(
    'LPIPS (vgg)', 'lower', 4, 'lpips_vgg', side=lpips.SMALLEST['vgg']
  ),
  'psnr': Metric('PSNR (dB)', 'higher', 2),
  'ssim': Metric('SSIM', 'higher', 4, side=similarity.SIDE),
  'ms_ssim': Metric('MS-SSIM', 'higher', 4, side=similarity.SIDE),
  'known_changed': Metric('known pixels changed', 'lower', 0),
  'luma_error': Metric('luma error (levels)', 'lower', 2),
  'jpeg_consistency': Metric('PSNR, compressed again (dB)', 'higher', 2),
  'colourfulness': Metric('colourfulness', '', 1),
  **{
    f'mean_{channel}': Metric(f'{channel}: mean, drift (levels)', '', 2)
    for channel in CHANNELS
  },
  **{
    f'variance_{channel}': Metric(f'{channel}: variance, drift', '', 0)
    for channel in CHANNELS
  },
  'diversity_ms_ssim': Metric(
    'MS-SSIM of samples', 'lower', 4, side=similarity.SIDE
  ),
  'diversity_lpips_alex': Metric(
    'LPIPS (alex) of samples',
    'higher',
    4,
    'lpips_alex',
    side=lpips.SMALLEST['alex'],
  ),
}
FRECHET = 'fid', 'fid_infinity', 'fd_efficientnet', 'fd_infinity_efficientnet'
ACCURACIES = 'ca', 'ca_resized', 'ca_efficientnet', 'ca_probe'
