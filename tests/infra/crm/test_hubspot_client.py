"""hubspot-api-client, HubSpot's own library, against the simulator."""

from typing import Any

import pytest
import requests
from hubspot import HubSpot
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.contacts import ApiException, BatchReadInputSimplePublicObjectId, PublicObjectSearchRequest
from hubspot.crm.objects.notes import SimplePublicObjectInputForCreate as NoteInput
from hubspot.crm.tickets import PublicObjectSearchRequest as TicketSearch
from hubspot.crm.tickets import SimplePublicObjectInput, SimplePublicObjectInputForCreate

from tests.support.crm import RunningSuite


@pytest.fixture
def hubspot(crm: RunningSuite) -> HubSpot:
    token = crm.suite.credentials["hubspot"]["access_token"]
    # Searches are limited to five a second; tests of the limit set it themselves.
    crm.control("hubspot", "limits", {"search": {"requests": 1000, "seconds": 1}})
    return HubSpot(access_token=token, host=crm.urls["hubspot"])


def raw(crm: RunningSuite, method: str, path: str, **given: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {crm.suite.credentials['hubspot']['access_token']}"}
    return requests.request(method, crm.urls["hubspot"] + path, headers=headers, timeout=10, **given)


def test_lists_page_by_after_until_the_end(hubspot: HubSpot) -> None:
    everybody = hubspot.crm.contacts.get_all(properties=["email", "company"])
    ids = [contact.id for contact in everybody]
    assert len(ids) == len(set(ids)) > 350
    page = hubspot.crm.contacts.basic_api.get_page(limit=2)
    assert page.paging._next.after == ids[2] and "firstname" in page.results[0].properties


def test_a_contact_is_read_by_id_and_by_email(hubspot: HubSpot) -> None:
    page = hubspot.crm.contacts.basic_api.get_page(limit=50, associations=["tickets", "companies"])
    contact = next(contact for contact in page.results if contact.properties["email"])
    assert contact.associations["companies"].results[0].type == "contact_to_company"
    email = contact.properties["email"].upper()
    assert hubspot.crm.contacts.basic_api.get_by_id(email, id_property="email").id == contact.id
    with pytest.raises(ApiException) as caught:
        hubspot.crm.contacts.basic_api.get_by_id("99999999")
    assert caught.value.status == 404 and "OBJECT_NOT_FOUND" in caught.value.body


def test_batch_read_answers_207_with_what_is_missing(crm: RunningSuite, hubspot: HubSpot) -> None:
    first = hubspot.crm.contacts.basic_api.get_page(limit=1).results[0]
    inputs = {"inputs": [{"id": first.id}, {"id": "1"}], "properties": ["email"], "propertiesWithHistory": []}
    read = hubspot.crm.contacts.batch_api.read(BatchReadInputSimplePublicObjectId(**_snake(inputs)))
    assert [contact.id for contact in read.results] == [first.id]
    assert read.num_errors == 1 and read.errors[0].context["ids"] == ["1"]
    assert raw(crm, "POST", "/crm/v3/objects/contacts/batch/read", json=inputs).status_code == 207


def _snake(inputs: dict[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in inputs.items() if k != "propertiesWithHistory"}, "properties_with_history": []}


def test_searches_filter_sort_and_page(hubspot: HubSpot) -> None:
    company = {"propertyName": "company", "operator": "CONTAINS_TOKEN", "value": "basalt"}
    has = {"propertyName": "email", "operator": "HAS_PROPERTY"}
    request = PublicObjectSearchRequest(filter_groups=[{"filters": [company, has]}], limit=1, properties=["company"])
    found = hubspot.crm.contacts.search_api.do_search(request)
    assert found.total >= 1 and found.results[0].properties["company"] == "Basalt Data Centres"
    stage = {"propertyName": "hs_pipeline_stage", "operator": "IN", "values": ["1", "2", "3"]}
    since = {"propertyName": "createdate", "operator": "GTE", "value": "1767225600000"}
    newest = [{"propertyName": "createdate", "direction": "DESCENDING"}]
    ticket = TicketSearch(filter_groups=[{"filters": [stage, since]}], sorts=newest, limit=5, properties=["createdate"])
    first = hubspot.crm.tickets.search_api.do_search(ticket)
    dates = [str(result.properties["createdate"]) for result in first.results]
    assert len(dates) == 5 and dates == sorted(dates, reverse=True) and dates[-1] > "2026-01-01"
    ticket.after = first.paging._next.after
    second = hubspot.crm.tickets.search_api.do_search(ticket)
    assert not {result.id for result in first.results} & {result.id for result in second.results}


def test_tickets_of_a_contact_by_search_and_by_association(hubspot: HubSpot) -> None:
    ticket = hubspot.crm.tickets.basic_api.get_page(limit=1).results[0]
    joined = hubspot.crm.associations.v4.basic_api.get_page("tickets", ticket.id, "contacts").results[0]
    assert joined.association_types[0].type_id == 16
    contact = str(joined.to_object_id)
    filters = [{"propertyName": "associations.contact", "operator": "EQ", "value": contact}]
    found = hubspot.crm.tickets.search_api.do_search(TicketSearch(filter_groups=[{"filters": filters}], limit=200))
    inputs = BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": contact}])
    batch = hubspot.crm.associations.v4.batch_api.get_page("contacts", "tickets", inputs)
    ids = {str(to.to_object_id) for to in batch.results[0].to}
    assert ticket.id in ids and {result.id for result in found.results} == ids


def test_tickets_are_written_and_notes_stand_below_them(hubspot: HubSpot) -> None:
    api = hubspot.crm.tickets.basic_api
    contact = hubspot.crm.contacts.basic_api.get_page(limit=1).results[0].id
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 16}]
    properties = {"subject": "New one", "content": "Text", "hs_pipeline": "0", "hs_pipeline_stage": "1"}
    joins = [{"to": {"id": contact}, "types": types}]
    made = api.create(SimplePublicObjectInputForCreate(properties=properties, associations=joins))
    changed = api.update(made.id, SimplePublicObjectInput(properties={"hs_pipeline_stage": "4"}))
    assert changed.properties["hs_pipeline_stage"] == "4"
    below = [{"to": {"id": made.id}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 228}]}]
    note = {"hs_note_body": "Called back", "hs_timestamp": "2026-10-20T08:00:00Z"}
    hubspot.crm.objects.notes.basic_api.create(NoteInput(properties=note, associations=below))
    assert len(hubspot.crm.associations.v4.basic_api.get_page("tickets", made.id, "notes").results) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("tickets", {"properties": {"subject": "x"}}, 400, "hs_pipeline_stage is required"),
        ("tickets", {"properties": {"shoe": "x"}}, 400, "PROPERTY_DOESNT_EXIST"),
        ("tickets/search", {"limit": 201}, 400, "limit must be between"),
        ("tickets/search", {"limit": 200, "after": "9900"}, 400, "cannot exceed 10000"),
        ("tickets/search", {"filterGroups": [{"filters": []}] * 6}, 400, "Too many filters"),
        ("shoes/search", {}, 400, "Unable to infer object type"),
    ],
)
def test_wrong_requests_are_told_as_there(crm: RunningSuite, path: str, body: Any, status: int, said: str) -> None:
    answer = raw(crm, "POST", f"/crm/v3/objects/{path}", json=body)
    assert answer.status_code == status and said in answer.json()["message"]
    assert answer.json()["category"] == "VALIDATION_ERROR" and len(answer.json()["correlationId"]) == 36


def test_an_email_belongs_to_one_contact(crm: RunningSuite, hubspot: HubSpot) -> None:
    page = hubspot.crm.contacts.basic_api.get_page(limit=50).results
    contact = next(contact for contact in page if contact.properties["email"])
    answer = raw(crm, "POST", "/crm/v3/objects/contacts", json={"properties": {"email": contact.properties["email"]}})
    assert answer.status_code == 409 and contact.id in answer.json()["message"]


def test_a_unique_property_belongs_to_one_ticket_by_which_it_is_read(crm: RunningSuite, hubspot: HubSpot) -> None:
    api, properties = hubspot.crm.tickets.basic_api, {"hs_pipeline_stage": "1", "external_reference": "first"}
    made = api.create(SimplePublicObjectInputForCreate(properties=properties, associations=[]))
    assert api.get_by_id("first", id_property="external_reference").id == made.id
    answer = raw(crm, "POST", "/crm/v3/objects/tickets", json={"properties": properties})
    assert answer.status_code == 400 and "CONFLICTING_UNIQUE_VALUE" in answer.json()["message"]


def test_a_search_may_see_what_is_new_only_later(crm: RunningSuite, hubspot: HubSpot) -> None:
    properties = {"hs_pipeline_stage": "1", "external_reference": "second"}
    hubspot.crm.tickets.basic_api.create(SimplePublicObjectInputForCreate(properties=properties, associations=[]))
    mine = [{"filters": [{"propertyName": "external_reference", "operator": "EQ", "value": "second"}]}]
    search = hubspot.crm.tickets.search_api.do_search
    assert search(TicketSearch(filter_groups=mine)).total == 1
    crm.control("hubspot", "faults", [{"kind": "late_search", "seconds": 600}])
    assert search(TicketSearch(filter_groups=mine)).total == 0


def test_limits_are_told_in_headers_and_by_429(crm: RunningSuite) -> None:
    crm.control(
        "hubspot", "limits", {"search": {"requests": 5, "seconds": 60}, "rolling": {"requests": 3, "seconds": 60}}
    )
    answers = [raw(crm, "POST", "/crm/v3/objects/contacts/search", json={}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["errorType"] == "RATE_LIMIT" and answers[-1].json()["policyName"] == "SECONDLY"
    assert not any("X-HubSpot-RateLimit-Max" in answer.headers for answer in answers)
    listed = [raw(crm, "GET", "/crm/v3/objects/contacts") for _ in range(4)]
    assert [answer.headers["X-HubSpot-RateLimit-Remaining"] for answer in listed] == ["2", "1", "0", "0"]
    assert listed[-1].status_code == 429 and listed[-1].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    crm.control(
        "hubspot", "limits", {"search": {"requests": 5, "seconds": 1}, "rolling": {"requests": 190, "seconds": 10}}
    )


def test_without_a_token_nothing_is_said(crm: RunningSuite) -> None:
    answer = requests.get(f"{crm.urls['hubspot']}/crm/v3/objects/contacts", timeout=10)
    assert answer.status_code == 401 and answer.json()["category"] == "INVALID_AUTHENTICATION"
