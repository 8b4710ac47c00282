"""aioxmpp's own end-to-end tests, as its author wrote them, each with accounts that nobody used yet."""

import asyncio
import os
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")  # what its dependencies say of each other is not our matter

import aioxmpp
import aioxmpp.connector
import pytest
from aioxmpp.e2etest.provision import Quirk, StaticPasswordProvisioner

from story import arguments, ok, please

# More than the tests need.
GUESTS = 250

NO_PUBSUB = "a service for publishing (XEP-0060) apart from accounts is not there"

# Each test that is skipped, with the reason; a test that is skipped without one is a failure, and
# so is one that is not skipped any more.
SKIPPED = {
    "tests/adhoc/test_e2e.py::TestAdHocClient::test_ping": "no command `ping` (#no-adhoc-ping)",
    "tests/httpupload/test_e2e.py": "no upload (XEP-0363) without HTTPS",
    "tests/pubsub/test_e2e.py": NO_PUBSUB,
    # The suite itself: `@unittest.skip("this test breaks with SM")`.
    "tests/test_e2e.py::TestMisc::test_handle_malformed_iq": "not with stream management",
    "tests/test_e2e.py::TestMisc::test_handle_id_less_IQ": "not with stream management",
}


def why(test):
    """Returns the reason to skip a test, if there is one."""
    return next((reason for start, reason in SKIPPED.items() if test.startswith(start)), None)


class Guests(StaticPasswordProvisioner):
    """Gives each client an account of its own, and no account to two tests: what one leaves behind
    (nodes, bookmarks) the next would stumble over."""

    def configure(self, section):
        server = arguments()
        self._domain = aioxmpp.JID.fromstr(server.domain)
        self._blockmap = {}
        self._quirks = {Quirk.NO_ADHOC_PING}
        self.names = iter(range(GUESTS))
        self.server = server

    async def _make_client(self, logger):
        name = f"guest{next(self.names)}"
        connector = aioxmpp.connector.STARTTLSConnector()
        return aioxmpp.PresenceManagedClient(
            self._domain.replace(localpart=name),
            aioxmpp.make_security_layer(self.server.ana.replace("ana", name)),
            override_peer=[("127.0.0.1", self.server.starttls, connector)],
            logger=logger,
        )

    async def teardown(self):
        await super(StaticPasswordProvisioner, self).teardown()


class Watch:
    """Hears how each test ended."""

    def __init__(self):
        self.passed, self.skipped, self.failed = [], [], []

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")
        elif report.skipped:
            self.skipped.append((report.nodeid, report.longrepr[2]))
        elif report.when == "call":
            self.passed.append(report.nodeid)

    def verdict(self):
        for test, reason in self.skipped:
            print(f"skipped {test}: {why(test) or reason}")
        wrong = [f"skipped for no reason: {each}" for each in self.skipped if not why(each[0])]
        wrong += [f"not to be skipped any more: {test}" for test in self.passed if why(test)]
        wrong += self.failed
        assert not wrong, "\n".join(wrong)
        assert len(self.passed) >= 58, self.passed


def main():
    server = arguments()
    # OpenSSL reads it in place of the authorities of the system.
    os.environ["SSL_CERT_FILE"] = os.path.abspath(server.ca)
    asyncio.run(please(f"add {GUESTS} guests"))
    watch = Watch()
    asyncio.set_event_loop(asyncio.new_event_loop())  # the tests ask for one
    folder = os.path.join(os.path.dirname(sys.prefix), "aioxmpp")  # as `setup` lays it
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as config:
        config.write("[global]\nprovisioner=aioxmpp_suite.Guests\ntimeout=20\n")
        config.write("[aioxmpp_suite.Guests]\n")
        config.flush()
        # It reads the arguments of the program itself, too.
        options = ["--quiet", "--tb=short", "--rootdir", folder, "-p", "no:cacheprovider"]
        options += ["-p", "aioxmpp.e2etest", "--e2etest-config", config.name, "-W", "ignore"]
        pytest.main([*options, folder], plugins=[watch])
    watch.verdict()
    ok("suite")


if __name__ == "__main__":
    main()
