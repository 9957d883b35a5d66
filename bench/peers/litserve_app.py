"""LitServe with two workers: python litserve_app.py PORT."""

import sys

import litserve
from fastapi import UploadFile
from shared import Model


class Api(litserve.LitAPI):
    """An image file as a form's file."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.model = Model()

    def decode_request(self, request: UploadFile) -> bytes:
        """The form's file."""
        return request.file.read()

    def predict(self, data: bytes) -> dict:
        """The answer."""
        return self.model.predict(data)

    def encode_response(self, output: dict) -> dict:
        """As it is."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
