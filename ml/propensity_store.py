"""A propensity model as bytes, and back: words, numbers and arrays, nothing that could run.

Here belongs the format: a zip of `manifest.json` (format, version of scikit-learn, SHA-256 of each other part),
`model.json` and `arrays/*.npy`. The same model gives the same bytes. Nothing is unpickled; trees are checked before
they are walked (`tree_arrays`).
"""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from typing import Any

import numpy as np
import sklearn

from ml.calibration import Calibration
from ml.classifiers import ALGORITHMS
from ml.leakage import Suspect
from ml.propensity_model import PropensityModel, PropensitySettings
from ml.saved_state import FittedState

FORMAT = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODEL, _MANIFEST, _ARRAYS = "model.json", "manifest.json", "arrays/"


def model_to_bytes(model: PropensityModel) -> bytes:
    """Write a model.

    Args:
        model: Any fitted one.

    Returns:
        The same bytes for the same model.
    """
    state = model.classifier.to_state()
    content = {
        "algorithm": model.algorithm,
        "classifier": state.values,
        "inputs": model.inputs,
        "prior_shift": model.prior_shift,
        "calibration": model.calibration.to_dict(),
        "evaluation": model.evaluation,
        "importance": model.importance,
        "suspects": [asdict(suspect) for suspect in model.suspects],
        "model_id": model.model_id,
        "settings": asdict(model.settings),
    }
    parts = {_MODEL: json.dumps(content, sort_keys=False).encode()}
    for name, array in {**state.arrays, "background": model.background}.items():
        parts[f"{_ARRAYS}{name}.npy"] = _array_to_bytes(array)
    manifest = {
        "format": FORMAT,
        "scikit-learn": sklearn.__version__,
        "sha256": {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()},
    }
    return _zip({_MANIFEST: json.dumps(manifest).encode(), **parts})


def model_from_bytes(content: bytes, sha256: str | None = None) -> PropensityModel:
    """Read a model that `model_to_bytes` wrote.

    Args:
        content: The bytes.
        sha256: Of the bytes, where it was recorded when they were written.

    Returns:
        A model that scores exactly as the one that was written.

    Raises:
        ValueError: The bytes are not what was written, or hold trees of another version of scikit-learn.
    """
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the saved model is not the one that was recorded: its SHA-256 differs")
    parts, version = _checked_parts(content)
    saved = json.loads(parts[_MODEL])
    arrays = {
        name.removeprefix(_ARRAYS).removesuffix(".npy"): np.load(io.BytesIO(part), allow_pickle=False)
        for name, part in parts.items()
        if name.startswith(_ARRAYS)
    }
    background = arrays.pop("background")
    if "nodes" in arrays and version != sklearn.__version__:
        raise ValueError(
            f"the saved model holds trees of scikit-learn {version}, this is {sklearn.__version__}: fit it again"
        )
    state = FittedState(saved["classifier"], arrays)
    if saved["algorithm"] not in ALGORITHMS:
        raise ValueError(f"the saved model is of an unknown algorithm, {saved['algorithm']!r}")
    return PropensityModel(
        algorithm=saved["algorithm"],
        classifier=ALGORITHMS[saved["algorithm"]].from_state(state),
        inputs=saved["inputs"],
        prior_shift=saved["prior_shift"],
        calibration=Calibration.from_dict(saved["calibration"]),
        background=background,
        evaluation=saved["evaluation"],
        importance=saved["importance"],
        suspects=[Suspect(**suspect) for suspect in saved["suspects"]],
        model_id=saved["model_id"],
        settings=PropensitySettings(**saved["settings"]),
    )


def _checked_parts(content: bytes) -> tuple[dict[str, bytes], str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(parts.pop(_MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError("this is no saved propensity model") from error
    if manifest.get("format") != FORMAT:
        raise ValueError(f"the saved model has format {manifest.get('format')!r}; {FORMAT} is known")
    digests = {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}
    if digests != manifest["sha256"]:
        raise ValueError("the saved model is damaged: a part differs from its SHA-256")
    return parts, str(manifest["scikit-learn"])


def _array_to_bytes(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _zip(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), part, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
