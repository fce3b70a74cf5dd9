"""`torch.nn`, with a lazy version of every class that has a constructor argument which the first input determines.

`from lazify import nn` replaces `from torch import nn`: this module has all names of `torch.nn`. Torch's thirteen
`Lazy*` classes are replaced by lazify's, and the lazy classes that torch lacks (`LazyLSTM`, `LazyLayerNorm`,
`LazyMultiheadAttention`, ...) are added.

>>> import torch
>>> from lazify import nn
>>> model = nn.Sequential(nn.LazyConv2d(8, kernel_size=3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))
>>> model(torch.zeros(2, 3, 16, 16)).shape  # (N, C, H, W) -> (N, classes)
torch.Size([2, 10])
>>> model[0], type(model[3])
(Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)), <class 'torch.nn.modules.linear.Linear'>)
"""
# pyright: reportWildcardImportFromLibrary=false

from torch.nn import attention as attention
from torch.nn import common_types as common_types
from torch.nn import factory_kwargs as factory_kwargs
from torch.nn import functional as functional
from torch.nn import grad as grad
from torch.nn import init as init
from torch.nn import intrinsic as intrinsic
from torch.nn import modules as modules
from torch.nn import parallel as parallel
from torch.nn import parameter as parameter
from torch.nn import qat as qat
from torch.nn import quantizable as quantizable
from torch.nn import quantized as quantized
from torch.nn import utils as utils

# One by one where torch has lazy classes of its own, which are not to come along.
from torch.nn.modules.activation import *
from torch.nn.modules.adaptive import *
from torch.nn.modules.batchnorm import BatchNorm1d as BatchNorm1d
from torch.nn.modules.batchnorm import BatchNorm2d as BatchNorm2d
from torch.nn.modules.batchnorm import BatchNorm3d as BatchNorm3d
from torch.nn.modules.batchnorm import SyncBatchNorm as SyncBatchNorm
from torch.nn.modules.channelshuffle import *
from torch.nn.modules.container import *
from torch.nn.modules.conv import Conv1d as Conv1d
from torch.nn.modules.conv import Conv2d as Conv2d
from torch.nn.modules.conv import Conv3d as Conv3d
from torch.nn.modules.conv import ConvTranspose1d as ConvTranspose1d
from torch.nn.modules.conv import ConvTranspose2d as ConvTranspose2d
from torch.nn.modules.conv import ConvTranspose3d as ConvTranspose3d
from torch.nn.modules.distance import *
from torch.nn.modules.dropout import *
from torch.nn.modules.flatten import *
from torch.nn.modules.fold import *
from torch.nn.modules.instancenorm import InstanceNorm1d as InstanceNorm1d
from torch.nn.modules.instancenorm import InstanceNorm2d as InstanceNorm2d
from torch.nn.modules.instancenorm import InstanceNorm3d as InstanceNorm3d
from torch.nn.modules.linear import Bilinear as Bilinear
from torch.nn.modules.linear import Identity as Identity
from torch.nn.modules.linear import Linear as Linear
from torch.nn.modules.loss import *
from torch.nn.modules.module import Module as Module
from torch.nn.modules.normalization import *
from torch.nn.modules.padding import *
from torch.nn.modules.pixelshuffle import *
from torch.nn.modules.pooling import *
from torch.nn.modules.rnn import *
from torch.nn.modules.sparse import *
from torch.nn.modules.transformer import *
from torch.nn.modules.upsampling import *
from torch.nn.parallel import DataParallel as DataParallel
from torch.nn.parameter import Parameter as Parameter
from torch.nn.parameter import UninitializedBuffer as UninitializedBuffer
from torch.nn.parameter import UninitializedParameter as UninitializedParameter

from lazify import lazify

# What older versions of torch lack (the README lists it) is not here either.
try:
    from torch.nn.parameter import Buffer as Buffer
except ImportError:
    pass
try:
    from torch.nn.modules.linear_cross_entropy_options import *

    LazyLinearCrossEntropyLoss = lazify(LinearCrossEntropyLoss)
except ImportError:
    pass

LazyAdaptiveLogSoftmaxWithLoss = lazify(AdaptiveLogSoftmaxWithLoss)
LazyBatchNorm1d = lazify(BatchNorm1d)
LazyBatchNorm2d = lazify(BatchNorm2d)
LazyBatchNorm3d = lazify(BatchNorm3d)
LazyBilinear = lazify(Bilinear)
LazyConv1d = lazify(Conv1d)
LazyConv2d = lazify(Conv2d)
LazyConv3d = lazify(Conv3d)
LazyConvTranspose1d = lazify(ConvTranspose1d)
LazyConvTranspose2d = lazify(ConvTranspose2d)
LazyConvTranspose3d = lazify(ConvTranspose3d)
LazyGRU = lazify(GRU)
LazyGRUCell = lazify(GRUCell)
LazyGroupNorm = lazify(GroupNorm)
LazyInstanceNorm1d = lazify(InstanceNorm1d)
LazyInstanceNorm2d = lazify(InstanceNorm2d)
LazyInstanceNorm3d = lazify(InstanceNorm3d)
LazyLSTM = lazify(LSTM)
LazyLSTMCell = lazify(LSTMCell)
LazyLayerNorm = lazify(LayerNorm)
LazyLinear = lazify(Linear)
LazyMultiheadAttention = lazify(MultiheadAttention)
LazyPReLU = lazify(PReLU)
LazyRMSNorm = lazify(RMSNorm)
LazyRNN = lazify(RNN)
LazyRNNCell = lazify(RNNCell)
LazySyncBatchNorm = lazify(SyncBatchNorm)
LazyTransformer = lazify(Transformer)
LazyTransformerDecoderLayer = lazify(TransformerDecoderLayer)
LazyTransformerEncoderLayer = lazify(TransformerEncoderLayer)
