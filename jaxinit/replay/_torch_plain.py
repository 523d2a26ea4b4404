"""The modules of PyTorch that have no parameters, so that models can name them."""

from jaxinit.replay._torch_module import Plain


def _plain(name: str) -> type[Plain]:
    return type(name, (Plain,), {"__doc__": f"``torch.nn.{name}``; has no parameters."})


AdaptiveAvgPool1d = _plain("AdaptiveAvgPool1d")
AdaptiveAvgPool2d = _plain("AdaptiveAvgPool2d")
AdaptiveAvgPool3d = _plain("AdaptiveAvgPool3d")
AdaptiveMaxPool1d = _plain("AdaptiveMaxPool1d")
AdaptiveMaxPool2d = _plain("AdaptiveMaxPool2d")
AdaptiveMaxPool3d = _plain("AdaptiveMaxPool3d")
AlphaDropout = _plain("AlphaDropout")
AvgPool1d = _plain("AvgPool1d")
AvgPool2d = _plain("AvgPool2d")
AvgPool3d = _plain("AvgPool3d")
BCELoss = _plain("BCELoss")
BCEWithLogitsLoss = _plain("BCEWithLogitsLoss")
CELU = _plain("CELU")
ChannelShuffle = _plain("ChannelShuffle")
CircularPad1d = _plain("CircularPad1d")
CircularPad2d = _plain("CircularPad2d")
CircularPad3d = _plain("CircularPad3d")
ConstantPad1d = _plain("ConstantPad1d")
ConstantPad2d = _plain("ConstantPad2d")
ConstantPad3d = _plain("ConstantPad3d")
CosineSimilarity = _plain("CosineSimilarity")
CrossEntropyLoss = _plain("CrossEntropyLoss")
Dropout = _plain("Dropout")
Dropout1d = _plain("Dropout1d")
Dropout2d = _plain("Dropout2d")
Dropout3d = _plain("Dropout3d")
ELU = _plain("ELU")
FeatureAlphaDropout = _plain("FeatureAlphaDropout")
Flatten = _plain("Flatten")
Fold = _plain("Fold")
GELU = _plain("GELU")
GLU = _plain("GLU")
Hardshrink = _plain("Hardshrink")
Hardsigmoid = _plain("Hardsigmoid")
Hardswish = _plain("Hardswish")
Hardtanh = _plain("Hardtanh")
HuberLoss = _plain("HuberLoss")
Identity = _plain("Identity")
KLDivLoss = _plain("KLDivLoss")
L1Loss = _plain("L1Loss")
LPPool1d = _plain("LPPool1d")
LPPool2d = _plain("LPPool2d")
LPPool3d = _plain("LPPool3d")
LeakyReLU = _plain("LeakyReLU")
LocalResponseNorm = _plain("LocalResponseNorm")
LogSigmoid = _plain("LogSigmoid")
LogSoftmax = _plain("LogSoftmax")
MSELoss = _plain("MSELoss")
MaxPool1d = _plain("MaxPool1d")
MaxPool2d = _plain("MaxPool2d")
MaxPool3d = _plain("MaxPool3d")
MaxUnpool1d = _plain("MaxUnpool1d")
MaxUnpool2d = _plain("MaxUnpool2d")
MaxUnpool3d = _plain("MaxUnpool3d")
Mish = _plain("Mish")
NLLLoss = _plain("NLLLoss")
PixelShuffle = _plain("PixelShuffle")
PixelUnshuffle = _plain("PixelUnshuffle")
RReLU = _plain("RReLU")
ReLU = _plain("ReLU")
ReLU6 = _plain("ReLU6")
ReflectionPad1d = _plain("ReflectionPad1d")
ReflectionPad2d = _plain("ReflectionPad2d")
ReflectionPad3d = _plain("ReflectionPad3d")
ReplicationPad1d = _plain("ReplicationPad1d")
ReplicationPad2d = _plain("ReplicationPad2d")
ReplicationPad3d = _plain("ReplicationPad3d")
SELU = _plain("SELU")
SiLU = _plain("SiLU")
Sigmoid = _plain("Sigmoid")
SmoothL1Loss = _plain("SmoothL1Loss")
Softmax = _plain("Softmax")
Softmax2d = _plain("Softmax2d")
Softmin = _plain("Softmin")
Softplus = _plain("Softplus")
Softshrink = _plain("Softshrink")
Softsign = _plain("Softsign")
Tanh = _plain("Tanh")
Tanhshrink = _plain("Tanhshrink")
Threshold = _plain("Threshold")
Unflatten = _plain("Unflatten")
Unfold = _plain("Unfold")
Upsample = _plain("Upsample")
UpsamplingBilinear2d = _plain("UpsamplingBilinear2d")
UpsamplingNearest2d = _plain("UpsamplingNearest2d")
ZeroPad1d = _plain("ZeroPad1d")
ZeroPad2d = _plain("ZeroPad2d")
ZeroPad3d = _plain("ZeroPad3d")

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    "Flatten",
    "Fold",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Mish",
    "NLLLoss",
    "PixelShuffle",
    "PixelUnshuffle",
    "RReLU",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Unflatten",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]
