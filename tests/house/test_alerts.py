"""Alarms and dashboard in config/: valid; each alarm goes off when it should, and has its line in the runbook."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml

from cxrnode.cli import app
from cxrnode.settings import Settings
from tests.house.rooms import ROOT
from tests.peers import program
from tests.prometheus import ALERTS, CONFIG, DASHBOARD, alerts, panels, shown

DAY = 86400
COLUMNS = 24
"""of Grafana's grid"""


class Case(NamedTuple):
    """Series that make an alarm go off, and such that do not; a value for every minute, in promtool's notation."""

    alert: str
    off: dict[str, str]
    quiet: dict[str, str]
    minutes: int = 60


FULL = {"cxrnode_disk_reserve_bytes": "1e9x600"}
CASES = [
    Case("Down", {'up{job="cxrnode-analysis"}': "1 0x59"}, {'up{job="cxrnode-analysis"}': "1x58 0"}),
    Case("LedgerAway", {'cxrnode_answers{what="ledger"}': "0x60"}, {'cxrnode_answers{what="broker"}': "0x60"}),
    Case("SpoolUnreadable", {'cxrnode_answers{what="spool"}': "0x60"}, {'cxrnode_answers{what="ledger"}': "0x60"}),
    Case("BrokerAway", {'cxrnode_answers{what="broker"}': "0x60"}, {'cxrnode_answers{what="broker"}': "1x60"}),
    Case(
        "DiskBelowReserve",
        FULL | {"cxrnode_disk_free_bytes": "9e8x600"},
        FULL | {"cxrnode_disk_free_bytes": "11e8x600"},
    ),
    Case("DiskFullSoon", FULL | {"cxrnode_disk_free_bytes": "19e8x600"}, FULL | {"cxrnode_disk_free_bytes": "5e9x600"}),
    Case(
        "DiskFullSoon",
        FULL | {"cxrnode_disk_free_bytes": "1e10-5e6x600"},
        FULL | {"cxrnode_disk_free_bytes": "1e12-5e6x600"},
        minutes=600,
    ),
    Case("DiskFilesShort", {"cxrnode_disk_free_files": "40000x60"}, {"cxrnode_disk_free_files": "60000x60"}),
    Case(
        "ImagesRefused",
        {
            'cxrnode_instances_total{calling_ae="A",status="A700"}': "0x50 1+1x9",
            'cxrnode_instances_total{calling_ae="A",status="0000"}': "5x60",
        },
        {  # one that was refused among others that were taken wakes nobody
            'cxrnode_instances_total{calling_ae="A",status="A700"}': "0x55 1 1 1 1 1",
            'cxrnode_instances_total{calling_ae="B",status="0000"}': "0+1x60",
        },
    ),
    Case(
        "InstancesNotTaken",
        {'cxrnode_instances_total{calling_ae="A",status="A700"}': "0x58 1 1"},
        {'cxrnode_instances_total{calling_ae="A",status="0000"}': "0+1x60"},
    ),
    Case(
        "AssociationsRefused",
        {'cxrnode_associations_refused_total{calling_ae="A",reason="called AE title"}': "0x58 1 1"},
        {'cxrnode_associations_refused_total{calling_ae="A",reason="called AE title"}': "0 1x59"},
    ),
    Case(
        "HandshakesRefused",
        {"cxrnode_handshakes_refused_total": "3x58 4 4"},
        {"cxrnode_handshakes_refused_total": "3x60"},
    ),
    Case(  # promtool's time begins at 0
        "SenderSilent",
        {'cxrnode_last_instance_timestamp_seconds{calling_ae="A"}': "-260000x60"},
        {
            'cxrnode_last_instance_timestamp_seconds{calling_ae="A"}': "-250000x60",
            'cxrnode_last_instance_timestamp_seconds{calling_ae="B"}': "0x60",
        },
    ),
    Case(  # a receiver that was started again since knows nothing of it
        "SenderSilent",
        {'cxrnode_last_instance_timestamp_seconds{calling_ae="A"}': "-260000x70 _x400"},
        {
            'cxrnode_last_instance_timestamp_seconds{calling_ae="A",instance="a"}': "-260000x70 _x400",
            'cxrnode_last_instance_timestamp_seconds{calling_ae="A",instance="b"}': "-1000x470",
        },
        minutes=470,
    ),
    Case(
        "StudiesWaitToBeRead",
        {'cxrnode_oldest_study_age_seconds{state="ready",lane="live"}': "0+60x60"},
        {
            'cxrnode_oldest_study_age_seconds{state="ready",lane="replay"}': "0+60x60",
            'cxrnode_oldest_study_age_seconds{state="analysed",lane="live"}': "0+60x60",
        },
    ),
    Case(
        "StudiesNeverComplete",
        {'cxrnode_oldest_study_age_seconds{state="arriving",lane="stat"}': "0+60x60"},
        {'cxrnode_oldest_study_age_seconds{state="arriving",lane="replay"}': "0+60x60"},
    ),
    Case(
        "ResultsWait",
        {'cxrnode_oldest_task_age_seconds{work="deliver",destination="pacs"}': "3000+60x60"},
        {'cxrnode_oldest_task_age_seconds{work="commit",destination="pacs"}': "3000+60x60"},
    ),
    Case(
        "DestinationAway",
        {'cxrnode_destination_away_seconds{destination="pacs"}': "0+60x60"},
        {'cxrnode_destination_away_seconds{destination="pacs"}': "0x50 0+60x9"},
    ),
    Case(
        "ResultsRefused",
        {'cxrnode_objects_sent_total{destination="pacs",fate="refused"}': "0x58 1 1"},
        {'cxrnode_objects_sent_total{destination="pacs",fate="accepted"}': "0+1x60"},
    ),
    Case(
        "ResultsRefused",
        {'cxrnode_deliveries_total{destination="pacs",end="given up"}': "0x58 1 1"},
        {'cxrnode_deliveries_total{destination="pacs",end="later"}': "0+1x60"},
    ),
    Case(  # long after the hour in which they were refused
        "ResultsRefused",
        {'cxrnode_account_instances{place="finished, not all delivered",outcome="negative"}': "3x300"},
        {'cxrnode_account_instances{place="finished, delivered",outcome="negative"}': "3x300"},
        minutes=300,
    ),
    Case(
        "NotCommitted",
        {'cxrnode_objects_not_committed_total{destination="pacs"}': "0x58 2 2"},
        {'cxrnode_objects_not_committed_total{destination="pacs"}': "2x60"},
    ),
    Case("AnalysesGivenUp", {"cxrnode_quarantined_analyses": "1x60"}, {"cxrnode_quarantined_analyses": "1x59 0"}),
    Case(
        "ManyFail",
        {
            'cxrnode_studies_analysed_total{model="m",outcome="failed"}': "0+1x60",
            'cxrnode_studies_analysed_total{model="m",outcome="negative"}': "0+2x60",
            'cxrnode_analyses_total{end="given up"}': "0x60",
        },
        {
            'cxrnode_studies_analysed_total{model="m",outcome="failed"}': "0+1x60",
            'cxrnode_studies_analysed_total{model="m",outcome="negative"}': "0+9x60",
            'cxrnode_analyses_total{end="given up"}': "0x60",
        },
    ),
    Case(  # a worker that raises: no result says failed
        "ManyFail",
        {
            'cxrnode_studies_analysed_total{model="m",outcome="failed"}': "0x60",
            'cxrnode_studies_analysed_total{model="m",outcome="negative"}': "0+2x60",
            'cxrnode_analyses_total{end="given up"}': "0+1x60",
        },
        {
            'cxrnode_studies_analysed_total{model="m",outcome="failed"}': "0x60",
            'cxrnode_studies_analysed_total{model="m",outcome="negative"}': "0+9x60",
            'cxrnode_analyses_total{end="given up"}': "0+1x60",
        },
    ),
    Case(
        "NothingIsRead",
        {'cxrnode_analyses_total{end="put back"}': "0x30 1+1x29", 'cxrnode_analyses_total{end="done"}': "7x60"},
        {'cxrnode_analyses_total{end="put back"}': "0x30 1+1x29", 'cxrnode_analyses_total{end="done"}': "7x55 8x4"},
    ),
    Case(
        "WorkersDie",
        {'cxrnode_leases_expired_total{work="analyse"}': "0x50 1 2 3 4 5 5 5 5 5 5"},
        {'cxrnode_leases_expired_total{work="analyse"}': "0x50 1 2 2 2 2 2 2 2 2 2"},
    ),
    Case("AccountWrong", {"cxrnode_account_balanced": "0x60"}, {"cxrnode_account_balanced": "1x55 0x4"}),
    Case(
        "CertificateEnds",
        {'cxrnode_certificate_end_timestamp_seconds{file="node.pem"}': f"{20 * DAY}x60"},
        {'cxrnode_certificate_end_timestamp_seconds{file="node.pem"}': f"{22 * DAY}x60"},
    ),
    Case(
        "RevocationListEnds",
        {'cxrnode_crl_end_timestamp_seconds{file="crl.pem"}': "14000x60"},
        {'cxrnode_crl_end_timestamp_seconds{file="crl.pem"}': "15000x60"},
    ),
    Case(
        "CertificateUnreadable",
        {'cxrnode_answers{what="certificates"}': "0x60"},
        {'cxrnode_answers{what="spool"}': "0x60"},
    ),
    Case("AuditWaits", {"cxrnode_audit_away_seconds": "3000+60x60"}, {"cxrnode_audit_away_seconds": "0+30x60"}),
    Case("AuditWaits", {'cxrnode_answers{what="audit"}': "0x60"}, {'cxrnode_answers{what="audit"}': "1x60"}),
    Case("CanaryLost", {"cxrnode_canary_lost": "1x60"}, {"cxrnode_canary_lost": "0x60"}),
    Case(
        "Drift",
        {'cxrnode_drift_level{model="m",aspect="view"}': "2x90"},
        {'cxrnode_drift_level{model="m",aspect="view"}': "1x90"},
        minutes=90,
    ),
    Case(
        "GpuMemoryShort",
        {"cxrnode_gpu_memory_free_bytes": "1e9x60", "cxrnode_gpu_memory_size_bytes": "8e10x60"},
        {"cxrnode_gpu_memory_free_bytes": "0x60", "cxrnode_gpu_memory_size_bytes": "0x60"},
    ),
]


def promtool(*arguments: str | Path) -> str:
    """What Prometheus's own tool says; it must be content."""
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_alarms_and_the_scrape_configuration_are_valid() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", ALERTS)
    promtool("check", "config", CONFIG)


def test_every_alarm_has_a_case() -> None:
    assert {one["alert"] for one in alerts()} == {f"Cxrnode{case.alert}" for case in CASES}


def test_each_alarm_goes_off_when_it_should_and_not_before(tmp_path: Path) -> None:
    """Red when a threshold, a sign or a label of an alarm is wrong; all of them in one call of promtool."""
    tests = [group(case, series, off) for case in CASES for series, off in ((case.off, 1), (case.quiet, 0))]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))

    promtool("test", "rules", file)


def group(case: Case, series: dict[str, str], off: int) -> dict[str, Any]:
    """One test of promtool: how many of this alarm are firing in the end."""
    firing = f'count(ALERTS{{alertname="Cxrnode{case.alert}",alertstate="firing"}}) or vector(0)'
    told = {"expr": firing, "eval_time": f"{case.minutes}m", "exp_samples": [{"labels": "{}", "value": off}]}
    given = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "name": case.alert, "input_series": given, "promql_expr_test": [told]}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alarm_has_its_line_in_the_runbook_with_the_command_that_it_names(alert: dict[str, Any]) -> None:
    """Red when an alarm is new, or its command another than README's."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {alert['alert']} \|.*$", readme, flags=re.MULTILINE)
    _, _, severity, means, command, then, _ = (cell.strip() for cell in line.split("|"))

    assert severity == ("page" if alert["labels"]["severity"] == "page" else "")
    assert means
    assert then
    assert command == f"`{alert['annotations']['command'].replace('{{ $labels.destination }}', 'NAME')}`"


def test_the_commands_of_the_runbook_are_commands() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group has them
    named = {
        one["annotations"]["command"].split()[1] for one in alerts() if one["annotations"]["command"][:8] == "cxrnode "
    }

    assert named <= known


def test_prometheus_is_told_of_the_ports_that_the_settings_have() -> None:
    jobs = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["scrape_configs"]
    metrics = Settings().metrics
    ports = (metrics.receiver_port, metrics.analysis_port, metrics.delivery_port)

    assert [one["static_configs"][0]["targets"] for one in jobs] == [[f"{metrics.host}:{port}"] for port in ports]


def test_the_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"shown:{number}", "expr": expression} for number, expression in enumerate(shown())]
    file = tmp_path / "shown.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))

    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """What its importer asks for: a title, a version of the schema, panels with ids and places of their own."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    (datasource,) = board["templating"]["list"]
    ids = [panel["id"] for panel in panels()]

    assert (board["title"], board["uid"], datasource["type"]) == ("cxrnode", "cxrnode", "datasource")
    assert isinstance(board["schemaVersion"], int)
    assert len(set(ids)) == len(ids)
    assert {panel["type"] for panel in panels()} == {"row", "stat", "timeseries"}
    used = [one["datasource"] for panel in panels() for one in panel.get("targets", [])]
    assert {(one["type"], one["uid"]) for one in used} == {("prometheus", f"${{{datasource['name']}}}")}
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and not panel["description"]] == []


def test_no_panel_lies_over_another_or_off_the_grid() -> None:
    places = [panel["gridPos"] for panel in panels()]

    assert [one for one in places if one["x"] < 0 or one["x"] + one["w"] > COLUMNS] == []
    assert [(one, other) for one, other in combinations(places, 2) if overlap(one, other)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two rectangles of the grid have a cell in common."""
    return all(
        one[at] < other[at] + other[long] and other[at] < one[at] + one[long] for at, long in (("x", "w"), ("y", "h"))
    )
