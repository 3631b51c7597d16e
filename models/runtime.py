"""Loads an ONNX model that is what its card says, and runs it: hash and signature verified, inputs checked, warmed up, one thread."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.cards import ARTIFACTS, Card, CardInvalid, CardMissing, ModelError, Tensor, card_bytes, card_path, parse_card
from models.signing import BadSignature, TrustedKey, check

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = [
    "ARTIFACTS",
    "BadInput",
    "BadSignature",
    "CardInvalid",
    "CardMissing",
    "HashMismatch",
    "Model",
    "ModelError",
    "ModelMissing",
    "NotAModel",
    "ProviderMissing",
    "load",
    "names",
]

MAX_MODEL_BYTES = 256 << 20
CPU = "CPUExecutionProvider"
_ONNX_TYPES = {
    "float32": "tensor(float)",
    "float64": "tensor(double)",
    "int64": "tensor(int64)",
    "int32": "tensor(int32)",
    "uint8": "tensor(uint8)",
    "bool": "tensor(bool)",
}


class ModelMissing(ModelError):
    """There is no such model."""


class HashMismatch(ModelError):
    """The file is not the one its card speaks about."""


class NotAModel(ModelError):
    """The file is no ONNX model that ONNX Runtime can run, or its graph does not agree with its card."""


class ProviderMissing(ModelError):
    """The execution provider that was asked for (an accelerator) is not there; nothing runs elsewhere unasked."""


class BadInput(ModelError):
    """What was given to ``run`` does not fit the card."""


class Model:
    """A loaded model: ``card`` and ``run``. Not for two threads at once by contract, though ONNX Runtime allows it."""

    def __init__(self, card: Card, session: Any, size_bytes: int) -> None:
        """Use ``load``."""
        self.card = card
        self.size_bytes = size_bytes
        self._session = session
        self._outputs = [tensor.name for tensor in card.outputs]

    @property
    def name(self) -> str:
        return self.card.name

    def run(self, inputs: "Mapping[str, Array]", *, finite: bool = False) -> "dict[str, Array]":
        """The outputs by name. Raises BadInput when a name, dtype or shape differs from the card, or a value is not finite.

        ``finite``: the caller knows it of every value, as of a picture made from bytes, and they are not looked through.
        """
        self._check(inputs, finite)
        results = self._session.run(self._outputs, dict(inputs))
        return dict(zip(self._outputs, results, strict=True))

    def outside(self, inputs: "Mapping[str, Array]") -> list[str]:
        """One text for each input with values outside the card's valid range: the result is then to be taken as uncertain."""
        texts = []
        for tensor in self.card.inputs:
            low, high = tensor.valid_range
            values = inputs[tensor.name]
            if values.size and (values.min() < low or values.max() > high):
                texts.append(f"{tensor.name}: {values.min():g} to {values.max():g} {tensor.units}; valid is {low:g} to {high:g}")
        return texts

    def _check(self, inputs: "Mapping[str, Array]", finite: bool) -> None:
        expected = {tensor.name for tensor in self.card.inputs}
        if set(inputs) != expected:
            raise BadInput(f"model {self.name}: inputs {sorted(inputs)} were given; {sorted(expected)} are needed")
        sizes: dict[str, int] = {}
        for tensor in self.card.inputs:
            _check_tensor(self.name, tensor, inputs[tensor.name], sizes)
            if not finite:
                _check_values(self.name, tensor, inputs[tensor.name])


def load(name_or_path: str | Path, *, threads: int = 1, keys: Sequence[TrustedKey] | None = None, provider: str = CPU) -> Model:
    """The model of that name in ``models/artifacts``, or at that path (``….onnx``, its card beside it), verified and warmed up.

    The bytes of model and card that were verified are the bytes that are used. With ``keys`` a signature by one of them is demanded.
    ``provider`` is ONNX Runtime's name of what computes. Raises ModelMissing, CardMissing, CardInvalid, HashMismatch, BadSignature,
    ProviderMissing, NotAModel, or ModelError where ONNX Runtime is not installed.
    """
    if threads < 1:
        raise ModelError(f"threads is {threads}; 1 or more are needed")
    path = existing(name_or_path)
    described = card_bytes(card_path(path))
    card = parse_card(described, card_path(path))
    content = verified_bytes(path, card)
    if keys is not None:
        check(path, content, described, keys)
    model = Model(card, _session(path, content, threads, provider), len(content))
    _agree(path, card, model._session)
    _warm_up(path, model)
    return model


def names(folder: Path = ARTIFACTS) -> list[str]:
    """The names that ``load`` knows: every .onnx in the folder of artifacts, with or without a card."""
    return sorted(path.stem for path in folder.glob("*.onnx"))


def verified_bytes(path: Path, card: Card) -> bytes:
    """The content of an artifact. Raises HashMismatch where it is not what the card was written for."""
    if card.artifact != path.name:
        raise HashMismatch(f"{card_path(path)}: artifact: the card is for {card.artifact!r}, but lies beside {path.name!r}")
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise ModelMissing(f"{path}: cannot be read: {error.strerror}; a readable ONNX file is needed") from None
    if len(content) > MAX_MODEL_BYTES:
        raise NotAModel(f"{path}: larger than {MAX_MODEL_BYTES} bytes; no model of ours is")
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise HashMismatch(
            f"{path}: its SHA-256 is {found}, its card says {card.sha256}: the file was changed or the card is of another version; "
            f"install both from the same release"
        )
    return content


def existing(name_or_path: str | Path) -> Path:
    """Where the artifact of that name or path lies. Raises ModelMissing, or NotAModel for a path that is no ….onnx."""
    path = located(name_or_path)
    if not path.is_file():
        raise ModelMissing(f"{path}: there is no such model file; known by name: {', '.join(names()) or 'none'}")
    return path


def located(name_or_path: str | Path) -> Path:
    """Where the artifact of that name or path lies, whether or not it is there. Raises NotAModel for a path that is no ….onnx."""
    if isinstance(name_or_path, Path) or "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith(".onnx"):
        path = Path(name_or_path)
        if path.suffix != ".onnx":
            raise NotAModel(f"{path}: not an ONNX file by its name; a model is a file ….onnx, or a name: {', '.join(names()) or 'none'}")
        return path
    return ARTIFACTS / f"{name_or_path}.onnx"


def _session(path: Path, content: bytes, threads: int, provider: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError(f"{path}: running a model needs the package onnxruntime: install the extra, pip install 'muki[edge]'") from None
    if provider not in (there := onnxruntime.get_available_providers()):
        raise ProviderMissing(
            f"{path}: execution provider {provider!r} is not in ONNX Runtime {onnxruntime.__version__} here; it has {', '.join(there)}: "
            "install the build of the accelerator, or ask for one of these"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a Pi has better uses for its cores than waiting
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as error:
        raise NotAModel(f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it as a model: {_first_line(error)}") from None
    session.disable_fallback()  # an accelerator that fails must be heard of, not replaced by a slow processor
    if session.get_providers()[0] != provider:
        raise ProviderMissing(
            f"{path}: execution provider {provider!r} could not be started (device unplugged or driver missing); "
            f"ONNX Runtime would run on {session.get_providers()[0]} instead: plug it in, or ask for that one"
        )
    return session


def _agree(path: Path, card: Card, session: Any) -> None:
    """The graph's inputs and outputs are those of the card."""
    for kind, tensors, nodes in (("inputs", card.inputs, session.get_inputs()), ("outputs", card.outputs, session.get_outputs())):
        declared = {tensor.name: tensor for tensor in tensors}
        found = {node.name: node for node in nodes}
        if set(declared) != set(found) and (kind == "inputs" or not set(declared) <= set(found)):
            raise NotAModel(
                f"{path}: its graph has {kind} {sorted(found)}, its card says {sorted(declared)}: write the card for this graph"
            )
        for name, tensor in declared.items():
            shape = tuple(found[name].shape)
            if found[name].type != _ONNX_TYPES[tensor.dtype]:
                raise NotAModel(f"{path}: {kind} {name}: the graph has {found[name].type}, the card {tensor.dtype}")
            fixed = [(a, b) for a, b in zip(shape, tensor.shape, strict=False) if isinstance(a, int) and isinstance(b, int) and a != b]
            if len(shape) != len(tensor.shape) or fixed:
                raise NotAModel(f"{path}: {kind} {name}: the graph has shape {shape}, the card {tensor.shape}")


def _warm_up(path: Path, model: Model) -> None:
    """One run in the middle of the valid range, so that the first real one is no slower; its outputs must fit the card."""
    import numpy as np

    inputs = {tensor.name: np.full(tensor.smallest(), sum(tensor.valid_range) / 2, dtype=tensor.dtype) for tensor in model.card.inputs}
    try:
        results = model.run(inputs)
    except ModelError:
        raise
    except Exception as error:
        raise NotAModel(f"{path}: ONNX Runtime cannot run it: {_first_line(error)}") from None
    for tensor in model.card.outputs:
        values = results[tensor.name]
        expected = [size for size in tensor.shape if isinstance(size, int)]
        found = [size for size, declared in zip(values.shape, tensor.shape, strict=False) if isinstance(declared, int)]
        if values.ndim != len(tensor.shape) or expected != found or not np.isfinite(values).all():
            raise NotAModel(f"{path}: output {tensor.name} came out with shape {values.shape} or not finite; the card says {tensor.shape}")


def _check_tensor(model: str, tensor: Tensor, values: "Array", sizes: dict[str, int]) -> None:
    import numpy as np

    where = f"model {model}: input {tensor.name!r}"
    if not isinstance(values, np.ndarray):
        raise BadInput(f"{where}: {type(values).__name__} was given; a NumPy array of {tensor.dtype} is needed")
    if values.dtype != np.dtype(tensor.dtype):
        raise BadInput(f"{where}: dtype {values.dtype} was given; {tensor.dtype} is needed")
    needed = tuple(
        size if isinstance(size, int) else sizes.setdefault(size, found) for size, found in zip(tensor.shape, values.shape, strict=False)
    )
    if len(values.shape) != len(tensor.shape) or values.shape != needed or not values.size:
        raise BadInput(f"{where}: shape {values.shape} was given; {tensor.shape} is needed, with no dimension 0")


def _check_values(model: str, tensor: Tensor, values: "Array") -> None:
    import numpy as np

    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
        where = f"model {model}: input {tensor.name!r}"
        raise BadInput(f"{where}: the value at {place} is {values[place]}; every value must be finite: leave the window out instead")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
