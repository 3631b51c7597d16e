"""Recorded waveforms: WAV, NPY, NPZ and CSV, read piece by piece."""

import wave
from pathlib import Path
from typing import Any

import numpy as np

Samples = np.ndarray[Any, np.dtype[np.float32]]
MAX_IN_MEMORY = 64 << 20  # bytes of a CSV or NPZ file; WAV and NPY are not loaded whole
WAV_HEAD = 44  # bytes before the samples of a plain WAV file, the least there can be
ENDINGS = (".wav", ".npy", ".npz", ".csv")
_FULL_SCALE = {1: 128.0, 2: 32768.0, 3: 8388608.0, 4: 2147483648.0}  # by bytes a sample; a WAV is scaled to -1 … 1


class Recording:
    """``length`` samples of each channel at ``rate_hz`` (0 where the file does not tell); ``missing``: how many more its head promises."""

    def __init__(self, arrays: dict[str, np.ndarray[Any, Any]], rate_hz: float = 0.0, missing: int = 0) -> None:
        self._arrays = arrays
        self.channels = tuple(arrays)
        self.rate_hz = rate_hz
        self.missing = missing
        self.length = min((len(array) for array in arrays.values()), default=0)

    def read(self, channel: str, start: int, size: int) -> Samples:
        """``size`` samples from ``start`` on, float32."""
        return np.asarray(self._arrays[channel][start : start + size], np.float32)


class _WaveArray:
    """One channel of a WAV file, sliced like an array. The file is opened for each slice: nothing stays open between snapshots."""

    def __init__(self, path: Path, channel: int, length: int) -> None:
        self._path = path
        self._channel = channel
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> Samples:
        with wave.open(str(self._path), "rb") as file:
            width, channels = file.getsampwidth(), file.getnchannels()
            file.setpos(part.start)
            data = file.readframes(part.stop - part.start)
        raw = np.frombuffer(data, np.uint8).reshape(-1, channels, width)[:, self._channel]
        if width == 1:
            return (raw[:, 0].astype(np.float32) - 128) / np.float32(128)
        padded = np.zeros((len(raw), 4), np.uint8)
        padded[:, 4 - width :] = raw  # in the high bytes, so that the sign is right
        return (padded.view("<i4")[:, 0] / 2.0 ** (32 - 8 * width) / _FULL_SCALE[width]).astype(np.float32)


def open_recording(path: Path) -> Recording:
    """The recording in a file, by its ending. Channels: WAV and NPY columns are "0", "1" …; NPZ arrays and CSV columns have their names.

    A number ``NAME_scale`` in an NPZ multiplies the array NAME. Raises ValueError saying what is wrong with the file, OSError where it
    cannot be read.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: write a file ending in {', '.join(ENDINGS)}")
    if ending in (".csv", ".npz") and path.stat().st_size > MAX_IN_MEMORY:
        raise ValueError(f"{path}: larger than {MAX_IN_MEMORY >> 20} MiB; write it as .wav or .npy, which are read piece by piece")
    try:
        match ending:
            case ".wav":
                recording = _wav(path)
            case ".npy":
                recording = Recording(_columns(np.load(path, mmap_mode="r", allow_pickle=False)))
            case ".npz":
                recording = _npz(path)
            case _:
                recording = _csv(path)
    except (ValueError, EOFError, wave.Error, KeyError) as error:
        raise ValueError(f"{path}: cannot be read as a waveform: {error}") from None
    if not recording.length:
        raise ValueError(f"{path}: holds no samples")
    return recording


def _wav(path: Path) -> Recording:
    with wave.open(str(path), "rb") as file:
        # A recorder that lost its power has promised more than it wrote.
        promised, frame = file.getnframes(), file.getsampwidth() * file.getnchannels()
        length = min(promised, (path.stat().st_size - WAV_HEAD) // frame)
        if file.getsampwidth() not in _FULL_SCALE:
            raise ValueError(f"{file.getsampwidth()} bytes a sample; 1 to 4 are possible")
        arrays: dict[str, Any] = {str(channel): _WaveArray(path, channel, length) for channel in range(file.getnchannels())}
        return Recording(arrays, float(file.getframerate()), promised - length)


def _npz(path: Path) -> Recording:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, array in arrays.items():
        if array.ndim == 1 and array.dtype.kind in "iuf":
            scale = arrays.get(f"{name}_scale")
            found[name] = array if scale is None else array.astype(np.float32) * np.float32(scale)
    return Recording(found)


def _csv(path: Path) -> Recording:
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline().strip()
    separator = next((mark for mark in (";", "\t", ",") if mark in first), ",")
    names = [name.strip().strip('"') for name in first.split(separator)]
    header = not all(_is_number(name) for name in names)
    table = np.loadtxt(path, np.float32, delimiter=separator, skiprows=int(header), ndmin=2, encoding="utf-8-sig")
    return Recording({(names[i] if header else str(i)): table[:, i] for i in range(table.shape[1])})


def _columns(array: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2):
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype}; numbers of shape (n,) or (n, channels) are needed")
    return {"0": array} if array.ndim == 1 else {str(i): array[:, i] for i in range(array.shape[1])}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
