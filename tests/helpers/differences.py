"""Everything in which the thirteen lazy classes of `lazify.nn` differ on purpose from those of `torch.nn`."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """What torch's own lazy classes do, what lazify's do instead, and why."""

    name: str
    torchs: str
    lazifys: str
    why: str


#: `nn/test_differences.py` shows both sides of each.
DIFFERENCES = [
    Difference(
        "the open size before the call",
        "in_features, in_channels, num_features are 0",
        "asking is a NotMaterializedError, which is an AttributeError: hasattr says no",
        "0 is a wrong answer that code goes on computing with",
    ),
    Difference(
        "defaults of InstanceNorm",
        "affine=True, track_running_stats=True, against their own documentation",
        "those of the eager class: both False, as documented",
        "what a lazy class becomes is what the eager class with these arguments is",
    ),
    Difference(
        "values that the constructor refuses",
        "refused at once: padding_mode='mirror'",
        "at the first call, the same error; wrong names and numbers of arguments at once",
        "the constructor that looks at them is the real module's",
    ),
    Difference(
        "the open size after the call",
        "stays 0 where nothing was left to make: a norm without parameters and statistics; a convolution or norm that "
        "was loaded before, and such an InstanceNorm fails",
        "is the size",
        "the real module is the eager one, in every attribute",
    ),
    Difference(
        "num_batches_tracked before the call",
        "a real tensor, beside uninitialized statistics; an uninitialized one in a checkpoint is refused",
        "an UninitializedBuffer, as the other buffers",
        "every buffer becomes real at one moment, and on the input's device",
    ),
    Difference(
        "isinstance of norms",
        "LazyBatchNorm2d is no BatchNorm2d, and LazyInstanceNorm2d no InstanceNorm2d, until the call",
        "a lazy instance is an instance of the wrapped class",
        "what is selected by class (decay groups, freezing of norms) is found",
    ),
    Difference(
        "repr",
        "as of the eager class, with 0 for the open size",
        "the lazy class, what was given, and a question mark",
        "LazyLinear(in_features=0, ...) reads as a fault",
    ),
    Difference(
        "extra_repr()",
        "answers, with 0 for the open size",
        "raises: it is the eager class's own, which asks for the open size",
        "nobody but repr calls it, and repr answers itself",
    ),
    Difference(
        "load_state_dict of a real checkpoint",
        "the tensors are real, the class is lazy and the open size 0 until a call",
        "the module is real at once",
        "a model that was loaded is ready: it need not see an input first",
    ),
    Difference(
        "load_state_dict of another architecture",
        "takes whatever shapes there are; the module contradicts its own attributes",
        "InferenceError, and still lazy",
        "an eager module refuses, too",
    ),
    Difference(
        "load_state_dict of a part",
        "makes that part real, and then the first call fails",
        "the part is loaded at the first call, or says the size already",
        "loading a backbone with strict=False must not break the rest",
    ),
    Difference(
        "apply",
        "runs at once, on a module without values",
        "runs at the first call, on the real module, in order",
        "initialisation by model.apply(init) works on a lazy model",
    ),
    Difference(
        "reset_parameters",
        "does nothing before the call",
        "is done at the first call, after the construction, as it would be on the eager module",
        "what was done before the call holds after it",
    ),
    Difference(
        "requires_grad_(False)",
        "ValueError on the module, until the call",
        "works, and holds after the call",
        "freezing a model must not depend on when",
    ),
    Difference(
        "bfloat16(), type(...), to_empty(...)",
        "ValueError, until the call",
        "work, as half() and double() do",
        "as above",
    ),
    Difference(
        "to('meta')",
        "the parameters become empty real ones, and the first call fails",
        "the first call makes the parameters there",
        "as above",
    ),
    Difference(
        "deepcopy of norms",
        "ValueError: an UninitializedBuffer cannot be copied",
        "a lazy copy that becomes real on its own",
        "moving averages, cross validation",
    ),
    Difference(
        "an attribute set before the call",
        "out_channels = 8 changes the shape of the weight to come",
        "is an attribute, as on an eager module: the weight is as it was constructed",
        "the eager module is what counts; what the constructor was given stays",
    ),
    Difference(
        "a parameter set before the call",
        "module.weight = Parameter(...) makes the first call fail",
        "replaces the parameter, as on an eager module",
        "what was done before the call holds after it",
    ),
    Difference(
        "a parameter materialized by hand",
        "weight.materialize(shape) works, with whatever the memory held; unless done to all, the first call fails",
        "refused with torch's ValueError; materialize(module, input) does the whole",
        "a half-real module is no use",
    ),
    Difference(
        "values of an uninitialized parameter",
        "weight.data is an empty tensor, and what is written into it is lost; size() is (0,), ndim 1",
        "`data` and `size()` are refused; ndim is right",
        "an initialisation that is silently lost is the worst outcome; optimizers group by ndim",
    ),
    Difference(
        "detach of an uninitialized parameter",
        "ValueError",
        "gives the parameter itself",
        "state_dict() works as on any module, also of the modules around",
    ),
    Difference(
        "own hooks before the call",
        "two hooks of its own are in the hook dicts until the call",
        "none",
        "who lists, clears or copies hooks meets only the user's",
    ),
    Difference(
        "a forward pre-hook that changes the input",
        "the size is taken from the input before the hook, and the call fails",
        "the size is taken from what forward gets",
        "forward is what the parameters must fit",
    ),
    Difference(
        "forward() called directly",
        "ValueError, until the call",
        "is the first call, without hooks",
        "a wrapper that calls forward itself works",
    ),
    Difference(
        "a first call that fails in forward",
        "the module is real, with the sizes of the input that was wrong, for good",
        "the module is lazy, unchanged; the next good call works",
        "a typing error in a notebook must not cost the model",
    ),
    Difference(
        "an input without that dimension",
        "IndexError for a linear layer or a norm, AttributeError for what is no tensor",
        "InferenceError that names class, parameter and what the call was",
        "the error says what to do",
    ),
    Difference(
        "unbatched input of InstanceNorm",
        "takes dimension 1 for the channels, and fails",
        "takes the channels that the eager class takes",
        "InstanceNorm2d takes (C, H, W)",
    ),
    Difference(
        "device of the input",
        "the parameters are on the default device; an input from elsewhere fails or mixes devices",
        "the parameters are made where the input is, unless the user said where",
        "moving the model first is the eager world's chore",
    ),
    Difference(
        "a first call under inference_mode",
        "the parameters are inference tensors: the model can never be trained",
        "the parameters are as trainable as if made outside",
        "a shape check with inference_mode must not spoil the model",
    ),
    Difference(
        "becoming real without a call",
        "there is no way but a dry run, which updates the statistics of BatchNorm",
        "materialize(module, shape) computes nothing and leaves the statistics",
        "the eager model's statistics have not moved either",
    ),
    Difference(
        "subclasses of the lazy class",
        "class Mine(nn.LazyLinear) is allowed, and its instances become Linear, not Mine",
        "DefinitionError at the class statement; lazify(Mine) of an eager subclass does it",
        "the subclass would silently be lost at the first call",
    ),
    Difference(
        "SyncBatchNorm.convert_sync_batchnorm",
        "makes a SyncBatchNorm of size 0 that fails when called",
        "NotMaterializedError at the conversion",
        "the error comes where the fault is",
    ),
]
