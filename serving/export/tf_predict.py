"""In the TensorFlow world: a Keras model's answers. `python -I tf_predict.py JOB.json`.

Job: `model` (a .keras file), `pixels` (uint8 .npy, NHWC), `report`. A .keras file is loaded in safe mode, so it cannot
bring code of its own.
"""

import json
import sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())

import keras
import numpy as np

pixels = np.load(job["pixels"], allow_pickle=False)
model = keras.saving.load_model(job["model"], compile=False, safe_mode=True)
answers = [
    np.asarray(model(pixels[start : start + 64].astype(np.float32) / np.float32(255), training=False))
    for start in range(0, len(pixels), 64)
]
Path(job["report"]).write_text(json.dumps({"probabilities": np.concatenate(answers).tolist()}))
