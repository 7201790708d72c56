"""What W&B does of artifacts: gives them ids, takes their files, and says what there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Artifact:
    """One version of an artifact: its type, name, and the files that it is made of."""

    kind: str
    name: str
    committed: bool = False
    files: list[str] = field(default_factory=list)


class Artifacts:
    """The answers of a server about artifacts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: dict[str, Artifact] = {}
        self.takes_files = True

    def of_kind(self, kind: str) -> list[Artifact]:
        """Those that are whole."""
        return [one for one in self.made.values() if one.kind == kind and one.committed]

    def __call__(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if "ArtifactType(" in query:
            return {"project": {"artifact": None}}
        if "createArtifact(" in query:
            return self._create(given)
        if "createArtifactManifest(" in query or "updateArtifactManifest(" in query:
            manifest = {"id": "M", "file": {"id": "F", "name": "m", "uploadUrl": self.url}}
            manifest["file"] |= {"uploadHeaders": []}
            name = "createArtifactManifest"
            if name not in query:
                name = "updateArtifactManifest"
            return {name: {"artifactManifest": manifest}}
        if "createArtifactFiles(" in query:
            edges = [{"node": self._file(one)} for one in given["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if "query ArtifactByID" in query:
            return {"artifact": self._told(given["id"])}
        if "commitArtifact(" in query:
            self.made[given["artifactID"]].committed = True
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}
        return None

    def _told(self, known: str) -> dict[str, Any]:
        """What the client wants to know of an artifact when it is there."""
        one, entity = self.made[known], {"name": "e"}
        project = {"id": "P", "internalId": "P", "name": "p", "entity": entity}
        sequence = {"__typename": "ArtifactSequence", "name": one.name, "project": project}
        nothing = ("description", "metadata", "historyStep", "commitHash", "updatedAt", "aliases")
        return {
            **dict.fromkeys(nothing),
            "id": known,
            "artifactSequence": sequence,
            "versionIndex": 0,
            "tags": [],
            "artifactType": {"name": one.kind},
            "state": "COMMITTED",
            "digest": "d",
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "size": 1,
            "fileCount": len(one.files),
            "createdAt": "2026-01-01T00:00:00",
        }

    def _file(self, asked: dict[str, Any]) -> dict[str, Any]:
        known, name = asked["artifactID"], asked["name"]
        self.made[known].files.append(name)
        place = "upload" if self.takes_files else "refused"
        return {
            "storagePath": name,
            "uploadUrl": f"{self.url}/{place}/{known}/{name}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": known},
        }

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        known = f"artifact{len(self.made)}"
        asked = given["input"]
        self.made[known] = Artifact(asked["artifactTypeName"], asked["artifactCollectionName"])
        made = {"id": known, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": made}}
