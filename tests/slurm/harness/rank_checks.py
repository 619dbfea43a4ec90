"""Checks of the variables that ranks find, shared by tests of several ways to start them."""


def assert_places(ranks, hosts, nodes=None, same=()):
    """Check the variables of all ranks against the host of each rank, and the order of the job's nodes.

    The variables that `same` names are equal on all ranks, beside those of the meeting.
    """
    assert [rank["node"] for rank in ranks] == hosts
    assert [rank["RANK"] for rank in ranks] == [str(number) for number in range(len(hosts))]
    assert {rank["WORLD_SIZE"] for rank in ranks} == {str(len(hosts))}
    used = [node for node in nodes or dict.fromkeys(hosts) if node in hosts]
    for number, (host, rank) in enumerate(zip(hosts, ranks, strict=True)):
        assert rank["LOCAL_RANK"] == str(hosts[:number].count(host))
        assert rank["LOCAL_WORLD_SIZE"] == str(hosts.count(host))
        assert rank["GROUP_RANK"] == str(used.index(host))
    for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", *same):
        assert len({rank[name] for rank in ranks}) == 1


def assert_network(cluster, ranks, first):
    """Check that the ranks use the network of the nodes, and the address of the node `first`."""
    address = cluster.run(["getent", "hosts", first], check=True).stdout.split()[0]
    assert {rank["MASTER_ADDR"] for rank in ranks} == {address}
    assert {rank["GLOO_SOCKET_IFNAME"] for rank in ranks} == {"eth0"}
    assert {rank["TP_SOCKET_IFNAME"] for rank in ranks} == {"eth0"}
    assert {rank["NCCL_SOCKET_IFNAME"] for rank in ranks} == {"=eth0"}
