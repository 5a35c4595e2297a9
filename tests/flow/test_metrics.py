"""A real Prometheus watches a real node: what dashboard and alarms name is there, and a node that is well is silent."""

from collections.abc import Iterator

import pytest
from pydicom import Dataset

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo
from cxrnode.errors import PeerUnavailable
from tests.builders import make_cxr
from tests.fakes import FakePacs
from tests.figures import Figures, figure, scraped
from tests.nodes import RunningNode, running_node, saved
from tests.prometheus import Prometheus, alerts, named, running_prometheus, shown

JOBS = {"receiver_port": "cxrnode-receiver", "analysis_port": "cxrnode-analysis", "delivery_port": "cxrnode-delivery"}
SECRETS = ("Zzsynthetic", "ZZ-PID-0001", "ACC-77001", "20220101")
NEEDS_TLS = {"cxrnode_certificate_end_timestamp_seconds", "cxrnode_crl_end_timestamp_seconds"}
DELIVERED = 'cxrnode_account_instances{place="finished, delivered"}'
SENDERS = [{"ae_title": "MODALITY", "addresses": ["127.0.0.1"]}]
Watched = tuple[RunningNode, Prometheus, dict[str, Figures], Dataset]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A node through which a study went, what its ports told then, and a Prometheus that has it."""
    folder, film = tmp_path_factory.mktemp("watched"), make_cxr()
    ports = dict(zip(JOBS, free_ports(3), strict=True))
    with (
        FakePacs().listening() as pacs,
        running_node(folder, pacs.destination(), metrics=dict(ports), receiving={"senders": SENDERS}) as node,
        running_prometheus(folder, {JOBS[name]: port for name, port in ports.items()}) as prometheus,
    ):
        prometheus.wait_until(lambda: len(prometheus.values('cxrnode_deliveries_total{end="done"} == 0')) == 1)
        node.push(saved(film, folder / "film.dcm"))
        node.wait_until_finished(1)
        prometheus.wait_until(lambda: len(prometheus.values('cxrnode_deliveries_total{end="done"} == 1')) == 1)
        prometheus.wait_until(lambda: bool(prometheus.values("cxrnode_drift_level")))  # asked for now and then
        prometheus.wait_until(lambda: bool(prometheus.values(DELIVERED)))  # likewise
        told = {name: scraped(port) for name, port in ports.items()}
        yield node, prometheus, told, film


def test_every_figure_that_dashboard_and_alarms_name_is_exported_by_a_real_node(watched: Watched) -> None:
    """Red when a name is misspelt in either, or no longer counted."""
    _, prometheus, _, _ = watched
    wanted = {name for expression in (*shown(), *(one["expr"] for one in alerts())) for name in named(expression)}
    exported = set(prometheus.ask("label/__name__/values"))

    assert wanted - exported == NEEDS_TLS  # this node shows no certificate


def test_every_expression_of_the_dashboard_can_be_evaluated(watched: Watched) -> None:
    _, prometheus, _, _ = watched
    empty = [expression for expression in shown() if not prometheus.values(expression)]

    told = [one for one in empty if not (named(one) & NEEDS_TLS or one.endswith("> 0") or '{status!="0000"}' in one)]
    assert [one for one in told if "outcome!~" not in one] == []  # where nothing waits and nothing went wrong


def test_nothing_is_alarmed_by_a_node_that_is_well(watched: Watched) -> None:
    _, prometheus, _, _ = watched

    assert {one["alert"]: found for one in alerts() if (found := prometheus.values(one["expr"]))} == {}


def test_the_figures_are_those_of_the_study(watched: Watched) -> None:
    node, _, told, _ = watched
    receiver, analysis, delivery = (told[name] for name in JOBS)
    (line,) = node.status()["rounds"]

    assert figure(receiver, "instances_total", calling_ae="MODALITY", status="0000") == 1
    assert figure(receiver, "account_instances", place="finished, delivered", outcome=line["outcome"]) == 1
    assert {figure(receiver, "answers", what=what) for what in ("ledger", "broker", "spool", "audit")} == {1}
    assert figure(analysis, "studies_analysed_total", model=line["model"], outcome=line["outcome"]) == 1
    assert figure(analysis, "probability_sum", model=line["model"]) == pytest.approx(line["probability"])
    read_s = figure(analysis, "analysis_stage_seconds_sum", stage="read")
    assert read_s == pytest.approx(line["stages_ms"]["read"] / 1000)
    assert figure(delivery, "objects_sent_total", destination="fake", fate="accepted") == 2
    assert figure(delivery, "delivered_seconds_count", destination="fake") == 1


def test_no_label_holds_anything_out_of_the_data_set(watched: Watched) -> None:
    _, _, told, film = watched
    uids = [str(film[name].value) for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    labels = {value for figures in told.values() for _, pairs in figures for _, value in pairs}

    assert [value for value in labels for secret in (*SECRETS, *uids) if secret.lower() in value.lower()] == []


def test_a_refused_association_is_alarmed_without_the_strangers_name(watched: Watched) -> None:
    """Last, as the node is not well after it."""
    node, prometheus, _, _ = watched

    with pytest.raises(PeerUnavailable):
        echo(node.receiver, "ZZSTRANGER")

    firing = 'ALERTS{alertname="CxrnodeAssociationsRefused",alertstate="firing"}'
    prometheus.wait_until(lambda: bool(prometheus.values(firing)))
    ((labels, _),) = prometheus.values(firing).items()
    assert dict(labels)["calling_ae"] == "not admitted"
