"""AWS Secrets Manager. Who we are is found by the default chain: a role of the pod or machine, or a profile."""

import json
from collections.abc import Mapping
from typing import Any

from common.security.secret_stores.environment import fields_of
from common.security.secrets import Secret, SecretUnavailable

ADVICE = {
    "ResourceNotFoundException": "there is no such secret, or no such version",
    "AccessDeniedException": "this role may not read it: allow secretsmanager:GetSecretValue",
    "DecryptionFailure": "this role may not use its KMS key: allow kms:Decrypt",
}


class AwsSecrets:
    """`secret://prod/db#password` is the field `password` of the secret `prod/db`, a JSON object."""

    name = "aws"

    def __init__(self, region: str | None, endpoint_url: str | None, timeout_seconds: float) -> None:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=timeout_seconds,
            read_timeout=timeout_seconds,
            retries={"total_max_attempts": 3, "mode": "standard"},
        )
        try:
            self._client: Any = boto3.client(
                "secretsmanager", region_name=region, endpoint_url=endpoint_url, config=config
            )
        except Exception as error:
            raise SecretUnavailable(f"AWS cannot be used ({type(error).__name__}): set AWS_REGION") from None

    def read(self, path: str) -> Secret:
        """See SecretStore."""
        return self._get(path, "AWSCURRENT")

    def previous(self, path: str) -> Secret | None:
        """See SecretStore."""
        try:
            return self._get(path, "AWSPREVIOUS")
        except SecretUnavailable:
            return None

    def write(self, path: str, values: Mapping[str, str], expected: str) -> None:
        """See SecretStore."""
        if self.read(path).version != expected:
            raise SecretUnavailable("it was changed meanwhile: try again")
        text = values[""] if set(values) == {""} else json.dumps({k: v for k, v in values.items() if k})
        self._call(self._client.put_secret_value, SecretId=path, SecretString=text)

    def _get(self, path: str, stage: str) -> Secret:
        found = self._call(self._client.get_secret_value, SecretId=path, VersionStage=stage)
        if "SecretString" not in found:
            raise SecretUnavailable("it is binary; only text can be a setting")
        return Secret(fields_of(found["SecretString"]), found["VersionId"])

    def _call(self, action: Any, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = action(**arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            raise SecretUnavailable(ADVICE.get(code, f"AWS refused ({code})")) from None
        except BotoCoreError as error:
            raise SecretUnavailable(f"AWS did not answer ({type(error).__name__})") from None
        return answer
