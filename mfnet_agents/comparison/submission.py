"""A submission: policies as files, and a config that says whose they are and which instance each is for.

.. code-block:: json

    {"name": "my learner", "about": "how it was trained, from what", "policies": {"grid25": "grid25.npz"}}

Paths are relative to the config. Nothing of a file is run (:func:`mfnet_envs.load_policy`); what a policy reads is seen
from its table, and not asked for. It is scored on worlds of its own, whose seed follows from what is submitted: nothing
was trained or chosen on them, unless somebody scored many variants of one submission to hand in the luckiest, and
whoever scores it again finds the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mfnet_agents.comparison.suites import INFORMATION, Instance
from mfnet_envs import instances as drawn
from mfnet_envs import make_model
from mfnet_envs.io.files import text_of
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.model import LocalModel
from mfnet_envs.policy_file import FilePolicy, load_policy
from mfnet_envs.words import brief, did_you_mean, shown

PREFIX = "submission:"
KNOWN = ("name", "about", "policies")
SEEDS = 2**48  # of which one is a submission's own


@dataclass(frozen=True)
class Submission:
    """What a config says.

    Attributes:
        policies: instance -> file. digest: of the names and the contents of all.
    """

    path: Path
    name: str
    about: str
    policies: dict[str, Path]
    digest: str

    def seed(self, suite: str) -> int:
        """Of its test worlds, in a suite with this digest."""
        return int(hashlib.sha256(f"{suite} {self.digest}".encode()).hexdigest(), 16) % SEEDS

    def policy(self, instance: Instance, model: LocalModel | None = None) -> FilePolicy:
        """The policy for an instance, on its model.

        Raises:
            ValueError: there is none, or one of another environment or another shape. OSError: it cannot be read.
        """
        if instance.name not in self.policies:
            raise ValueError(f"{self.path} has no policy for {instance.name}; leave the instance out with --instances")
        path = self.policies[instance.name]
        try:
            found = load_policy(path)
            if found.env is not None and found.env not in _ids(instance.env):
                raise ValueError(f"the policy is of {brief(found.env)}")
            return load_policy(path, make_model(instance.env, **instance.env_config) if model is None else model)
        except FileNotFoundError:
            named = f"{brief(self.path)} names {brief(path)} for {instance.name}"
            raise ValueError(f"{named}, and there is no such file") from None
        except ValueError as error:
            raise ValueError(f"{brief(path)} is no policy for {instance.name} ({instance.env}): {error}") from error


def _ids(env: str) -> set[str]:
    """What a policy of this environment may say that it is of: for a drawn instance its scenario, too."""
    place, _, name = env.partition(":")
    return {env, drawn.instance(name).scenario} if place == drawn.__name__ else {env}


def information_of(policy: FilePolicy) -> str:
    """A table reads its own team's size, and the clock if it has more turns than one."""
    return INFORMATION[1] if len(policy.shares) > 1 else INFORMATION[0]


def read(path: Path) -> Submission:
    """The submission of a config.

    Raises:
        ValueError: it says something that no config says. OSError: it, or a policy, cannot be read.
    """
    try:
        record = json.loads(text_of(Place(str(path))))
    except NetworkFileError:
        raise
    except (RecursionError, ValueError) as error:
        raise ValueError(
            f"{path} is no submission, which is a JSON file that names its policies: {brief(error)}"
        ) from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is no submission: it must hold an object, not {shown(record)}")
    for key in record:
        if key not in KNOWN:
            raise ValueError(f"{path}: a submission has no {shown(key)}{did_you_mean(key, KNOWN)}")
    name, about, policies = record.get("name"), record.get("about", ""), record.get("policies")
    if not (isinstance(name, str) and name.strip() and name.isprintable() and isinstance(about, str)):
        raise ValueError(f"{path}: name must be a word that can be printed, and about a text")
    if not (isinstance(policies, dict) and policies and all(isinstance(each, str) for each in policies.values())):
        raise ValueError(f'{path}: policies must be like {{"grid25": "grid25.npz"}}')
    files = {instance: path.parent / file for instance, file in policies.items()}
    return Submission(path, name, about, files, _digest(name, files))


def _digest(name: str, files: dict[str, Path]) -> str:
    found = hashlib.sha256(json.dumps([name, sorted(files)]).encode())
    for _, file in sorted(files.items()):
        found.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
    return found.hexdigest()


def check(submission: Submission, instances: Iterable[Instance], known: Iterable[str]) -> None:
    """Refuse what names instances that there are not, or policies that do not fit theirs.

    Raises:
        ValueError: in a sentence.
    """
    names = list(known)
    for name in submission.policies:
        if name not in names:
            raise ValueError(f"{submission.path}: the suite has no instance {shown(name)}{did_you_mean(name, names)}")
    for instance in instances:
        submission.policy(instance)
