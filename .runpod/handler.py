"""RunPod's Hub looks for a handler here; the worker itself is serving/runpod_worker.py."""

from serving.runpod_worker import main

if __name__ == "__main__":
    raise SystemExit(main())
