"""Policies and limits as plain data: what a form means, and which forms mean nothing."""

from __future__ import annotations

import pytest

from ebbtide.abi import Status
from ebbtide.policy import Limits, Rule, Rules, asked_kinds, limits_from, policy_from
from ebbtide.port import Report


def answers(form, kind="clone", requests=5) -> list[str | None]:
    policy = policy_from(form)
    reports = [Report(Status.CLONE_SPAWN, detail=number) for number in range(1, requests + 1)]
    return [getattr(policy, kind)(report) for report in reports]


def test_rules_refuse_by_the_number_of_the_request() -> None:
    no = "EAGAIN"
    assert answers({"clone": "admit"}) == [None] * 5
    assert answers({"clone": no}) == [no] * 5
    assert answers({"clone": {"error": no, "after": 2}}) == [None, None, no, no, no]
    assert answers({"clone": {"error": no, "times": 2}}) == [no, no, None, None, None]
    assert answers({"clone": {"error": no, "after": 3, "times": 1}}) == [None] * 3 + [no, None]
    assert answers({"clone": no}, "exec") == [None] * 5


def test_only_what_is_named_is_asked_about() -> None:
    assert asked_kinds(policy_from(None)) == (False, False)
    assert asked_kinds(policy_from({})) == (False, False)
    assert asked_kinds(policy_from({"exec": "admit"})) == (False, True)
    assert asked_kinds(policy_from({"clone": "EPERM", "exec": "admit"})) == (True, True)

    class Own:
        pass

    own = Own()
    assert policy_from(own) is own and asked_kinds(own) == (True, True)


def test_limits_are_plain_data_too() -> None:
    assert limits_from(None) == limits_from({}) == Limits()
    assert limits_from({"pids": 7}) == Limits(pids=7)
    assert limits_from({"disk": "1M", "max_output": "2k"}) == Limits(disk=1 << 20, max_output=2048)
    assert limits_from(Limits(files=9)) == Limits(files=9)


@pytest.mark.parametrize(
    "form",
    [
        {"fork": "EAGAIN"},
        {"clone": "EWHAT"},
        {"clone": {"error": "EPERM", "before": 1}},
        {"clone": {"error": "EPERM", "after": -1}},
        {"clone": {"error": "EPERM", "times": "once"}},
    ],
)
def test_forms_that_mean_nothing(form):
    with pytest.raises(ValueError, match="policy"):
        policy_from(form, {"EAGAIN": 11, "EPERM": 1})


def test_rules_are_plain_and_stateless() -> None:
    assert policy_from({"exec": {"error": "EPERM", "times": 1}}) == Rules(None, Rule("EPERM", 0, 1))
