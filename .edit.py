def sub(p,*pairs):
    s=open(p).read()
    for a,b in pairs:
        assert a in s,(p,a)
        s=s.replace(a,b,1)
    open(p,'w').write(s)
sub('porter_ryu/check/peers.py',('''        source = local or transport.source_address(peer.address)
        try:
            hop = ip.way_to(peer.address, local)
        except IpError:
            source = None
        if source is None:
            what = f"there is no route to {peer.address}"
            mend = command("ip", "route", "get", str(peer.address))
            problems.append(Finding(f"{group} address", what, mend))
        else:
            found.append(Way(peer, source, hop))
''','''        mend = command("ip", "route", "get", str(peer.address))
        try:
            hop = ip.way_to(peer.address, local)
        except IpError as error:
            what = f"there is no route to {peer.address} ({error})"
            problems.append(Finding(f"{group} address", what, mend))
            continue
        source = local or transport.source_address(peer.address)
        if source is None:  # the kernel refuses it though it has a route
            what = f"{peer.address} is the address of no single host (a broadcast address?)"
            problems.append(Finding(f"{group} address", what, mend))
            continue
        found.append(Way(peer, source, hop))
'''))
sub('porter_ryu/check/api_server.py',('''    if error.reason in (BAD_ANSWER, _NO_STATUS):
        return f"correct the server in the kubeconfig: curl -k https://{shlex.quote(server)}/version"
''','''    version = f"curl -k https://{shlex.quote(server)}/version"
    if error.reason in (BAD_ANSWER, _NO_STATUS, "ConnectionLost", "TooLarge"):
        return f"correct the server in the kubeconfig: {version}"
'''),('''        "ConnectionRefused": f"curl -k https://{shlex.quote(server)}/livez; start the API server",
''','''        "ConnectionRefused": f"start the API server: {version}",
'''))
sub('tests/unit/test_check.py',('''    assert f"curl -k https://127.0.0.1:{server.port}/livez" in finding.mend
''','''    assert f"curl -k https://127.0.0.1:{server.port}/version" in finding.mend
'''))
sub('tests/functional/test_check.py',('''    assert scene.findings(peer__leaf={**LEAF, "address": "fd77::1"})[0] == (
        "[peer:leaf] address",
        "there is no route to fd77::1",
    )
''','''    ((where, what), *_) = scene.findings(peer__leaf={**LEAF, "address": "fd77::1"})
    assert where == "[peer:leaf] address"
    assert what.startswith("there is no route to fd77::1 (")
    assert scene.findings(peer__leaf={**LEAF, "address": "192.168.9.255"}) == [
        (
            "[peer:leaf] address",
            "192.168.9.255 is the address of no single host (a broadcast address?)",
        )
    ]
'''))
