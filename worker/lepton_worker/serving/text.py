"""The service Text: each call is answered by the file that its kind has."""

from lepton.v1 import text_pb2, text_pb2_grpc
from lepton_worker.engine.worker import Worker
from lepton_worker.serving import text_labels, text_spans, text_tokens, text_vectors
from lepton_worker.serving.calls import Context
from lepton_worker.serving.written import WrittenCalls


class TextServicer(WrittenCalls, text_pb2_grpc.TextServicer):
    """Answers about whole texts."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Classify(
        self, request: text_pb2.ClassifyRequest, context: Context
    ) -> text_pb2.ClassifyResponse:
        """Labels with their scores."""
        return await text_labels.classify(self._worker, request, context)

    async def Sentiment(
        self, request: text_pb2.SentimentRequest, context: Context
    ) -> text_pb2.SentimentResponse:
        """Labels brought to positive, neutral and negative."""
        return await text_labels.rate_sentiment(self._worker, request, context)

    async def ClassifyZeroShot(
        self, request: text_pb2.ClassifyZeroShotRequest, context: Context
    ) -> text_pb2.ClassifyZeroShotResponse:
        """Labels that the caller makes up."""
        return await text_labels.classify_zero_shot(self._worker, request, context)

    async def Tag(self, request: text_pb2.TagRequest, context: Context) -> text_pb2.TagResponse:
        """Spans with labels."""
        return await text_spans.tag(self._worker, request, context)

    async def Embed(
        self, request: text_pb2.EmbedRequest, context: Context
    ) -> text_pb2.EmbedResponse:
        """One vector a text."""
        return await text_vectors.embed(self._worker, request, context)

    async def Rerank(
        self, request: text_pb2.RerankRequest, context: Context
    ) -> text_pb2.RerankResponse:
        """Documents by their relevance to a query."""
        return await text_vectors.rank(self._worker, request, context)

    async def Keywords(
        self, request: text_pb2.KeywordsRequest, context: Context
    ) -> text_pb2.KeywordsResponse:
        """The words that say most about each text."""
        return await text_vectors.find_keywords(self._worker, request, context)

    async def Answer(
        self, request: text_pb2.AnswerRequest, context: Context
    ) -> text_pb2.AnswerResponse:
        """The spans of each context that answer its question."""
        return await text_spans.answer(self._worker, request, context)

    async def Tokenize(
        self, request: text_pb2.TokenizeRequest, context: Context
    ) -> text_pb2.TokenizeResponse:
        """The model's tokens of each text."""
        return await text_tokens.tokenize(self._worker, request, context)

    async def Detokenize(
        self, request: text_pb2.DetokenizeRequest, context: Context
    ) -> text_pb2.DetokenizeResponse:
        """The text of each list of tokens."""
        return await text_tokens.detokenize(self._worker, request, context)
