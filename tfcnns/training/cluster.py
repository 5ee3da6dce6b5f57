"""Which processes train together, and which of them this one is: TensorFlow's TF_CONFIG."""

import dataclasses
import json
import os
import re

from tfcnns.errors import UserError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of one training.

    Attributes:
        addresses: "host:port" of each worker, the chief first.
        worker: which of them this process is.
    """

    addresses: tuple = ("",)
    worker: int = 0

    @property
    def workers(self):
        return len(self.addresses)

    @property
    def is_chief(self):
        """Whether this is the one process that writes the run."""
        return self.worker == 0


def this(environment=os.environ):
    """The cluster that TF_CONFIG describes.

    Raises:
        UserError: it isn't set, or isn't the JSON that TensorFlow documents.
    """
    text = environment.get("TF_CONFIG")
    if not text:
        raise UserError(
            "strategy multiworker reads the workers' addresses from the environment's TF_CONFIG, "
            "which is not set; python -m tfcnns.launch sets it for workers on this machine"
        )
    try:
        config = json.loads(text)
        jobs = config["cluster"]
        chief, others = jobs.get("chief", []), jobs["worker"]
        if not (isinstance(chief, list) and isinstance(others, list)):
            raise ValueError("the addresses of a job are no list")
        addresses = (*chief, *others)
        for address in addresses:
            if not re.fullmatch(r".+:\d+", address):
                raise ValueError(f"{address!r} is not host:port")
        job, index = config["task"]["type"], int(config["task"]["index"])
        own = {"chief": chief, "worker": others}.get(job, [])
        if not 0 <= index < len(own):
            raise ValueError(f"task {job} {index} is not in the cluster")
        worker = index + (len(chief) if job == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}. Received: {text} ({error})'
        ) from None
    return Cluster(addresses, worker)
