"""simple-salesforce, the common client library, against the simulator."""

import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_soql

from infra.crm.salesforce.auth import JWT_BEARER
from tests.support.crm import PlainHttp, RunningSuite


def token_answer(crm: RunningSuite, **form: Any) -> requests.Response:
    return requests.post(f"{crm.urls['salesforce']}/services/oauth2/token", data=form, timeout=10)


def assertion(crm: RunningSuite, **changed: Any) -> str:
    known = crm.suite.credentials["salesforce"]
    claims = {"iss": known["client_id"], "sub": known["username"], "aud": "https://login.salesforce.com"}
    key = RSAKey.import_key(crm.suite.private_key)
    return jwt.encode({"alg": "RS256"}, {**claims, "exp": int(time.time()) + 120, **changed}, key)


@pytest.fixture
def salesforce(crm: RunningSuite) -> Any:
    known = crm.suite.credentials["salesforce"]
    form = {"client_id": known["client_id"], "client_secret": known["client_secret"]}
    granted = token_answer(crm, grant_type="client_credentials", **form).json()
    session = requests.Session()
    session.mount("https://", PlainHttp())
    host = urlsplit(granted["instance_url"]).netloc
    return Salesforce(instance=host, session_id=granted["access_token"], session=session, version="66.0")


def test_a_jwt_signed_with_the_key_gives_a_token_and_nothing_else_does(crm: RunningSuite) -> None:
    good = token_answer(crm, grant_type=JWT_BEARER, assertion=assertion(crm))
    assert good.status_code == 200 and good.json()["token_type"] == "Bearer"
    foreign = RSAKey.generate_key(2048)
    forged = jwt.encode({"alg": "RS256"}, {"sub": "x"}, foreign)
    for text, problem in (
        (forged, "invalid assertion"),
        (assertion(crm, aud="https://elsewhere.example"), "audience is invalid"),
        (assertion(crm, exp=int(time.time()) - 5), "expired"),
        (assertion(crm, exp=int(time.time()) + 3600), "expired"),
        (assertion(crm, sub="somebody"), "approved"),
    ):
        answer = token_answer(crm, grant_type=JWT_BEARER, assertion=text)
        assert answer.status_code == 400 and problem in answer.json()["error_description"]
    wrong = token_answer(crm, grant_type="client_credentials", client_id="x", client_secret="y")
    assert wrong.status_code == 400 and wrong.json()["error"] == "invalid_client_id"


def test_queries_page_through_next_records_url(salesforce: Any) -> None:
    first = salesforce.query("SELECT Id, CaseNumber, Account.Name FROM Case", headers={})
    assert first["totalSize"] > 1000
    small = {"Sforce-Query-Options": "batchSize=200"}
    page = salesforce.query("SELECT Id FROM Case ORDER BY CreatedDate DESC", headers=small)
    ids = [record["Id"] for record in page["records"]]
    assert len(ids) == 200 and not page["done"]
    while not page["done"]:
        page = salesforce.query_more(page["nextRecordsUrl"], identifier_is_url=True, headers=small)
        ids += [record["Id"] for record in page["records"]]
    assert len(ids) == len(set(ids)) == first["totalSize"]
    everything = salesforce.query_all("SELECT Id FROM Case")
    assert len(everything["records"]) == first["totalSize"]


def test_conditions_relationships_and_quotes(salesforce: Any) -> None:
    saskia = salesforce.query("SELECT Id, Name, Account.Name FROM Contact WHERE Account.Name LIKE 'basalt%' LIMIT 1")
    assert saskia["records"][0]["Account"]["Name"] == "Basalt Data Centres"
    irish = salesforce.query(format_soql("SELECT Id, LastName FROM Contact WHERE LastName LIKE '{:like}%'", "O'"))
    assert irish["totalSize"] > 0 and all("'" in record["LastName"] for record in irish["records"])
    hostile = "x' OR Name != '"
    assert salesforce.query(format_soql("SELECT Id FROM Contact WHERE LastName = {}", hostile))["totalSize"] == 0
    some = salesforce.query(
        "SELECT Status, CreatedDate, Contact.Email FROM Case WHERE (Status IN ('New', 'Working') OR Priority = 'High') "
        "AND CreatedDate > 2026-01-01T00:00:00Z AND NOT Subject LIKE '%gateway%' "
        "ORDER BY CreatedDate DESC NULLS LAST LIMIT 20"
    )
    dates = [record["CreatedDate"] for record in some["records"]]
    assert len(dates) == 20 and dates == sorted(dates, reverse=True)
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] > 100


@pytest.mark.parametrize(
    ("soql", "code", "shown"),
    [
        ("SELECT Id FRM Contact", "MALFORMED_QUERY", "unexpected token: 'FRM'"),
        ("SELECT Id FROM Contact WHERE Name = 'x", "MALFORMED_QUERY", "Column:37"),
        ("SELECT Id FROM Case WHERE Status = 'a' OR Status = 'b' AND Priority = 'c'", "MALFORMED_QUERY", "'AND'"),
        (r"SELECT Id FROM Contact WHERE Name = '\x'", "MALFORMED_QUERY", "Illegal character sequence"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD", "No such column 'Nope' on entity 'Contact'"),
        ("SELECT Id FROM Kontakt", "INVALID_TYPE", "sObject type 'Kontakt' is not supported"),
        ("SELECT Id FROM Case WHERE Description LIKE '%x%'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Case WHERE ContactId = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
    ],
)
def test_wrong_queries_are_told_as_there(salesforce: Any, soql: str, code: str, shown: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        salesforce.query(soql)
    assert code in str(caught.value) and shown in str(caught.value.content)


def test_rows_are_created_changed_upserted_and_deleted(salesforce: Any) -> None:
    contact = salesforce.query("SELECT Id, AccountId FROM Contact LIMIT 1")["records"][0]
    made = salesforce.Case.create({"Subject": "New one", "ContactId": contact["Id"]})
    assert made["success"] and len(made["id"]) == 18
    assert salesforce.Case.get(made["id"][:15])["Status"] == "New"
    assert salesforce.Case.update(made["id"], {"Status": "Closed"}) == 204
    assert salesforce.Case.get(made["id"])["IsClosed"] is True
    assert salesforce.CaseComment.create({"ParentId": made["id"], "CommentBody": "hello"})["success"]
    assert salesforce.Case.upsert("External_Id__c/test:1", {"Subject": "first"}) == 201
    assert salesforce.Case.upsert("External_Id__c/test:1", {"Subject": "second"}) == 200
    assert salesforce.Case.get_by_custom_id("External_Id__c", "test:1")["Subject"] == "second"
    assert salesforce.Case.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        salesforce.Case.get(made["id"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"FirstName": "x"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "x", "Shoe__c": 42}, "INVALID_FIELD"),
        ({"LastName": "x", "CreatedDate": "2026-01-01"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "x", "Email": "nobody"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG"),
        ({"LastName": "x", "AccountId": "7"}, "MALFORMED_ID"),
    ],
)
def test_wrong_rows_are_told_as_there(salesforce: Any, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        salesforce.Contact.create(fields)
    assert code in str(caught.value.content)


def test_searches_look_into_long_text_and_phone_numbers(salesforce: Any) -> None:
    found = salesforce.search(
        "FIND {condensation} IN ALL FIELDS RETURNING Case(Id, Subject ORDER BY CreatedDate DESC LIMIT 3)"
    )
    assert [record["attributes"]["type"] for record in found["searchRecords"]] == ["Case"] * 3
    contact = salesforce.query("SELECT Id, Phone FROM Contact WHERE Phone LIKE '+44%' LIMIT 1")["records"][0]
    phone = salesforce.search(f"FIND {{{contact['Phone'][1:]}}} IN PHONE FIELDS RETURNING Contact(Id)")
    assert contact["Id"] in [record["Id"] for record in phone["searchRecords"]]
    given = {"q": "basalt", "sobjects": [{"name": "Account", "fields": ["Name"], "limit": 1}]}
    assert salesforce.restful("parameterizedSearch/", method="POST", json=given)["searchRecords"][0]["Name"].startswith(
        "Basalt"
    )
    with pytest.raises(SalesforceMalformedRequest, match="MALFORMED_SEARCH"):
        salesforce.search("FIND {x} RETURNING Case(Id)")


def test_composite_refers_to_earlier_results_and_rolls_back(salesforce: Any) -> None:
    base = "/services/data/v66.0"
    create = {"method": "POST", "url": f"{base}/sobjects/Case", "referenceId": "made", "body": {"Subject": "Composed"}}
    comment = {"ParentId": "@{made.id}", "CommentBody": "below it"}
    add = {"method": "POST", "url": f"{base}/sobjects/CaseComment", "referenceId": "said", "body": comment}
    done = salesforce.restful("composite", method="POST", json={"compositeRequest": [create, add]})
    assert [part["httpStatusCode"] for part in done["compositeResponse"]] == [201, 201]
    before = salesforce.query("SELECT COUNT() FROM Case")["totalSize"]
    bad = {**add, "body": {"CommentBody": "no parent"}}
    failed = salesforce.restful("composite", method="POST", json={"allOrNone": True, "compositeRequest": [create, bad]})
    codes = [part["body"][0]["errorCode"] for part in failed["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert salesforce.query("SELECT COUNT() FROM Case")["totalSize"] == before


def test_usage_is_told_and_ends(crm: RunningSuite, salesforce: Any) -> None:
    salesforce.query("SELECT Id FROM Account LIMIT 1")
    usage = salesforce.api_usage["api-usage"]
    assert usage.total == 100_000 and usage.used >= 1
    crm.control("salesforce", "limits", {"daily": {"requests": 0, "seconds": 86_400}})
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        salesforce.query("SELECT Id FROM Account LIMIT 1")
    crm.control("salesforce", "limits", {"daily": {"requests": 100_000, "seconds": 86_400}})


def test_an_ended_session_is_refused(crm: RunningSuite, salesforce: Any) -> None:
    crm.control("salesforce", "faults", [{"kind": "expired_token", "count": 1}])
    for _ in range(2):
        with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
            salesforce.query("SELECT Id FROM Account LIMIT 1")
