# Made by: python -m lazify stub lazify.nn
MYPY: bool = True
assert MYPY  # for type checkers: at run time the classes themselves say more
import collections.abc
import torch
import torch.nn.modules.activation
import torch.nn.modules.adaptive
import torch.nn.modules.batchnorm
import torch.nn.modules.conv
import torch.nn.modules.instancenorm
import torch.nn.modules.linear
import torch.nn.modules.linear_cross_entropy_options
import torch.nn.modules.loss
import torch.nn.modules.normalization
import torch.nn.modules.rnn
import torch.nn.modules.transformer
import typing
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
from lazify import lazify as lazify
from torch.nn.parameter import Buffer as Buffer
from torch.nn.modules.linear_cross_entropy_options import *
class _LazyLinearCrossEntropyLoss(type):

    def __call__(cls, num_classes: int, *, out_features: tuple[int, ...]=..., bias: bool=False, device: typing.Any=None, dtype: typing.Any=None, reduction: str='mean', weight: torch.Tensor | None=None, ignore_index: int | None=None, label_smoothing: float=0.0, options: torch.nn.modules.linear_cross_entropy_options.LinearCrossEntropyOptions | None=None, in_features: int=...) -> torch.nn.modules.loss.LinearCrossEntropyLoss:
        ...
LazyLinearCrossEntropyLoss: _LazyLinearCrossEntropyLoss
class _LazyAdaptiveLogSoftmaxWithLoss(type):

    def __call__(cls, n_classes: int, cutoffs: collections.abc.Sequence[int], div_value: float=4.0, head_bias: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, in_features: int=...) -> torch.nn.modules.adaptive.AdaptiveLogSoftmaxWithLoss:
        ...
LazyAdaptiveLogSoftmaxWithLoss: _LazyAdaptiveLogSoftmaxWithLoss
class _LazyBatchNorm1d(type):

    def __call__(cls, eps: float=1e-05, momentum: float | None=0.1, affine: bool=True, track_running_stats: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.batchnorm.BatchNorm1d:
        ...
LazyBatchNorm1d: _LazyBatchNorm1d
class _LazyBatchNorm2d(type):

    def __call__(cls, eps: float=1e-05, momentum: float | None=0.1, affine: bool=True, track_running_stats: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.batchnorm.BatchNorm2d:
        ...
LazyBatchNorm2d: _LazyBatchNorm2d
class _LazyBatchNorm3d(type):

    def __call__(cls, eps: float=1e-05, momentum: float | None=0.1, affine: bool=True, track_running_stats: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.batchnorm.BatchNorm3d:
        ...
LazyBatchNorm3d: _LazyBatchNorm3d
class _LazyBilinear(type):

    def __call__(cls, out_features: int, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, in1_features: int=..., in2_features: int=...) -> torch.nn.modules.linear.Bilinear:
        ...
LazyBilinear: _LazyBilinear
class _LazyConv1d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int], stride: int | tuple[int]=1, padding: str | int | tuple[int]=0, dilation: int | tuple[int]=1, groups: int=1, bias: bool=True, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.Conv1d:
        ...
LazyConv1d: _LazyConv1d
class _LazyConv2d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int], stride: int | tuple[int, int]=1, padding: str | int | tuple[int, int]=0, dilation: int | tuple[int, int]=1, groups: int=1, bias: bool=True, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.Conv2d:
        ...
LazyConv2d: _LazyConv2d
class _LazyConv3d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int, int], stride: int | tuple[int, int, int]=1, padding: str | int | tuple[int, int, int]=0, dilation: int | tuple[int, int, int]=1, groups: int=1, bias: bool=True, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.Conv3d:
        ...
LazyConv3d: _LazyConv3d
class _LazyConvTranspose1d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int], stride: int | tuple[int]=1, padding: int | tuple[int]=0, output_padding: int | tuple[int]=0, groups: int=1, bias: bool=True, dilation: int | tuple[int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.ConvTranspose1d:
        ...
LazyConvTranspose1d: _LazyConvTranspose1d
class _LazyConvTranspose2d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int], stride: int | tuple[int, int]=1, padding: int | tuple[int, int]=0, output_padding: int | tuple[int, int]=0, groups: int=1, bias: bool=True, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.ConvTranspose2d:
        ...
LazyConvTranspose2d: _LazyConvTranspose2d
class _LazyConvTranspose3d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int, int], stride: int | tuple[int, int, int]=1, padding: int | tuple[int, int, int]=0, output_padding: int | tuple[int, int, int]=0, groups: int=1, bias: bool=True, dilation: int | tuple[int, int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, in_channels: int=...) -> torch.nn.modules.conv.ConvTranspose3d:
        ...
LazyConvTranspose3d: _LazyConvTranspose3d
class _LazyGRU(type):

    def __call__(cls, hidden_size: int, num_layers: int=1, bias: bool=True, batch_first: bool=False, dropout: float=0.0, bidirectional: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.GRU:
        ...
LazyGRU: _LazyGRU
class _LazyGRUCell(type):

    def __call__(cls, hidden_size: int, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.GRUCell:
        ...
LazyGRUCell: _LazyGRUCell
class _LazyGroupNorm(type):

    def __call__(cls, num_groups: int, eps: float=1e-05, affine: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_channels: int=...) -> torch.nn.modules.normalization.GroupNorm:
        ...
LazyGroupNorm: _LazyGroupNorm
class _LazyInstanceNorm1d(type):

    def __call__(cls, eps: float=1e-05, momentum: float=0.1, affine: bool=False, track_running_stats: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.instancenorm.InstanceNorm1d:
        ...
LazyInstanceNorm1d: _LazyInstanceNorm1d
class _LazyInstanceNorm2d(type):

    def __call__(cls, eps: float=1e-05, momentum: float=0.1, affine: bool=False, track_running_stats: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.instancenorm.InstanceNorm2d:
        ...
LazyInstanceNorm2d: _LazyInstanceNorm2d
class _LazyInstanceNorm3d(type):

    def __call__(cls, eps: float=1e-05, momentum: float=0.1, affine: bool=False, track_running_stats: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.instancenorm.InstanceNorm3d:
        ...
LazyInstanceNorm3d: _LazyInstanceNorm3d
class _LazyLSTM(type):

    def __call__(cls, hidden_size: int, num_layers: int=1, bias: bool=True, batch_first: bool=False, dropout: float=0.0, bidirectional: bool=False, proj_size: int=0, device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.LSTM:
        ...
LazyLSTM: _LazyLSTM
class _LazyLSTMCell(type):

    def __call__(cls, hidden_size: int, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.LSTMCell:
        ...
LazyLSTMCell: _LazyLSTMCell
class _LazyLayerNorm(type):

    def __call__(cls, eps: float=1e-05, elementwise_affine: bool=True, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, normalized_shape: int | list[int] | torch.Size=...) -> torch.nn.modules.normalization.LayerNorm:
        ...
LazyLayerNorm: _LazyLayerNorm
class _LazyLinear(type):

    def __call__(cls, out_features: int, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, in_features: int=...) -> torch.nn.modules.linear.Linear:
        ...
LazyLinear: _LazyLinear
class _LazyMultiheadAttention(type):

    def __call__(cls, num_heads: typing.Any, dropout: typing.Any=0.0, bias: typing.Any=True, add_bias_kv: typing.Any=False, add_zero_attn: typing.Any=False, kdim: typing.Any=None, vdim: typing.Any=None, batch_first: typing.Any=False, device: typing.Any=None, dtype: typing.Any=None, *, embed_dim: typing.Any=None) -> torch.nn.modules.activation.MultiheadAttention:
        ...
LazyMultiheadAttention: _LazyMultiheadAttention
class _LazyPReLU(type):

    def __call__(cls, init: float=0.25, device: typing.Any=None, dtype: typing.Any=None, *, num_parameters: int=...) -> torch.nn.modules.activation.PReLU:
        ...
LazyPReLU: _LazyPReLU
class _LazyRMSNorm(type):

    def __call__(cls, eps: float | None=None, elementwise_affine: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, normalized_shape: int | list[int] | torch.Size=...) -> torch.nn.modules.normalization.RMSNorm:
        ...
LazyRMSNorm: _LazyRMSNorm
class _LazyRNN(type):

    def __call__(cls, hidden_size: int, num_layers: int=1, nonlinearity: str='tanh', bias: bool=True, batch_first: bool=False, dropout: float=0.0, bidirectional: bool=False, device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.RNN:
        ...
LazyRNN: _LazyRNN
class _LazyRNNCell(type):

    def __call__(cls, hidden_size: int, bias: bool=True, nonlinearity: str='tanh', device: typing.Any=None, dtype: typing.Any=None, *, input_size: int=...) -> torch.nn.modules.rnn.RNNCell:
        ...
LazyRNNCell: _LazyRNNCell
class _LazySyncBatchNorm(type):

    def __call__(cls, eps: float=1e-05, momentum: float | None=0.1, affine: bool=True, track_running_stats: bool=True, process_group: typing.Any | None=None, device: typing.Any=None, dtype: typing.Any=None, *, bias: bool=True, num_features: int=...) -> torch.nn.modules.batchnorm.SyncBatchNorm:
        ...
LazySyncBatchNorm: _LazySyncBatchNorm
class _LazyTransformer(type):

    def __call__(cls, nhead: int=8, num_encoder_layers: int=6, num_decoder_layers: int=6, dim_feedforward: int=2048, dropout: float=0.1, activation: str | collections.abc.Callable[[torch.Tensor], torch.Tensor]=..., custom_encoder: typing.Any | None=None, custom_decoder: typing.Any | None=None, layer_norm_eps: float=1e-05, batch_first: bool=False, norm_first: bool=False, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, d_model: int=...) -> torch.nn.modules.transformer.Transformer:
        ...
LazyTransformer: _LazyTransformer
class _LazyTransformerDecoderLayer(type):

    def __call__(cls, nhead: int, dim_feedforward: int=2048, dropout: float=0.1, activation: str | collections.abc.Callable[[torch.Tensor], torch.Tensor]=..., layer_norm_eps: float=1e-05, batch_first: bool=False, norm_first: bool=False, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, d_model: int=...) -> torch.nn.modules.transformer.TransformerDecoderLayer:
        ...
LazyTransformerDecoderLayer: _LazyTransformerDecoderLayer
class _LazyTransformerEncoderLayer(type):

    def __call__(cls, nhead: int, dim_feedforward: int=2048, dropout: float=0.1, activation: str | collections.abc.Callable[[torch.Tensor], torch.Tensor]=..., layer_norm_eps: float=1e-05, batch_first: bool=False, norm_first: bool=False, bias: bool=True, device: typing.Any=None, dtype: typing.Any=None, *, d_model: int=...) -> torch.nn.modules.transformer.TransformerEncoderLayer:
        ...
LazyTransformerEncoderLayer: _LazyTransformerEncoderLayer
