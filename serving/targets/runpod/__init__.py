"""The RunPod target: Serverless endpoints, made and mended over REST v2."""
