"""A client for the three tasks of Lepton, over gRPC with nothing but the generated stubs.

kubectl port-forward service/minilm 9000 &    # in the cluster: minilm.NAMESPACE.svc:9000
python examples/python_client.py localhost:9000 embed "A cat sleeps." "A kitten naps."
python examples/python_client.py localhost:9000 classify "What a lovely day."
python examples/python_client.py localhost:9000 generate "Once upon a time"
"""

import argparse
import struct
import sys

import grpc

from lepton.v1 import generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc

TIMEOUT = 60.0


def embed(channel: grpc.Channel, texts: list[str]) -> None:
    """One vector a text, of length 1 here, so that products are cosine similarities."""
    request = text_pb2.EmbedRequest(inputs=texts, normalize=True)
    answer = text_pb2_grpc.TextStub(channel).Embed(request, timeout=TIMEOUT)
    vectors = []
    for text, result in zip(texts, answer.results, strict=True):
        if result.HasField("error"):  # one bad input does not spoil the others
            sys.exit(f"{text!r}: {result.error.message}")
        vectors.append(struct.unpack(f"<{answer.dimensions}f", result.values))
    for text, vector in zip(texts, vectors, strict=True):
        similarity = sum(a * b for a, b in zip(vectors[0], vector, strict=True))
        print(f"{similarity:6.3f}  {text}")


def classify(channel: grpc.Channel, texts: list[str]) -> None:
    """Labels with probabilities, best first."""
    request = text_pb2.ClassifyRequest(inputs=texts, top_k=3)
    answer = text_pb2_grpc.TextStub(channel).Classify(request, timeout=TIMEOUT)
    for text, result in zip(texts, answer.results, strict=True):
        labels = ", ".join(f"{label.name} {label.score:.3f}" for label in result.labels)
        print(f"{text}: {result.error.message or labels}")


def generate(channel: grpc.Channel, texts: list[str]) -> None:
    """A stream of pieces of text; the last event says why it ended and what it cost."""
    stub = generation_pb2_grpc.GenerationStub(channel)
    for text in texts:
        sampling = generation_pb2.Sampling(max_new_tokens=64, temperature=0.7, seed=1)
        request = generation_pb2.GenerateRequest(text=text, sampling=sampling)
        print(text, end="", flush=True)
        for event in stub.Generate(request, timeout=TIMEOUT):
            if event.HasField("delta"):
                print(event.delta.text, end="", flush=True)
            elif event.HasField("finish"):
                reason = generation_pb2.FinishReason.Name(event.finish.reason)
                print(f"\n[{reason}, {event.finish.usage.output_tokens} tokens]")


TASKS = {"embed": embed, "classify": classify, "generate": generate}


def main() -> None:
    """Ask one model; its status and what it says about it go to standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="host:port")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("texts", nargs="+")
    given = parser.parse_args()
    with grpc.insecure_channel(given.address) as channel:
        try:
            TASKS[given.task](channel, given.texts)
        except grpc.RpcError as error:
            # RESOURCE_EXHAUSTED: its queue is full, ask again a little later.
            # UNAVAILABLE: this worker is going, ask again and another one answers.
            sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
