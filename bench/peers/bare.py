"""The limit: an interpreter that imports, decodes and predicts once, without HTTP."""

import os
import sys
import time
from pathlib import Path

from shared import Model

if __name__ == "__main__":
    data, model = Path(sys.argv[1]).read_bytes(), Model()
    model.predict(data)
    if (count := int(sys.argv[2])) > 1:
        began = time.perf_counter()
        for _ in range(count):
            model.predict(data)
        print((time.perf_counter() - began) / count)
    os._exit(0)
