"""The bucket: what travels, what is left of an upload that was cut off, what the errors say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mainstay.core.secret import Secret
from mainstay.ports.clock import SystemClock
from mainstay.ports.objects import StorageError
from mainstay.ports.objects import s3 as s3_module
from mainstay.ports.objects.base import chunked
from mainstay.ports.objects.s3 import S3
from mainstay.ports.objects.uploads import Account, signed
from tests.servers.faults import FaultProxy
from tests.servers.s3 import Bucket

MIB = 1 << 20


def storage(bucket: Bucket, endpoint: str | None = None, **options: Any) -> S3:
    return S3(
        bucket=options.pop("name", bucket.name),
        endpoint=endpoint or bucket.endpoint,
        access_key=Secret("key", "testing"),
        secret_key=Secret("secret", "testing-secret"),
        **options,
    )


def client(bucket: Bucket) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=bucket.endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )


async def test_the_prefix_is_a_folder_in_the_bucket(bucket: Bucket) -> None:
    ours = storage(bucket, prefix="a/b/")
    await ours.put("x/y", chunked(b"data"))
    assert bucket.keys() == ["a/b/x/y"]
    assert bucket.get("a/b/x/y") == b"data"


async def test_an_upload_that_fails_is_aborted(bucket: Bucket) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        await storage(bucket).put("object", failing())
    assert (bucket.keys(), bucket.uploads()) == ([], [])


async def test_uploads_of_the_dead_are_swept_and_only_ours(bucket: Bucket) -> None:
    s3 = client(bucket)
    for key in ("ours/shop/a b+c", "ours/other/x", "ours-too/x", "theirs"):
        s3.create_multipart_upload(Bucket=bucket.name, Key=key)
    ours = storage(bucket, prefix="ours")
    assert await ours.sweep(0.0) == 0  # none is older than the year 1970
    assert await ours.sweep(SystemClock().now(), "shop", age=0) == 1
    assert await ours.sweep(SystemClock().now()) == 1
    assert bucket.uploads() == ["ours-too/x", "theirs"]


async def test_without_keys_nothing_is_swept(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    bare = S3(bucket=bucket.name, endpoint=bucket.endpoint)
    assert await bare.sweep(SystemClock().now()) == 0
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client(bucket).create_multipart_upload(Bucket=bucket.name, Key="left")
    assert await bare.sweep(SystemClock().now()) == 1
    await bare.put("object", chunked(b"with the environment's keys"))
    assert bucket.keys() == ["object"]


@pytest.mark.parametrize("query", [{"uploads": "", "prefix": "a b/ü+c"}, {"uploadId": "x=/?y"}])
@pytest.mark.parametrize("token", [None, "session-token"])
def test_requests_are_signed_as_amazon_wants(query: dict[str, str], token: str | None) -> None:
    account = Account("acme", "https://s3.example.com", "sgp1", "AKEXAMPLE", "secret/key+", token)
    at = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
    url, headers = signed(account, "GET", account.path("a b/ü+c"), query, at)
    request = AWSRequest("GET", url.split("?")[0], params=query)
    request.context["timestamp"] = "20260301T123045Z"
    request.context["payload_signing_enabled"] = True
    auth = S3SigV4Auth(Credentials("AKEXAMPLE", "secret/key+", token), "s3", "sgp1")
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    request.headers["X-Amz-Date"] = "20260301T123045Z"
    if token:
        request.headers["X-Amz-Security-Token"] = token
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert headers["Authorization"].endswith(f"Signature={auth.signature(text, request)}")


async def test_a_missing_bucket_is_named(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match="there is no bucket nowhere-at-all") as told:
        await storage(bucket, name="nowhere-at-all").check()
    assert "create the bucket" in str(told.value)


async def test_a_dead_service_is_told(
    bucket: Bucket, fault_proxy: Callable[[int], FaultProxy], quick: None
) -> None:
    proxy = fault_proxy(bucket.server.port)
    proxy.refuse()
    with pytest.raises(StorageError, match=r"bucket .* at 127") as told:
        await storage(bucket, f"http://127.0.0.1:{proxy.port}").check()
    assert "hint:" in str(told.value)
    assert "testing-secret" not in str(told.value)
    assert "retries" not in told.value.what  # nobody needs to know how often it was tried, and in whose words
    with pytest.raises(StorageError, match=r"cannot connect to http://127\.0\.0\.1:\d+: Connection refused"):
        await storage(bucket, f"http://127.0.0.1:{proxy.port}").sweep(0.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer retries, so that a service that stays dead is given up soon."""
    monkeypatch.setattr(s3_module, "RETRIES", 1)


async def test_a_connection_that_breaks_is_tried_again(
    bucket: Bucket, fault_proxy: Callable[[int], FaultProxy]
) -> None:
    proxy = fault_proxy(bucket.server.port)
    ours = storage(bucket, f"http://127.0.0.1:{proxy.port}")
    data = bytes(range(256)) * 4 * 1024 * 40
    broken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal broken
        for start in range(0, len(data), MIB):
            yield data[start : start + MIB]
            if start % (10 * MIB) == 0:
                proxy.reset()
                broken += 1
                await asyncio.sleep(0)

    stored = await ours.put("object", chunks())
    assert broken > 2
    assert bucket.get("object") == data
    assert stored.bytes == len(data)


async def test_a_large_object_gets_larger_parts(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "MOST_PARTS", 8)
    data = bytes(MIB) * 70
    await storage(bucket).put("object", chunked(data), expect=len(data) // 3)  # which was too low
    head = client(bucket).head_object(Bucket=bucket.name, Key="object")
    assert head["ETag"].endswith('-6"')


async def test_a_service_that_stays_away_in_mid_part_leaves_nothing_visible(
    bucket: Bucket, fault_proxy: Callable[[int], FaultProxy], quick: None
) -> None:
    proxy = fault_proxy(bucket.server.port)
    ours = storage(bucket, f"http://127.0.0.1:{proxy.port}")
    proxy.cut_after(20 * MIB)
    with pytest.raises(StorageError, match=r"bucket .* at 127") as told:
        await ours.put("object", chunked(bytes(40 * MIB)))
    assert "testing-secret" not in str(told.value)
    assert bucket.keys() == []
    proxy.heal()
    left = len(bucket.uploads())
    assert await ours.sweep(SystemClock().now(), age=0) == left
    assert bucket.uploads() == []
