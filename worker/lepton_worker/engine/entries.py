"""Jobs as the scheduler sees them, and the way back from its entries to the jobs."""

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.engine.messages import Submit
from lepton_worker.engine.runs import ListRun, Run, TextRun
from lepton_worker.request import EncodeJob
from lepton_worker.scheduler.entries import ListEntry, TextEntry

Entry = TextEntry | ListEntry


def entry_of(message: Submit) -> Entry:
    """What the scheduler is to know of a job."""
    job = message.job
    if isinstance(job, EncodeJob):
        lengths = [len(tokens) for tokens in job.inputs]
        run = ListRun(message.number, job)
        return ListEntry(message.caller, message.admitted_at, message.deadline, lengths, run)
    sampling = job.sampling
    return TextEntry(
        message.caller,
        message.admitted_at,
        message.deadline,
        len(job.prompt),
        sampling.max_new_tokens,
        TextRun(message.number, DecoderSequence.of(job, message.caller.priority)),
        sampling.rows,
        least_new=sampling.least_new_tokens,
        objectives=message.objectives,
    )


def run_of(entry: Entry) -> Run:
    """The job that the scheduler's entry stands for."""
    job = entry.job
    assert isinstance(job, (TextRun, ListRun))
    return job


def text_of(entry: TextEntry) -> TextRun:
    """The same for a text."""
    job = entry.job
    assert isinstance(job, TextRun)
    return job


def list_of(entry: ListEntry) -> ListRun:
    """The same for a list of inputs."""
    job = entry.job
    assert isinstance(job, ListRun)
    return job
