"""Asynchronous requests: ``Prefer: respond-async``, idempotency keys, jobs and their tasks.

A job runs a little later, each record of a batch as a task of its own; NetSuite runs those in parallel, so
here they run and are listed in no particular order. What a task answered is kept as it was answered.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any

from starlette.responses import JSONResponse, Response

from isthmus_netsuite.simulator.forms import read_body
from isthmus_netsuite.simulator.problems import Problem, no_such_path

KEPT_HEADERS = ("x-netsuite-propertynamevalidation", "prefer")
COLLECTION = "type=collection"
BATCH_MAX = 100
TIMES = ("startTime", "endTime")
Run = Callable[[dict[str, Any]], Response]


def wanted(headers: Mapping[str, str]) -> bool:
    return "respond-async" in headers.get("prefer", "").lower()


class Jobs:
    """What was asked for, what is still to be done, and what came of it; kept in ``memory``."""

    def __init__(
        self,
        memory: Callable[[], dict[str, Any]],
        now: Callable[[], datetime],
        next_id: Callable[[str, int], int],
        random: Random,
        run: Run,
    ) -> None:
        self._memory = memory
        self._now = now
        self._next_id = next_id
        self._random = random
        self._run = run

    def setup(self) -> None:
        self._memory().update(jobs={}, idempotency={}, job_latency_s=0.05)

    @property
    def latency_s(self) -> float:
        return float(self._memory()["job_latency_s"])

    def waiting(self) -> list[str]:
        """Ids of jobs that have not run yet."""
        return [id for id, job in self._memory()["jobs"].items() if not job["completed"]]

    def submit(self, request: dict[str, Any], headers: Mapping[str, str]) -> tuple[str | None, Response]:
        """Queue a request; the id of the new job, and the answer.

        Raises:
            Problem: it can never be run.
        """
        tasks = [{"request": each, "completed": False} for each in self._split(request, headers)]
        self._random.shuffle(tasks)
        told = {"preference-applied": "respond-async"}
        key = headers.get("x-netsuite-idempotency-key")
        first = self._memory()["idempotency"].get(key)
        if first is not None:
            problem = Problem(
                400,
                "IDEMPOTENCY_ERROR",
                "A request with the same idempotency key is already submitted. See the 'Location' header.",
            )
            answer = problem.answer(title="Conflict")
            answer.headers.update({**told, "location": _path(first)})
            return None, answer
        id = str(self._next_id("job:async", 1))
        self._memory()["jobs"][id] = {"completed": False, "progress": "pending", "tasks": tasks}
        if key is not None:
            self._memory()["idempotency"][key] = id
        return id, Response(
            status_code=202, headers={**told, "location": _path(id)}, media_type="application/json"
        )

    def _split(self, request: dict[str, Any], headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """The requests of a batch, one per record; of any other request, itself."""
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        request = {**request, "headers": kept}
        if COLLECTION not in headers.get("content-type", "").replace(" ", ""):
            return [request]
        items = read_body(request["body"].encode()).get("items")
        if not isinstance(items, list) or not 1 <= len(items) <= BATCH_MAX:
            raise Problem(400, "INVALID_CONTENT", f"A batch has 1 to {BATCH_MAX} items.", errorPath="items")
        return [self._single(request, item) for item in items]

    def _single(self, request: dict[str, Any], item: Any) -> dict[str, Any]:
        """One record of a batch as the request it stands for."""
        names = {"PUT": "externalId", "PATCH": "id"}
        if not isinstance(item, dict) or request["method"] not in ("POST", *names):
            raise Problem(
                400, "INVALID_CONTENT", "A batch is POST, PUT or PATCH of objects.", errorPath="items"
            )
        path = request["parts"]
        if (name := names.get(request["method"])) is not None:
            if not item.get(name):
                raise Problem(400, "INVALID_CONTENT", f"Each item needs {name}.", errorPath=f"items.{name}")
            path = [*path, f"eid:{item[name]}" if name == "externalId" else str(item[name])]
        return {**request, "parts": path, "item": item}

    def perform(self, id: str) -> None:
        """Run a job to its end."""
        job = self._memory()["jobs"][id]
        started = self._stamp()
        for task in job["tasks"]:
            answer = self._run(task["request"])
            task.update(
                completed=True,
                progress="succeeded" if answer.status_code < 300 else "failed",
                startTime=started,
                endTime=self._stamp(),
                status=answer.status_code,
                headers=dict(answer.headers),
                body=bytes(answer.body).decode(),
            )
        failed = any(task["progress"] == "failed" for task in job["tasks"])
        job.update(completed=True, progress="failed" if failed else "succeeded", endTime=self._stamp())

    def answer(self, parts: list[str], base: str) -> Response:
        """What the async service tells of a job; ``parts`` is the path after ``job``."""
        job = self._memory()["jobs"].get(parts[0]) if parts else None
        if job is None:
            raise no_such_path("/services/rest/async/v1/job/" + "/".join(parts))
        here = base + _path(parts[0])
        match parts[1:]:
            case []:
                told = {"completed": job["completed"], "id": parts[0], "progress": job["progress"]}
                link = {"links": [{"rel": "self", "href": f"{here}/task"}]}
                return JSONResponse({"links": [{"rel": "self", "href": here}], **told, "task": link})
            case ["task"]:
                items = [self._task(here, n, task) for n, task in enumerate(job["tasks"], 1)]
                return JSONResponse({"links": [{"rel": "self", "href": f"{here}/task"}], "items": items})
            case ["task", n] if n.isdecimal() and 1 <= int(n) <= len(job["tasks"]):
                return JSONResponse(self._task(here, int(n), job["tasks"][int(n) - 1]))
            case ["task", n, "result"] if n.isdecimal() and 1 <= int(n) <= len(job["tasks"]):
                task = job["tasks"][int(n) - 1]
                if not task["completed"]:
                    raise Problem(404, "NONEXISTENT_ID", "The task has no result yet.", errorUrlPath="result")
                return Response(task["body"], status_code=task["status"], headers=task["headers"])
        raise no_such_path(here)

    def _task(self, here: str, n: int, task: dict[str, Any]) -> dict[str, Any]:
        links = [{"rel": "self", "href": f"{here}/task/{n}"}]
        if task["completed"]:
            links.append({"rel": "related", "href": f"{here}/task/{n}/result"})
        times: dict[str, Any] = {name: task[name] for name in TIMES if name in task}
        return {
            "links": links,
            "id": str(n),
            "completed": task["completed"],
            "progress": task.get("progress", "pending"),
            **times,
        }

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(id: str) -> str:
    return f"/services/rest/async/v1/job/{id}"
