"""Wall time of a list of jobs on a number of GPUs: a job starts when its inputs exist and GPUs are free."""

import heapq
from collections.abc import Sequence

from pipeline.costs.jobs import Job


def wall_seconds(jobs: Sequence[Job], seconds: Sequence[float], gpus: int) -> float:
    """Wall time in seconds if every free GPU goes to the first job of the list that is ready and fits.

    `seconds` is each job's own time. Jobs without a GPU run as soon as they are ready, because cores are always free. No
    job may need more than `gpus`. The result is at least `critical_seconds`, and at least all GPU time over `gpus`.
    """
    waits, users = [len(job.needs) for job in jobs], _users(jobs)
    ready = [place for place, count in enumerate(waits) if not count]
    waiting: list[int] = []  # for a GPU, a heap
    running: list[tuple[float, int]] = []  # a heap of (end, place)
    free, now = gpus, 0.0
    while ready or waiting or running:
        for place in ready:
            if jobs[place].gpus:
                heapq.heappush(waiting, place)
            else:
                heapq.heappush(running, (now + seconds[place], place))
        too_large = []
        while waiting and free:
            place = heapq.heappop(waiting)
            if jobs[place].gpus <= free:
                free -= jobs[place].gpus
                heapq.heappush(running, (now + seconds[place], place))
            else:
                too_large.append(place)
        for place in too_large:
            heapq.heappush(waiting, place)
        now, ended = heapq.heappop(running)
        free += jobs[ended].gpus
        ready = []
        for user in users[ended]:
            waits[user] -= 1
            if not waits[user]:
                ready.append(user)
    return now


def critical_seconds(jobs: Sequence[Job], seconds: Sequence[float]) -> float:
    """Wall time in seconds on unlimited GPUs: the longest chain of jobs that wait for each other."""
    ends: list[float] = []
    for job, own in zip(jobs, seconds, strict=True):
        ends.append(own + max((ends[place] for place in job.needs), default=0.0))
    return max(ends, default=0.0)


def _users(jobs: Sequence[Job]) -> list[list[int]]:
    """For each job, the positions of the jobs that need it."""
    users: list[list[int]] = [[] for _ in jobs]
    for place, job in enumerate(jobs):
        for needed in job.needs:
            users[needed].append(place)
    return users
