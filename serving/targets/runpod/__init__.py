"""The RunPod target: Serverless endpoints, managed over REST v2."""
